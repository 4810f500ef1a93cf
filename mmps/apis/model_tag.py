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
# decide which people are found, and not how they are embedded. The file at a path is described by
# its digest, the weights of a checkpoint by themselves.
_NOT_COMPUTED = {
    'backend',
    'channels_last',
    'compile_networks',
    'crops_per_batch',
    'detector',
    'detector_checkpoint',
    'detector_from',
    'detector_pipeline',
    'device',
    'frozen_stages',
    'init_cfg',
    'norm_eval',
    'max_people',
    'num_ids',
    'path',
    'person_label',
    'pretrained',
    'reid_checkpoint',
    'reid_iou',
    'score_thr',
    'test_cfg',
    'threads',
    'train_cfg',
    'with_cp',
}


def model_tag(
    config: Config, model: nn.Module, checkpoint: str | Path | None, name: str | None = None
) -> ModelTag:
    """Name a model by what it computes.

    Two models have the same fingerprint if their weights, the parts of their configs that decide
    what an embedding is, and the preprocessing of their test pipelines are the same, whichever
    files they came from: publishing a checkpoint, or training OIM's table further, changes nothing.
    Of a detector and a re-ID network one behind the other the second alone counts.

    Args:
        config: With ``model`` and ``test_dataloader``.
        model: Built from it, holding the weights.
        checkpoint: For the name; None: there is none.
        name: Instead of the names of config and checkpoint.
    """
    from mmps.utils.checkpoint import loss_prefixes

    described = dict(model=_computed(config.model.to_dict()), pipeline=test_steps(config))
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    losses = loss_prefixes(model)
    for key, weight in sorted(model.state_dict().items()):
        if not key.startswith(model.embedding_weights):
            continue
        if not key.startswith(losses) and not key.endswith('num_batches_tracked'):
            digest.update(f'{key} {weight.dtype} {tuple(weight.shape)}'.encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    for key, module in model.named_modules():
        if hasattr(module, 'file_digest') and key.startswith(model.embedding_weights.rstrip('.')):
            digest.update(module.file_digest.encode())
    if name is None:
        files = [config.filename or 'config', *([] if checkpoint is None else [checkpoint])]
        name = f'{Path(files[0]).stem}{"".join(f", {Path(file).name}" for file in files[1:])}'
    return ModelTag(digest.hexdigest(), model.embed_dim, name)


def _computed(entry: Any) -> Any:
    """A part of a model's config without what :data:`_NOT_COMPUTED` and losses are."""
    if isinstance(entry, Mapping):
        return {
            key: _computed(value)
            for key, value in entry.items()
            if key not in _NOT_COMPUTED and not key.startswith('loss')
        }
    return [_computed(value) for value in entry] if isinstance(entry, (list, tuple)) else entry
