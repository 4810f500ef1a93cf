"""Conventions of other programs: torchvision's anchors, and py-faster-rcnn, in which OIM of 2017
was published. There a box has the pixels of both its corners: it is ``x2 - x1 + 1`` wide.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from mmps.registry import MODELS, TASK_UTILS


@TASK_UTILS.register_module()
class RoundedAnchorGenerator(AnchorGenerator):
    """mmdet's anchors with corners rounded to whole pixels, half to even, as torchvision's are.

    Example:
        >>> RoundedAnchorGenerator(strides=[16], ratios=[0.5], scales=[2.0]).base_anchors
        [tensor([[-23., -11.,  23.,  11.]])]
    """

    def gen_single_level_base_anchors(
        self, base_size: float, scales: Tensor, ratios: Tensor, center: tuple | None = None
    ) -> Tensor:
        return torch.round(super().gen_single_level_base_anchors(base_size, scales, ratios, center))


@TASK_UTILS.register_module()
class PyFasterRCNNAnchorGenerator(AnchorGenerator):
    """Anchors around a window of 16 pixels, whose sides are rounded before they are scaled.

    Example:
        >>> generator = PyFasterRCNNAnchorGenerator(strides=[16], ratios=[0.5, 2], scales=[8])
        >>> generator.base_anchors[0].tolist()
        [[-84.0, -40.0, 99.0, 55.0], [-36.0, -80.0, 51.0, 95.0]]
    """

    def gen_single_level_base_anchors(
        self, base_size: float, scales: Tensor, ratios: Tensor, center: None = None
    ) -> Tensor:
        widths = (base_size**2 / ratios).sqrt().round()
        heights = (widths * ratios).round()
        sides = torch.stack([widths, heights], 1)[:, None] * scales[:, None]
        half = (sides.view(-1, 2) - 1) / 2
        middle = (base_size - 1) / 2
        return torch.cat([middle - half, middle + half], 1)


@TASK_UTILS.register_module()
class PyFasterRCNNBBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's coder for boxes that have the pixels of both their corners; a side grows or shrinks
    by a factor of at most ``exp(10)``.

    Example:
        >>> coder = PyFasterRCNNBBoxCoder(target_stds=(0.1, 0.1, 0.2, 0.2))
        >>> box, person = torch.tensor([[0.0, 0, 9, 19]]), torch.tensor([[5.0, 0, 9, 9]])
        >>> coder.decode(box, coder.encode(box, person), max_shape=(10, 9)).round().tolist()
        [[5.0, 0.0, 8.0, 9.0]]
    """

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        return super().encode(_to_edges(bboxes), _to_edges(gt_bboxes))

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: Sequence[int] | None = None,
        wh_ratio_clip: float = math.exp(-10),
    ) -> Tensor:
        decoded = super().decode(_to_edges(bboxes), pred_bboxes, wh_ratio_clip=wh_ratio_clip)
        decoded = decoded - decoded.new_tensor([0, 0, 1, 1])
        if max_shape is None:
            return decoded
        height, width = max_shape[:2]
        corner = decoded.new_tensor([width - 1, height - 1] * 2)
        return decoded.clamp(min=0).minimum(corner)


def _to_edges(boxes: Tensor) -> Tensor:
    return boxes + boxes.new_tensor([0, 0, 1, 1])


@MODELS.register_module()
class PyFasterRCNNRPNHead(RPNHead):
    """mmdet's head, which drops small boxes before it takes the best ``nms_pre``, not after.

    Example:
        >>> from mmps.testing.tiny_models import small_config
        >>> model = small_config('oim/oim_r50-2017_prw.py').model
        >>> head = MODELS.build(dict(model.rpn_head, test_cfg=model.test_cfg.rpn))
        >>> maps = [torch.zeros(1, 18, 2, 2)], [torch.zeros(1, 36, 2, 2)]
        >>> meta = dict(img_shape=(32, 32), scale_factor=(2.0, 2.0))
        >>> (found,) = head.predict_by_feat(*maps, batch_img_metas=[meta])
        >>> found.bboxes.tolist()  # of 32 pixels, 16 in the original image
        [[0.0, 0.0, 31.0, 31.0]]

    ``min_size`` is the least width and height of a proposal, in pixels of the original image.
    """

    def __init__(self, *, min_size: float = 16, **kwargs):
        super().__init__(**kwargs)
        self.min_size = min_size

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: ConfigDict,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceData:
        cfg = self.test_cfg if cfg is None else cfg
        (logits,), (deltas,), (priors,) = cls_score_list, bbox_pred_list, mlvl_priors
        scores = logits.permute(1, 2, 0).reshape(-1, 2).softmax(1)[:, 0]
        deltas = deltas.permute(1, 2, 0).reshape(-1, 4)
        boxes = self.bbox_coder.decode(priors, deltas, max_shape=img_meta['img_shape'])
        least = self.min_size * min(img_meta['scale_factor'])
        large = (boxes[:, 2:] - boxes[:, :2] + 1 >= least).all(1)
        boxes, scores = boxes[large], scores[large]
        scores, order = scores.sort(descending=True)
        order = order[: cfg.nms_pre]
        results = InstanceData(bboxes=boxes[order], scores=scores[: cfg.nms_pre])
        results.level_ids = torch.zeros_like(order)
        return self._bbox_post_process(results, cfg, rescale, with_nms, img_meta)


@MODELS.register_module()
class PyFasterRCNNBBoxHead(BBoxHead):
    """mmdet's head, which moves boxes in pixels of the original image: it matters where a box is
    ``x2 - x1 + 1`` wide.

    Example:
        >>> coder = dict(type='PyFasterRCNNBBoxCoder')
        >>> head = PyFasterRCNNBBoxHead(num_classes=1, reg_class_agnostic=True, bbox_coder=coder)
        >>> meta = dict(img_shape=(64, 64), ori_shape=(32, 32), scale_factor=(2.0, 2.0))
        >>> rois = torch.tensor([[0, 16.0, 16, 32, 48]])
        >>> outputs = [torch.zeros(1, 2)], [torch.tensor([[0, 0, math.log(2), 0]])]
        >>> (found,) = head.predict_by_feat([rois], *outputs, [meta])
        >>> found.bboxes.round(decimals=1).tolist()  # 9 pixels of the original become 18
        [[7.0, 16.0, 41.0, 48.0]]
    """

    def _predict_by_feat_single(
        self,
        roi: Tensor,
        cls_score: Tensor,
        bbox_pred: Tensor,
        img_meta: dict,
        rescale: bool = False,
        rcnn_test_cfg: ConfigDict | None = None,
    ) -> InstanceData:
        scale = roi.new_tensor(img_meta['scale_factor']).repeat(2)
        roi = torch.cat([roi[:, :1], roi[:, 1:] / scale], 1)
        meta = {**img_meta, 'img_shape': img_meta['ori_shape']}
        results = super()._predict_by_feat_single(
            roi, cls_score, bbox_pred, meta, False, rcnn_test_cfg
        )
        if not rescale:
            results.bboxes = results.bboxes * scale
        return results


@MODELS.register_module()
class QuantisedRoIPool(BaseModule):
    """Max pooling of regions whose corners and bins are rounded to cells, on any device.

    The operator of Fast R-CNN: corners are rounded half away from zero, and a bin reaches from
    the floor of its begin to the ceiling of its end. mmcv's ``RoIPool`` rounds otherwise, and not
    at all on CPUs. Stands where a config has a RoI extractor.

    Example:
        >>> pool = QuantisedRoIPool(output_size=2, out_channels=1)
        >>> x = torch.arange(16.0).view(1, 1, 4, 4)
        >>> pool((x,), torch.tensor([[0, 0.0, 0, 32, 32]]))  # cells 0 to 2, so that bins overlap
        tensor([[[[ 5.,  6.],
                  [ 9., 10.]]]])

    ``output_size`` is the number of bins along each side; the map has ``out_channels``.
    """

    num_inputs = 1

    def __init__(self, output_size: int, out_channels: int, featmap_strides: Sequence[int] = (16,)):
        super().__init__()
        self.output_size = output_size
        self.out_channels = out_channels
        self.featmap_strides = tuple(featmap_strides)

    def forward(self, feats: tuple[Tensor], rois: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` and RoIs ``(n, 5)`` (image index, xyxy in image pixels) to regions
        ``(n, c, output_size, output_size)``; a bin outside the map is 0.
        """
        (x,) = feats
        b, c, h, w = x.shape
        corners = rois[:, 1:] / self.featmap_strides[0]
        corners = torch.where(corners < 0, (corners - 0.5).ceil(), (corners + 0.5).floor())
        y = self._bins(corners[:, 1], corners[:, 3], h)
        x_ = self._bins(corners[:, 0], corners[:, 2], w)
        # A bin is covered by four windows whose sides are powers of two; of each such window a map
        # holds the largest value, where it begins.
        across = _levels(x_)
        maps = [line for high in _doubled(x, _levels(y), 2) for line in _doubled(high, across, 3)]
        rows = torch.stack(maps).permute(0, 1, 3, 4, 2).reshape(-1, c)
        image = rois[:, 0].long().view(-1, 1, 1)
        found = None
        for (y_level, y_at), (x_level, x_at) in product(_windows(y), _windows(x_)):
            index = y_level[:, :, None] * across + x_level[:, None, :]
            index = ((index * b + image) * h + y_at[:, :, None]) * w + x_at[:, None, :]
            value = rows[index]
            found = value if found is None else torch.maximum(found, value)
        filled = (y[1] > y[0])[:, :, None] & (x_[1] > x_[0])[:, None, :]
        return (found * filled[..., None]).permute(0, 3, 1, 2)

    def _bins(self, first: Tensor, last: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """First cell of each bin ``(n, output_size)`` and the one behind its last."""
        side = (last - first + 1).clamp(min=1)[:, None] / self.output_size
        steps = torch.arange(self.output_size, device=first.device, dtype=side.dtype)
        begin = (steps * side).floor() + first[:, None]
        end = ((steps + 1) * side).ceil() + first[:, None]
        return begin.clamp(0, length).long(), end.clamp(0, length).long()


def _levels(bins: tuple[Tensor, Tensor]) -> int:
    longest = int((bins[1] - bins[0]).max()) if len(bins[0]) else 1
    return max(longest, 1).bit_length()


def _doubled(x: Tensor, levels: int, dim: int) -> Iterator[Tensor]:
    """Maps of the largest values in windows of 1, 2, 4, ... cells along an axis, where they begin;
    they may end beyond the map.
    """
    yield x
    for step in (2**level for level in range(levels - 1)):
        if step < x.shape[dim]:
            further = x.narrow(dim, step, x.shape[dim] - step)
            near = torch.maximum(x.narrow(dim, 0, further.shape[dim]), further)
            x = torch.cat([near, x.narrow(dim, further.shape[dim], step)], dim)
        yield x


def _windows(bins: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Level and first cell of the two windows that cover each bin."""
    begin, end = bins
    length = (end - begin).clamp(min=1)
    level = length.float().log2().floor().long()
    begin = begin.minimum(end - 1).clamp(min=0)
    return [(level, begin), (level, (end - 2**level).maximum(begin))]
