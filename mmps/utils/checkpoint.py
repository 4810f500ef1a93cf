"""Which checkpoint to take, and whether it fits the model."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

from mmengine.runner import CheckpointLoader
from torch import Tensor, nn


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

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a checkpoint, or is cut short.
    """
    if '://' not in path and not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, OSError) as error:
        raise ValueError(f'checkpoint {path} cannot be read: {error}') from error
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path} is not a checkpoint: it holds no table of weights')
    return {name.removeprefix('module.'): value for name, value in state.items()}


def check_state_dict(model: nn.Module, state: Mapping[str, Tensor], path: str) -> None:
    """Raise ``ValueError`` where the weights are not those of the model.

    What belongs to a loss (such as OIM's table of training identities) does not take part in
    prediction and may differ, so that a model can be tested on another data set.
    """
    losses = {
        f'{name}.'
        for name, module in model.named_modules()
        if type(module).__module__.startswith(('mmps.models.losses', 'mmdet.models.losses'))
    }

    def outside_losses(names: Collection[str]) -> list[str]:
        return sorted(name for name in names if not name.startswith(tuple(losses)))

    wanted = model.state_dict()
    problems = {
        'missing': outside_losses(wanted.keys() - state.keys()),
        'unexpected': outside_losses(state.keys() - wanted.keys()),
        'of another shape': outside_losses(
            [n for n in wanted.keys() & state.keys() if wanted[n].shape != state[n].shape]
        ),
    }
    if any(problems.values()):
        counts = ', '.join(
            f'{len(names)} {what} ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'
            for what, names in problems.items()
            if names
        )
        raise ValueError(
            f'checkpoint {path} is of another model than the config: of {len(wanted)} weights, '
            f'{counts}'
        )
