"""Operators of the exported graph that PyTorch has no exportable form of, and their ONNX forms.

mmcv's kernels cannot be traced. These stand for them while a model is exported; run by PyTorch they
call mmcv's.
"""

from __future__ import annotations

import torch
from mmcv.ops import nms, roi_align
from torch import Tensor

OPSET = 20
"""Version of ONNX's operators that files are written in."""


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


@torch.library.custom_op('mmps::align', mutates_args=())
def align(
    x: Tensor, rois: Tensor, height: int, width: int, scale: float, samples: int, aligned: bool
) -> Tensor:
    """Average RoIAlign: map ``(b, c, h, w)``, RoIs ``(n, 5)`` (image, xyxy) to ``(n, c, height,
    width)``.
    """
    return roi_align(x.contiguous(), rois, (height, width), scale, samples, 'avg', aligned)


def register_onnx_forms() -> None:
    """Tell the exporter what to write for the operators above."""
    from torch.onnx import register_custom_op_symbolic, symbolic_helper

    def constant(graph, value):
        return graph.op('Constant', value_t=torch.tensor(value))

    @symbolic_helper.parse_args('v', 'v', 'v', 'f', 'f')
    def suppress_in_onnx(graph, boxes, scores, max_per_class, iou_threshold, score_threshold):
        return graph.op(
            'NonMaxSuppression',
            boxes,
            scores,
            graph.op('Reshape', max_per_class, constant(graph, [1])),
            constant(graph, [iou_threshold]),
            constant(graph, [score_threshold]),
        )

    @symbolic_helper.parse_args('v', 'v', 'i', 'i', 'f', 'i', 'b')
    def align_in_onnx(graph, x, rois, height, width, scale, samples, aligned):
        images = graph.op('Gather', rois, constant(graph, 0), axis_i=1)
        return graph.op(
            'RoiAlign',
            x,
            graph.op('Gather', rois, constant(graph, [1, 2, 3, 4]), axis_i=1),
            graph.op('Cast', images, to_i=7),  # int64
            coordinate_transformation_mode_s='half_pixel' if aligned else 'output_half_pixel',
            mode_s='avg',
            output_height_i=height,
            output_width_i=width,
            sampling_ratio_i=samples,
            spatial_scale_f=scale,
        )

    register_custom_op_symbolic('mmps::suppress', suppress_in_onnx, OPSET)
    register_custom_op_symbolic('mmps::align', align_in_onnx, OPSET)
