"""Checkpoints: which one to take, reading it without running it, and whether it fits the model.

A checkpoint is a pickle, and a pickle can hold any program. PyTorch reads one without running it;
mmengine falls back to running it where that fails, and runs downloads by default. Importing this
module sets PyTorch's switch against that, ``TORCH_FORCE_WEIGHTS_ONLY_LOAD``, for all of the process
and for those that it starts.
"""

import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mmengine.runner.checkpoint
import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmps.utils.errors import UserError

os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'


def _history_method(owner: Any, name: str) -> Callable:
    """The ``getattr`` of a checkpoint: only the methods by which mmengine's log averages."""
    if owner is HistoryBuffer and isinstance(name, str) and not name.startswith('_'):
        return getattr(owner, name)
    spelled = f'getattr({owner!r},{name!r})'.replace(' ', '')
    raise pickle.UnpicklingError(f'GLOBAL {spelled}')


# What mmengine keeps of the log, and the NumPy arrays in it.
_ARRAY_FUNCTIONS = (np.empty(0).__reduce__()[0], np.float64(0).__reduce__()[0])
torch.serialization.add_safe_globals(
    [
        HistoryBuffer,
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in (np.bool_, np.int32, np.int64, np.float32, np.float64)},
        (_history_method, 'builtins.getattr'),
        # NumPy 1 and 2 have them in different packages, and either may have written the file.
        *(
            (function, f'numpy.{package}.multiarray.{function.__name__}')
            for function in _ARRAY_FUNCTIONS
            for package in ('core', '_core')
        ),
    ]
)
# mmengine's own list has ``getattr`` itself, with which a file could put anything it can reach in
# the place of those ways to average. After a read mmengine forbids all of its list again.
mmengine.runner.checkpoint.get_torch_safe_globals = list

_REFUSED = re.compile(r'GLOBAL (\S+)')
# torch's message advises to read the file without protection before it says what is wrong.
_REASON = re.compile(r'WeightsUnpickler error:\s*(.+)')


class CheckpointError(UserError, ValueError):
    """A file is no checkpoint that can be read; the message names it."""


def read_checkpoint(
    path: str | os.PathLike, map_location: str | torch.device | Callable | None = 'cpu'
) -> Any:
    """What ``torch.save`` wrote, if it is made of tensors and plain values only.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, or would have to run code to be read.
    """
    path = existing_file(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise _unreadable(path, error) from error


@CheckpointLoader.register_scheme('', force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """How mmengine reads local files, for ``--resume`` and ``load_from``."""
    return read_checkpoint(filename, map_location)


def _unreadable(path: str | Path, error: Exception) -> CheckpointError:
    """One sentence that names the file, instead of what torch says."""
    if refused := _REFUSED.search(str(error)):
        return CheckpointError(
            f'checkpoint {path} is refused: to read it, {refused[1]} would have to be run or '
            'built, and a checkpoint needs nothing but tensors and plain values. Get one without '
            'it; or, if you trust whoever made it, rewrite it once: torch.save({"state_dict": '
            'torch.load(FILE, weights_only=False)["state_dict"]}, NEW_FILE)'
        )
    reason = _REASON.search(str(error))
    return CheckpointError(
        f'checkpoint {path} cannot be read, it is damaged or of another kind: '
        f'{reason[1] if reason else error}'
    )


def existing_file(path: str | os.PathLike) -> Path:
    """The path, ``~`` resolved, of a file that is there.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    return path


def newest_checkpoint(work_dir: str | Path) -> Path | None:
    """The last complete ``epoch_N.pth`` or ``iter_N.pth`` of a folder, or None.

    Found by number: the file ``last_checkpoint``, which mmengine goes by, may itself be cut short
    when the process is killed. So may a checkpoint, which is then passed over: the directory of the
    zip archive that it is stands at its end.
    """
    numbered: dict[str, list[tuple[int, Path]]] = {'epoch': [], 'iter': []}
    for path in Path(work_dir).glob('*.pth'):
        match = re.fullmatch(r'(epoch|iter)_(\d+)\.pth', path.name)
        if match and zipfile.is_zipfile(path):
            numbered[match[1]].append((int(match[2]), path))
    newest = [max(paths)[1] for paths in numbered.values() if paths]
    return max(newest, key=lambda path: path.stat().st_mtime, default=None)


def load_state_dict(path: str) -> dict[str, Tensor]:
    """The weights in a checkpoint, by the names that the unwrapped model gives them.

    ``path`` is a file, or an address as mmengine's ``load_from`` takes it.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is not a checkpoint, is cut short, or would have to run code.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent')
    except pickle.UnpicklingError as error:  # of an address, which mmengine reads
        raise _unreadable(path, error) from error
    return weights_of(checkpoint, path)


class Weights(dict[str, Tensor]):
    """Weights by name; ``published`` names the model whose authors published them; empty: none."""

    published = ''


def weights_of(checkpoint: Any, path: str) -> dict[str, Tensor]:
    """The weights in a checkpoint that has been read; ``path`` is for the message of an error."""
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f'{path} is not a checkpoint: it holds no table of weights')
    found = Weights({name.removeprefix('module.'): value for name, value in state.items()})
    found.published = (checkpoint.get('meta') or {}).get('published', '')
    return found


def loss_prefixes(model: nn.Module) -> tuple[str, ...]:
    """The prefixes of the weights that belong to a loss, such as the tables of OIM."""
    return tuple(
        f'{name}.'
        for name, module in model.named_modules()
        if type(module).__module__.startswith(('mmps.models.losses', 'mmdet.models.losses'))
    )


def check_state_dict(
    model: nn.Module, state: Mapping[str, Tensor], path: str, *, with_losses: bool = False
) -> None:
    """Raise `CheckpointError` where the weights are not those of the model.

    What belongs to a loss (such as OIM's table of training identities) does not take part in
    prediction and may differ, so that a model can be tested on another data set. Weights whose
    names begin as ``model.spare_weights`` says may be there for nothing. The model is not wrapped;
    ``with_losses``: what belongs to a loss is compared too, as resuming needs.
    """
    ignored = () if with_losses else loss_prefixes(model)
    wanted, given = (
        {name: value for name, value in weights.items() if not name.startswith(ignored)}
        for weights in (model.state_dict(), state)
    )
    if wrong := differences(wanted, given, getattr(model, 'spare_weights', ())):
        raise CheckpointError(
            f'checkpoint {path} is of another model than the config: of {len(model.state_dict())} '
            f'weights, {wrong}{whose(state)}'
        )


def differences(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], spare: tuple[str, ...] = ()
) -> str:
    """What is wrong with given weights, for an error; empty: nothing.

    Those whose names begin as one of ``spare`` may be there for nothing.
    """
    common = wanted.keys() & given.keys()
    problems = {
        'missing': wanted.keys() - given.keys(),
        'unexpected': [name for name in given.keys() - wanted.keys() if not name.startswith(spare)],
        'of another shape': [n for n in common if wanted[n].shape != given[n].shape],
    }
    return ', '.join(
        f'{len(names)} {what} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
        for what, names in zip(problems, map(sorted, problems.values()), strict=True)
        if names
    )


def whose(state: Mapping[str, Tensor]) -> str:
    """What to add to an error where weights are published ones."""
    name = getattr(state, 'published', '')
    return f'; this file is of {name.partition("_")[0].upper()}: use {name}' if name else ''


def save_untrained(model: dict, path: str | Path, seed: int = 0) -> None:
    """Write the checkpoint of an untrained network, as a baseline or for tests."""
    from mmengine.registry import init_default_scope

    from mmps.registry import MODELS

    init_default_scope('mmps')
    torch.manual_seed(seed)
    network = MODELS.build(model)
    network.init_weights()
    torch.save(dict(state_dict=network.state_dict()), path)
