"""Operators of the exported graph that PyTorch has no exportable form of, and their ONNX forms.

mmcv's kernels cannot be traced. These stand for them while a model is exported; run by PyTorch they
call mmcv's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmcv.ops import nms, roi_align
from torch import Tensor


@torch.library.custom_op('mmps::suppress', mutates_args=())
def suppress(
    boxes: Tensor,
    scores: Tensor,
    max_per_class: Tensor,
    iou_threshold: float,
    score_threshold: float,
) -> Tensor:
    """Non-maximum suppression as ONNX defines it.

    Args:
        boxes: ``(b, n, 4)`` xyxy.
        scores: ``(b, c, n)``; only those above ``score_threshold`` count.
        max_per_class: ``()`` int64, the best so many are kept.
        iou_threshold: A box that overlaps a better one of its class by more is dropped.
        score_threshold: See ``scores``.

    Returns:
        ``(k, 3)`` int64: batch, class, box; the best first within batch and class.
    """
    kept = [torch.empty(0, 3, dtype=torch.int64, device=boxes.device)]
    for batch, classes in enumerate(scores):
        for label, row in enumerate(classes):
            (candidates,) = torch.where(row > score_threshold)
            _, order = nms(boxes[batch][candidates], row[candidates], iou_threshold)
            index = candidates[order[: int(max_per_class)]]
            place = torch.tensor([batch, label], device=index.device).expand(len(index), 2)
            kept.append(torch.cat([place, index[:, None]], 1))
    return torch.cat(kept)


@suppress.register_fake
def _(boxes, scores, max_per_class, iou_threshold, score_threshold):
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), 3, dtype=torch.int64)


@torch.library.custom_op('mmps::align', mutates_args=())
def align(
    x: Tensor, rois: Tensor, height: int, width: int, scale: float, samples: int, aligned: bool
) -> Tensor:
    """Average RoIAlign: map ``(b, c, h, w)``, RoIs ``(n, 5)`` (image, xyxy) to ``(n, c, height,
    width)``.
    """
    return roi_align(x.contiguous(), rois, (height, width), scale, samples, 'avg', aligned)


@align.register_fake
def _(x, rois, height, width, scale, samples, aligned):
    return x.new_empty(rois.shape[0], x.shape[1], height, width)


def translations() -> dict[Callable, Callable]:
    """What ``torch.onnx.export`` takes as ``custom_translation_table``."""
    from onnxscript import opset20 as op

    def to_suppress(boxes, scores, max_per_class, iou_threshold, score_threshold):
        return op.NonMaxSuppression(
            boxes,
            scores,
            op.Reshape(max_per_class, op.Constant(value_ints=[1])),
            op.Constant(value_floats=[iou_threshold]),
            op.Constant(value_floats=[score_threshold]),
        )

    def to_align(x, rois, height, width, scale, samples, aligned):
        images = op.Cast(op.Gather(rois, op.Constant(value_int=0), axis=1), to=7)
        corners = op.Gather(rois, op.Constant(value_ints=[1, 2, 3, 4]), axis=1)
        return op.RoiAlign(
            x,
            corners,
            images,
            coordinate_transformation_mode='half_pixel' if aligned else 'output_half_pixel',
            mode='avg',
            output_height=height,
            output_width=width,
            sampling_ratio=samples,
            spatial_scale=scale,
        )

    return {
        torch.ops.mmps.suppress.default: to_suppress,
        torch.ops.mmps.align.default: to_align,
    }
