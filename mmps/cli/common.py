"""What the command-line tools share: arguments, configs, launchers and how errors are reported.

mmengine is imported inside the functions: a broken environment has to be diagnosed first, by
`run_tool`, instead of showing up as a traceback from inside another package.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmps.utils.config import load_config, require_entries, set_options
from mmps.utils.environment import EnvironmentProblem, require_environment
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def run_tool(main: Callable[[], None], *, needs_mmdet: bool = True) -> None:
    """Run the ``main`` of a tool in an environment known to be sound.

    An error that the user can mend, files and network included, ends the process with one message,
    ``error: ...``, and exit status 2. Any other exception is a bug and keeps its traceback.

    What a terminal cannot print is printed as an escape: names of files and people hold anything.

    The environment of a tool that builds no models or data sets (``needs_mmdet``) is only examined
    where an import fails, for importing mmdet takes seconds.
    """
    print_anything()
    try:
        if needs_mmdet:
            require_environment()
        try:
            main()
        except ImportError:
            require_environment()
            raise
    except BrokenPipeError:  # whoever reads has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (UserError, EnvironmentProblem, OSError) as error:
        # A process that loads data passes its traceback on as the message, which ends in its own.
        passed_on = rf'(?s)Caught {type(error).__name__} in .*\n(\w+\.)*{type(error).__name__}: '
        print(f'error: {re.sub(passed_on, "", str(error)).strip()}', file=sys.stderr)
        sys.exit(2)


def print_anything() -> None:
    """Let no character end this process that the encoding of its output does not have."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, 'errors', None) in ('strict', 'surrogateescape'):
            stream.reconfigure(errors='backslashreplace')


def config_parser(description: str, config: str = 'config file') -> argparse.ArgumentParser:
    """A parser that knows the config file, described by ``config``, and ``--cfg-options``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', metavar='CONFIG', help=config)
    add_config_options(parser)
    return parser


def load_test_config(arguments: argparse.Namespace) -> Config:
    """The config of a tool that evaluates, with options: one with a test set and a metric."""
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('test_dataloader', 'test_evaluator'))
    return config


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``: mmengine's, which names a value that it cannot read."""
    from mmengine.config import DictAction

    class Options(DictAction):
        def __call__(self, parser, namespace, values, option_string=None):
            for pair in values:
                key, _, value = pair.partition('=')
                try:
                    if value.startswith(('dict(', '{')):  # would be taken for a word
                        raise ValueError
                    super().__call__(parser, namespace, [pair], option_string)
                except (ValueError, AssertionError, RecursionError):
                    parser.error(
                        f'--cfg-options: {pair!r} is not KEY=VALUE with a number, a word or a list '
                        f'such as [1,2]; for a dict, set each key: {key}.NAME=VALUE'
                    )

    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        default={},
        metavar='KEY=VALUE',
        help='change settings of the config, e.g. train_dataloader.batch_size=2 '
        'test_dataloader.dataset.data_root=DIR "model.neck=None"',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a tool that builds a runner takes: ``--work-dir`` and ``--launcher``."""
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go (default: work_dirs/NAME_OF_THE_CONFIG)'
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm'),
        default='none',
        help='how the processes of a distributed run were started',
    )


def add_resample_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--resample``, for tools that say how sure a number is."""
    parser.add_argument(
        '--resample',
        choices=('query', 'person'),
        default='query',
        help='what intervals and tests regard as independent; "person" keeps the queries of a '
        'person together (default: query)',
    )


def load_run_config(arguments: argparse.Namespace, config: Config | None = None) -> Config:
    """The config of a run: file (or ``config`` instead), options, launcher, and folder to write to.

    The folder is that of ``--work-dir``, else the config's own, else named after the config file.
    """
    if config is None:
        config = load_config(arguments.config, arguments.cfg_options)
    else:
        set_options(config, arguments.config, arguments.cfg_options)
    default = config.get('work_dir') or f'work_dirs/{Path(arguments.config).stem}'
    config.work_dir = arguments.work_dir or default
    config.launcher = arguments.launcher
    require_vis_backends(config)
    _prepare_distributed(config)
    return config


def _prepare_distributed(config: Config) -> None:
    """Make a distributed run possible without a GPU, which mmengine's own start-up asks for.

    mmengine leaves a process group alone that exists already, and takes the wrapper's arguments
    from the config; ``broadcast_buffers`` must be repeated there, because it drops its own default.
    """
    import torch
    from torch import distributed

    if config.launcher == 'none' or torch.cuda.is_available():
        return
    if config.get('sync_bn'):
        raise UserError(
            f"sync_bn={config.sync_bn!r} needs GPUs: PyTorch's synchronised batch norm does not "
            'run on CPUs; leave it out, or fix batch norm with model.backbone.norm_eval=True '
            'model.roi_head.shared_head.norm_eval=True'
        )
    shard_of(config.launcher)
    if 'MASTER_ADDR' not in os.environ and (nodes := os.environ.get('SLURM_NODELIST')):
        command = ['scontrol', 'show', 'hostnames', nodes]
        hosts = subprocess.run(command, check=True, capture_output=True, text=True)
        os.environ['MASTER_ADDR'] = hosts.stdout.split()[0]
    os.environ.setdefault('MASTER_PORT', '29500')
    if not distributed.is_initialized():
        distributed.init_process_group('gloo')
    config.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=config.get('find_unused_parameters', False),
    )


_RANKS = {
    'none': {},
    'pytorch': {name: name for name in ('RANK', 'WORLD_SIZE')},
    'slurm': {
        'RANK': 'SLURM_PROCID',
        'LOCAL_RANK': 'SLURM_LOCALID',
        'WORLD_SIZE': 'SLURM_NTASKS',
    },
}
"""By launcher, the variable of torchrun's and that of the launcher's."""


def shard_of(launcher: str) -> tuple[int, int]:
    """Number of this process and how many there are, as their launcher tells. What torchrun would
    have set is set then.

    Raises:
        UserError: The launcher did not start this process.
    """
    names = _RANKS[launcher]
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        start = 'torchrun' if launcher == 'pytorch' else 'srun'
        raise UserError(
            f'--launcher {launcher}: {", ".join(missing)} not set; start the processes with {start}'
            ' (for training and tests: tools/dist_*.sh, tools/slurm_*.sh)'
        )
    os.environ.update({name: os.environ[given] for name, given in names.items()})
    return (int(os.environ['RANK']), int(os.environ['WORLD_SIZE'])) if names else (0, 1)


_PACKAGES = ('tensorboard', 'wandb', 'mlflow', 'clearml', 'neptune', 'dvclive', 'aim')
"""Of mmengine's visualisation backends, which are called after them."""


def require_vis_backends(config: Config) -> None:
    """Raise ``UserError`` where a package of ``visualizer.vis_backends`` is not installed.

    The one that no config asks for, but all have by default, is left out where its package is
    missing, and a line says so: the same curves are in ``vis_data/scalars.json``.
    """
    backends = config.get('visualizer', {}).get('vis_backends') or []
    packages = {b.type: b.type.removesuffix('VisBackend').lower() for b in backends}
    missing = {
        name: package
        for name, package in packages.items()
        if package in _PACKAGES and importlib.util.find_spec(package) is None
    }
    if default := missing.pop('TensorboardVisBackend', None):
        print(f'no curves for TensorBoard: pip install {default}')
        config.visualizer.vis_backends = [b for b in backends if packages[b.type] != default]
    if missing:
        raise UserError(
            f'visualizer.vis_backends: {", ".join(missing)} needs a package that is not installed: '
            f'pip install {" ".join(missing.values())}'
        )


def check_weights(runner: Runner, path: str) -> tuple[int, int]:
    """Refuse a checkpoint of another model, which mmengine would load as far as it fits.

    What belongs to losses, as the tables of identities, may be missing or of another training set.
    Gives how many tensors fit, and how many the model has.
    """
    from mmengine.model import is_model_wrapper

    from mmps.published.conversion import check_method  # and what authors published is read as ours
    from mmps.utils.checkpoint import check_state_dict, load_state_dict

    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    given, wanted = load_state_dict(path), model.state_dict()
    check_state_dict(model, given, path)
    check_method(runner.cfg.model, given, path)
    fitting = sum(name in given and given[name].shape == wanted[name].shape for name in wanted)
    return fitting, len(wanted)
