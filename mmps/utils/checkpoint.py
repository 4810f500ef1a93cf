"""Which checkpoint to take, and whether it fits the model."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmps.utils.checkpoint_file import CheckpointError


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
        CheckpointError: The file is not a checkpoint, is cut short, or would have to run code.
    """
    return weights_of(CheckpointLoader.load_checkpoint(path, 'cpu', logger='silent'), path)


def weights_of(checkpoint: Any, path: str) -> dict[str, Tensor]:
    """The weights in a checkpoint that has been read; ``path`` is for the message of an error."""
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f'{path} is not a checkpoint: it holds no table of weights')
    return {name.removeprefix('module.'): value for name, value in state.items()}


def loss_prefixes(model: nn.Module) -> tuple[str, ...]:
    """How the names of those weights begin that belong to a loss, such as the tables of OIM."""
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
    prediction and may differ, so that a model can be tested on another data set.

    Args:
        model: The model, not wrapped.
        state: The weights.
        path: Where they are from.
        with_losses: Compare also what belongs to a loss, as resuming needs.
    """
    ignored = () if with_losses else loss_prefixes(model)

    def outside_losses(names: Collection[str]) -> list[str]:
        return sorted(name for name in names if not name.startswith(ignored))

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
        raise CheckpointError(
            f'checkpoint {path} is of another model than the config: of {len(wanted)} weights, '
            f'{counts}'
        )


def save_untrained(model: dict, path: str | Path, seed: int = 0) -> None:
    """Write the checkpoint of a network before training, as a baseline or to test with.

    Args:
        model: Config of the model.
        path: File to write.
        seed: Of the random weights.
    """
    from mmengine.registry import init_default_scope

    from mmps.registry import MODELS

    init_default_scope('mmps')
    torch.manual_seed(seed)
    network = MODELS.build(model)
    network.init_weights()
    torch.save(dict(state_dict=network.state_dict()), path)
