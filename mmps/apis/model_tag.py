"""Which model made an embedding: galleries are tied to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmps.apis.preprocessing import test_steps
from mmps.retrieval import ModelTag

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

# Keys of a model's config that decide how it learns, and not what it computes; those of `test_cfg`
# decide which people are found, and not how they are embedded.
_NOT_COMPUTED = {
    'channels_last',
    'compile_networks',
    'frozen_stages',
    'init_cfg',
    'norm_eval',
    'num_ids',
    'pretrained',
    'reid_iou',
    'test_cfg',
    'train_cfg',
    'with_cp',
}


def model_tag(config: Config, model: nn.Module, checkpoint: str | Path) -> ModelTag:
    """Name a model by what it computes.

    Two models have the same fingerprint if their weights, the parts of their configs that decide
    what an embedding is, and the preprocessing of their test pipelines are the same, whichever
    files they came from: publishing a checkpoint, or training OIM's table further, changes nothing.

    Args:
        config: With ``model`` and ``test_dataloader``.
        model: Built from it, holding the weights.
        checkpoint: For the name.
    """
    from mmps.utils.checkpoint import loss_prefixes

    described = dict(model=_computed(config.model.to_dict()), pipeline=test_steps(config))
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    losses = loss_prefixes(model)
    for name, weight in sorted(model.state_dict().items()):
        if not name.startswith(losses) and not name.endswith('num_batches_tracked'):
            digest.update(f'{name} {weight.dtype} {tuple(weight.shape)}'.encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    names = f'{Path(config.filename or "config").stem}, {Path(checkpoint).name}'
    return ModelTag(digest.hexdigest(), model.roi_head.reid_head.embed_dim, names)


def _computed(entry: Any) -> Any:
    """A part of a model's config without what :data:`_NOT_COMPUTED` and losses are."""
    if isinstance(entry, Mapping):
        return {
            key: _computed(value)
            for key, value in entry.items()
            if key not in _NOT_COMPUTED and not key.startswith('loss')
        }
    return [_computed(value) for value in entry] if isinstance(entry, (list, tuple)) else entry
