"""Complete checkpoints, and resumed trainings that end with the same bits."""

import itertools
import os
import random
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_reduce_params, get_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.nn.modules.batchnorm import _BatchNorm

from mmps.registry import HOOKS
from mmps.utils.checkpoint import CheckpointError, check_state_dict, weights_of

_STATE = ('meta', 'state_dict', 'message_hub', 'optimizer')


@HOOKS.register_module()
class ResumeCheckHook(Hook):
    """Refuses to resume from a checkpoint that does not hold the whole state of a training.

    mmengine restores what it finds and starts the rest afresh: an optimizer without its momenta,
    or, where weights do not fit, a random layer.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> runner = MagicMock(_resume=True, _load_from='published.pth', param_schedulers=None)
        >>> hook = HOOKS.build(dict(type='ResumeCheckHook'))
        >>> try:
        ...     hook.after_load_checkpoint(runner, dict(meta={}, state_dict={}))
        ... except CheckpointError as error:
        ...     print(str(error).split(',')[0])
        checkpoint published.pth cannot be resumed from: it has no message_hub
    """

    priority = 'HIGHEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks for every part of the state, and at the names and shapes of the weights.

        Raises:
            CheckpointError: Something is missing; nothing has been changed yet.
        """
        if not runner._resume:
            return
        path = runner._load_from or f'{runner.work_dir}, the newest'
        state = _STATE if runner.param_schedulers is None else (*_STATE, 'param_schedulers')
        missing = [key for key in state if key not in checkpoint]
        if missing:
            raise CheckpointError(
                f'checkpoint {path} cannot be resumed from: it has no {", ".join(missing)}, as a '
                'published one. To start a new training from its weights, use '
                f'--cfg-options load_from={path} instead of --resume.'
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        check_state_dict(model, weights_of(checkpoint, path), path, with_losses=True)


@HOOKS.register_module()
class ResumedValidationHook(Hook):
    """Validates at the start of a resumed training if the checkpoint's validation may be missing.

    mmengine writes the checkpoint of an epoch before the validation that follows, and goes on with
    the next epoch when resumed. A process killed in between would lose the validation, and with it
    possibly the best checkpoint; after the last epoch nothing would make up for it. A checkpoint
    that turns out the best so far is written again with the results; any other one is as before its
    validation, which is therefore repeated even if it was done.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> runner = MagicMock(hooks=[])
        >>> runner.train_loop = MagicMock(iter=200, max_iters=300, val_begin=1, val_interval=100)
        >>> HOOKS.build(dict(type='ResumedValidationHook')).before_train(runner)
        >>> runner.val_loop.run.call_count
        1
    """

    # after the checkpoint hook, which is told the result
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Runs the validation that the train loop runs behind the resumed epoch or iteration."""
        loop = runner.train_loop
        if runner.val_loop is None or not loop.iter:
            return
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        done, end = (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
        unit = 'epoch' if by_epoch else 'iter'
        hub = runner.message_hub
        if str(hub.runtime_info.get('best_ckpt')).endswith(f'_{unit}_{done}.pth'):
            return
        loop._decide_current_val_interval()
        if done >= loop.val_begin and (done % loop.val_interval == 0 or done == end):
            runner.logger.info(f'Resumed after {unit} {done}: its validation may not have ended')
            # what the resumed checkpoint's training left behind, for the best checkpoint
            hub.update_info('iter', loop.iter - 1)
            if by_epoch:
                hub.update_info('epoch', loop.epoch - 1)
            for hook in runner.hooks:
                if isinstance(hook, CheckpointHook):
                    # without it, the checkpoint that turns out the best would not be written again
                    hook.last_ckpt = hub.runtime_info.get('last_ckpt')
            runner.val_loop.run()


@HOOKS.register_module()
class SeedIterationHook(Hook):
    """Makes the randomness of each training iteration a function of seed, iteration and rank.

    Checkpoints do not hold the state of random generators. With this hook, and samples seeded by
    :class:`SeededSampler`, a resumed run draws the numbers that an uninterrupted one would have
    drawn.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> hook, drawn = HOOKS.build(dict(type='SeedIterationHook')), []
        >>> for iteration in (7, 8, 7):
        ...     hook.before_train_iter(MagicMock(seed=0, iter=iteration), 0)
        ...     drawn.append(random.random())
        >>> drawn[2] == drawn[0] != drawn[1]
        True
    """

    priority = 'VERY_HIGH'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seeds Python, NumPy and torch (all devices)."""
        sequence = np.random.SeedSequence([runner.seed, runner.iter, get_rank()])
        python, numpy, torch_seed = (int(word) for word in sequence.generate_state(3))
        random.seed(python)
        np.random.seed(numpy)
        torch.manual_seed(torch_seed)


@HOOKS.register_module()
class MeanStatisticsHook(Hook):
    """Averages the running statistics of batch norm over the ranks before they are used.

    Each rank keeps those of its own images. Without this hook the ranks of a validation would
    evaluate different networks, and a checkpoint would hold rank 0's. mmengine's
    ``SyncBuffersHook`` averages the tables and counters of the model too, and forgets the copy
    that ``EMAHook`` keeps.

    Example:
        >>> sorted(HOOKS.build(dict(type='MeanStatisticsHook')).get_triggered_stages())
        ['after_train_epoch', 'before_val_epoch']
    """

    def _average(self, runner: Runner) -> None:
        averaged = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        for model in (runner.model, *averaged):
            norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
            statistics = [(n.running_mean, n.running_var) for n in norms if n.track_running_stats]
            all_reduce_params(itertools.chain(*statistics), op='mean')

    after_train_epoch = before_val_epoch = _average  # a validation may come within an epoch


class AtomicLocalBackend(LocalBackend):
    """Local files that are either complete or absent, also when the process is killed while
    writing.

    The checkpoint hook of ``configs/_base_/default_runtime.py`` writes through it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmengine.fileio import get_file_backend
        >>> backend = get_file_backend(backend_args=dict(backend='AtomicLocalBackend'))
        >>> with TemporaryDirectory() as folder:
        ...     backend.put(b'weights', f'{folder}/run/epoch_1.pth')
        ...     os.listdir(f'{folder}/run')
        ['epoch_1.pth']
    """

    def put(self, obj: bytes | memoryview, filepath: str | Path) -> None:
        """Write ``obj`` beside ``filepath``, flush it to the disk and rename it into place."""
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f'{target.name}.partial')
        with open(partial, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)


register_backend('AtomicLocalBackend', AtomicLocalBackend, force=True)
