"""State dicts as authors of published methods save them: names and shapes from how their networks
are built, numbers from the names.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

Shapes = Iterator[tuple[str, tuple[int, ...]]]
BLOCKS = {'layer1': (3, 64), 'layer2': (4, 128), 'layer3': (6, 256), 'layer4': (3, 512)}


def norm(name: str, width: int, affine: bool = True) -> Shapes:
    for part in ('weight', 'bias') if affine else ():
        yield f'{name}.{part}', (width,)
    yield f'{name}.running_mean', (width,)
    yield f'{name}.running_var', (width,)
    yield f'{name}.num_batches_tracked', ()


def dense(name: str, *shape: int, bias: bool = True) -> Shapes:
    yield f'{name}.weight', shape
    if bias:
        yield f'{name}.bias', shape[:1]


def layer(name: str, stage: str) -> Shapes:
    """A stage of torchvision's ResNet-50."""
    blocks, width = BLOCKS[stage]
    channels = 64 if stage == 'layer1' else 2 * width
    for number in range(blocks):
        block = f'{name}.{stage}.{number}'
        sizes = (width, channels, 1), (width, width, 3), (4 * width, width, 1)
        for i, (out, inside, kernel) in enumerate(sizes, 1):
            yield from dense(f'{block}.conv{i}', out, inside, kernel, kernel, bias=False)
            yield from norm(f'{block}.bn{i}', out)
        if number == 0:
            yield from dense(f'{block}.downsample.0', 4 * width, channels, 1, 1, bias=False)
            yield from norm(f'{block}.downsample.1', 4 * width)
        channels = 4 * width


def stem_and_proposals(anchors: int = 15) -> Shapes:
    yield from dense('backbone.conv1', 64, 3, 7, 7, bias=False)
    yield from norm('backbone.bn1', 64)
    for stage in ('layer1', 'layer2', 'layer3'):
        yield from layer('backbone', stage)
    yield from dense('rpn.head.conv', 1024, 1024, 3, 3)
    yield from dense('rpn.head.cls_logits', anchors, 1024, 1, 1)
    yield from dense('rpn.head.bbox_pred', 4 * anchors, 1024, 1, 1)


def norm_aware(kernel: tuple[int, ...] = ()) -> Shapes:
    """Box regression and embedding, with the kernel of a convolution where cells are embedded."""
    yield from dense('roi_heads.box_predictor.bbox_pred.0', 8, 2048)
    yield from norm('roi_heads.box_predictor.bbox_pred.1', 8)
    for name, channels in (('feat_res4', 1024), ('feat_res5', 2048)):
        there = f'roi_heads.embedding_head.projectors.{name}'
        yield from dense(f'{there}.0', 128, channels, *kernel)
        yield from norm(f'{there}.1', 128)
    yield from norm('roi_heads.embedding_head.rescaler', 1)


def tables(people: int, queue: int) -> Shapes:
    yield 'roi_heads.reid_loss.lut', (people, 256)
    yield 'roi_heads.reid_loss.cq', (queue, 256)


def seqnet(people: int = 482, queue: int = 500) -> Shapes:
    yield from stem_and_proposals()
    yield from layer('roi_heads.box_head', 'layer4')
    yield from norm_aware()
    yield from tables(people, queue)
    yield from dense('roi_heads.faster_rcnn_predictor.cls_score', 2, 2048)
    yield from dense('roi_heads.faster_rcnn_predictor.bbox_pred', 8, 2048)
    yield from layer('roi_heads.reid_head', 'layer4')


def nae(people: int = 482, queue: int = 500, kernel: tuple[int, ...] = ()) -> Shapes:
    yield from stem_and_proposals()
    yield from layer('roi_heads.box_head', 'layer4')
    yield from norm_aware(kernel)
    yield from dense('roi_heads.box_predictor.cls_score', 2, 2048)
    yield from tables(people, queue)


def naeplus(people: int = 482, queue: int = 500) -> Shapes:
    yield from nae(people, queue, (1, 1))


def oimnetpp(people: int = 482, queue: int = 500) -> Shapes:
    yield from stem_and_proposals(9)
    for head in ('box_head', 'reid_head'):
        yield from layer(f'roi_heads.{head}', 'layer4')
    yield from dense('roi_heads.box_predictor.bbox_cls', 2, 2048)
    yield from dense('roi_heads.box_predictor.bbox_pred', 8, 2048)
    there = 'roi_heads.embedding_head.projectors.feat_res5'
    yield from dense(f'{there}.0', 256, 2048, bias=False)
    yield from norm(f'{there}.1', 256, affine=False)
    yield from tables(people, queue)
    yield from dense('roi_heads.faster_rcnn_predictor.cls_score', 2, 2048)
    yield from dense('roi_heads.faster_rcnn_predictor.bbox_pred', 8, 2048)


METHODS = dict(seqnet=seqnet, nae=nae, naeplus=naeplus, oimnetpp=oimnetpp)


def blank(method: str, *sizes: int) -> dict[str, Tensor]:
    """A state dict of zeros, which takes no time."""
    return {
        name: torch.zeros(shape, dtype=torch.long if not shape else torch.float32)
        for name, shape in METHODS[method](*sizes)
    }


def drawn(method: str, gains: Mapping[str, float], *sizes: int) -> dict[str, Tensor]:
    """A state dict whose numbers come from the names, under which activations stay as they are.

    Args:
        method: Of :data:`METHODS`.
        gains: Factors on weights, by parts of their names.
        sizes: Rows of the tables.
    """
    return {name: _drawn(name, shape, gains) for name, shape in METHODS[method](*sizes)}


def _drawn(name: str, shape: tuple[int, ...], gains: Mapping[str, float]) -> Tensor:
    if not shape:
        return torch.zeros((), dtype=torch.long)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    gain = float(np.prod([gain for part, gain in gains.items() if part in name]))
    if len(shape) > 1:
        values = rng.standard_normal(shape, np.float32) * np.float32(
            gain * np.sqrt(2 / np.prod(shape[1:]))
        )
    elif name.endswith(('weight', 'running_var')):
        # Each block adds little to what goes past it.
        values = rng.uniform(0.75, 1.25, shape) * gain * (0.3 if '.bn3.w' in name else 1)
    else:
        values = rng.standard_normal(shape) * 0.05 * gain
    return torch.from_numpy(np.asarray(values, np.float32))
