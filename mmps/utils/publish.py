"""A trained model as one file to hand on: its weights and how to build it, and nothing else."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from mmps.registry import MODELS
from mmps.utils.checkpoint import (
    CheckpointError,
    check_state_dict,
    loss_prefixes,
    read_checkpoint,
    weights_of,
)
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file
from mmps.utils.training_log import read_training_log
from mmps.version import __version__

# Where the training ran, which says nothing about the model.
_PRIVATE = ('work_dir', 'load_from', 'resume', 'launcher')
_TIMESTAMP = re.compile(r'_\d{8}_\d{6}$')


def publish(
    checkpoint: Path,
    out: Path,
    name: str | None = None,
    *,
    trained_weights: bool = False,
    keep_tables: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Write ``out/NAME-HASH.pth``, HASH being the first 8 digits of the file's SHA-256.

    It holds ``state_dict`` and ``meta``: config, classes, versions, how long it was trained and, as
    far as the log beside the checkpoint tells, its metrics. Before it gets its name it is read
    back, with tensors and plain values only, and loaded into the model of that config.

    Args:
        checkpoint: What the training saved.
        out: Folder to write to.
        name: NAME; by default that of the config.
        trained_weights: Take the weights that the optimizer has changed, instead of their moving
            average where an ``EMAHook`` kept one, which is what validation saw.
        keep_tables: Keep what belongs to the losses, such as OIM's table of training identities:
            of use only to train on with the same data set.

    Returns:
        The file, and what its ``meta`` holds.

    Raises:
        UserError: The checkpoint does not say how to build the model, or lacks what was asked for.
    """
    content = read_checkpoint(checkpoint)
    state = weights_of(content, str(checkpoint))
    meta = content.get('meta', {}) if 'state_dict' in content else {}
    if 'cfg' not in meta:
        raise UserError(f'{checkpoint} holds no config; give a checkpoint that train.py has saved')
    if trained_weights:
        state |= _trained_weights(content, checkpoint)
    config = Config.fromstring(meta['cfg'], file_format='.py')
    init_default_scope(config.get('default_scope', 'mmps'))
    model = MODELS.build(config.model)
    check_state_dict(model, state, str(checkpoint))
    dropped = () if keep_tables else loss_prefixes(model)
    state = {k: v.contiguous() for k, v in state.items() if not k.startswith(dropped)}
    published_meta = _published_meta(meta, config, checkpoint)
    path = _write(out, name or _TIMESTAMP.sub('', meta['experiment_name']), state, published_meta)
    return path, published_meta


def _trained_weights(content: dict[str, Any], checkpoint: Path) -> dict[str, Tensor]:
    """mmengine saves the average as ``state_dict``, and what was averaged as the average's."""
    if 'ema_state_dict' not in content:
        raise UserError(f'{checkpoint} holds no moving average of the weights, only the weights')
    prefix = 'module.'
    return {
        key.removeprefix(prefix): value
        for key, value in content['ema_state_dict'].items()
        if key.startswith(prefix)
    }


def _published_meta(meta: dict[str, Any], config: Config, checkpoint: Path) -> dict[str, Any]:
    for key in _PRIVATE:
        config.pop(key, None)
    kept = {
        'cfg': config.pretty_text,
        'dataset_meta': meta.get('dataset_meta', {}),
        'mmps_version': __version__,
        'mmengine_version': meta['mmengine_version'],
        'torch_version': str(torch.__version__),
        'epoch': meta['epoch'],
        'iter': meta['iter'],
        'seed': meta['seed'],
    }
    metrics = _metrics(checkpoint.parent, meta['iter'])
    return kept | ({'metrics': metrics} if metrics else {})


def _metrics(work_dir: Path, iteration: int) -> dict[str, float]:
    """What the validation of this very state found."""
    try:
        log = read_training_log(work_dir)
    except UserError:
        return {}
    points = {key: dict(log.curves[key]) for key in sorted(log.validated)}
    return {key: values[iteration] for key, values in points.items() if iteration in values}


def _write(out: Path, name: str, state: dict[str, Tensor], meta: dict[str, Any]) -> Path:
    buffer = io.BytesIO()
    torch.save({'meta': meta, 'state_dict': state}, buffer)
    digits = hashlib.sha256(buffer.getbuffer()).hexdigest()[:8]
    path = out / f'{name}-{digits}.pth'
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
        _verify(temporary)
    return path


def _verify(path: Path) -> None:
    """What whoever gets the file will do with it."""
    content = read_checkpoint(path)
    model = MODELS.build(Config.fromstring(content['meta']['cfg'], file_format='.py').model)
    check_state_dict(model, content['state_dict'], str(path))
    left = model.load_state_dict(content['state_dict'], strict=False)
    if left.unexpected_keys:
        raise CheckpointError(f'{path}: {", ".join(left.unexpected_keys)} not in its own model')
