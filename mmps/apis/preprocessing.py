"""What a config says of the images that its network takes, and of what it computes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mmps.deployment.runtimes import ModelFile
from mmps.retrieval import ModelTag
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn


def test_steps(config: Config) -> list[dict[str, Any]]:
    """The steps of the test pipeline that change pixels, such as ``Resize``.

    Steps that load the image and the annotations are left out, as is the last one, which packs.

    Raises:
        UserError: There is no test pipeline, it is not one for whole scenes, or it loads images in
            a way that sources of images do not.
    """
    dataset = config.get('test_dataloader', {}).get('dataset', {})
    steps = dataset.get('pipeline')
    if not steps:
        raise UserError(
            f'config {config.filename} has no test_dataloader.dataset.pipeline, which says how '
            'images are resized; a config that inherits from configs/_base_/datasets has one'
        )
    loader, *steps = steps
    if not loader.type.split('.')[-1].startswith('Load'):
        raise UserError(f'test pipeline of {config.filename}: begins with {loader.type}, no loader')
    ways = dict(color_type=('color',), imdecode_backend=(None, 'cv2'), to_float32=(False,))
    for key, known in ways.items():
        if loader.get(key, known[0]) not in known:
            raise UserError(
                f'test pipeline of {config.filename}: {loader.type} has {key}={loader[key]!r}; '
                'searching reads images as OpenCV does, in colour and uint8: leave the key out'
            )
    names = ('LoadAnnotations', 'PackPersonSearchInputs', 'PackDetInputs')
    return [step.to_dict() for step in steps if step.type.split('.')[-1] not in names]


def scene_size(config: Config) -> tuple[int, int] | None:
    """Width and height in pixels to which a config reduces scenes; None where their size does not
    matter, as where people are cut out first, or are cut-outs already.
    """
    if config.test_dataloader.dataset.get('type', '').split('.')[-1] == 'CUHK03Dataset':
        return None
    scales = [
        step['scale'] for step in test_steps(config) if step['type'] == 'Resize' and 'scale' in step
    ]
    return tuple(scales[0]) if scales else None


_SHARE = 0.4
"""Of a scene's height that a person takes: measured, docs/search.md."""


def as_scene(
    image: np.ndarray, size: tuple[int, int] | None
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A person cut out, in the middle of an empty scene and as large as people are there.

    Around them is the mean colour of the image's edge, which is background mostly. A scene has a
    width and height; None: the image is taken as it is.

    Returns:
        The scene (h, w, 3) uint8, and the person's box xyxy in it.
    """
    height, width = image.shape[:2]
    if size is None:
        return image, (0, 0, width, height)
    scale = min(_SHARE * size[1] / height, size[0] / width)
    small = cv2.resize(
        image,
        (max(1, round(scale * width)), max(1, round(scale * height))),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    scene = np.full((size[1], size[0], 3), edge.mean(0), np.uint8)
    height, width = small.shape[:2]
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    scene[top : top + height, left : left + width] = small
    return scene, (left, top, left + width, top + height)


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
    'frozen',
    'frozen_stages',
    'init_cfg',
    'iou_thr',
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
    """Name a model by what it computes; in words, by config and checkpoint if there is no ``name``.

    Two models have the same fingerprint if their weights, the parts of their configs that decide
    what an embedding is, and the preprocessing of their test pipelines are the same, whichever
    files they came from: publishing a checkpoint, or training OIM's table further, changes nothing.
    Of a detector and a re-ID network one behind the other the second alone counts.
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
        file = Path(config.filename or 'config')
        # The config in a checkpoint is named after it, and that file need not be there.
        alone = checkpoint is None or (
            file == Path(checkpoint).with_suffix('.py') and not file.is_file()
        )
        name = file.stem if alone else f'{file.stem}, {Path(checkpoint).name}'
    scenes = getattr(model, 'scene_head', None)
    return ModelTag(digest.hexdigest(), model.embed_dim, name, scenes.embed_dim if scenes else 0)


def _computed(entry: Any) -> Any:
    """A part of a model's config without what :data:`_NOT_COMPUTED` and losses are."""
    if isinstance(entry, Mapping):
        return {
            key: _computed(value)
            for key, value in entry.items()
            if key not in _NOT_COMPUTED and not key.startswith('loss')
        }
    return [_computed(value) for value in entry] if isinstance(entry, (list, tuple)) else entry


def model_file(config: Config, model: nn.Module, checkpoint: str | os.PathLike) -> ModelFile:
    """What a file says about the model of a config with the weights of a checkpoint."""
    divisor = model.data_preprocessor.pad_size_divisor
    tag = replace(model_tag(config, model, checkpoint), scene_dim=0)  # people alone are exported
    return ModelFile(tag, divisor, plain_steps(config))


def plain_steps(config: Config) -> tuple[dict[str, Any], ...]:
    """What the test pipeline does to an image, as it is read from a file: lists for tuples."""
    return tuple(json.loads(json.dumps(test_steps(config))))
