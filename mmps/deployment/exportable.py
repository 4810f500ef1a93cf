"""A trained model in a form that can be traced, made of the model's own parts."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from mmps.deployment.stand_ins import traceable
from mmps.models.detectors import PersonSearch
from mmps.utils.errors import UserError


class ExportablePersonSearch(nn.Module):
    """Images and boxes in, people and embeddings out: :meth:`PersonSearch.predict` in tensors.

    Everything with weights is the model's own. What stands between is written for whole batches,
    without decisions that depend on the data, which a trace would freeze.

    Args:
        model: The model, which is left as it is.

    Raises:
        UserError: The model has a part that cannot be exported; the message names its key.
    """

    def __init__(self, model: PersonSearch):
        super().__init__()
        if not model.roi_head.repool:
            raise UserError('model.roi_head.repool=False cannot be exported')
        self.model = traceable(copy.deepcopy(model).eval())

    def forward(
        self, images: Tensor, sizes: Tensor, boxes: Tensor, box_images: Tensor, detect: Tensor
    ) -> tuple[Tensor, ...]:
        """Everybody in the images, and the embeddings of further boxes.

        Args:
            images: ``(b, h, w, 3)`` uint8, channels as the file's metadata say, resized, each in
                the upper left corner; height and width are multiples of ``size_divisor``.
            sizes: ``(b, 2)`` int64, height and width of each without the padding.
            boxes: ``(m, 4)`` float32 xyxy in pixels of ``images``, ``m`` may be 0.
            box_images: ``(m,)`` int64, the image of each box.
            detect: ``()`` bool; false: nobody is looked for, the boxes are embedded only.

        Returns:
            ``people_images (n,)`` int64, ``people_boxes (n, 4)`` in pixels of ``images``,
            ``people_scores (n,)``, ``people_embeddings (n, d)``, best first within an image, and
            ``box_embeddings (m, d)``.
        """
        x, frame = self.model.extract_frame(self._normalised(images, sizes))
        limits = sizes.flip(1).repeat(1, 2).to(torch.float32)
        proposals = self._propose(x[0], limits, detect)
        found, scores = self._detect(x, proposals, limits, detect)
        boxes_in_frame = boxes if frame is None else frame.to_warped(boxes, box_images)
        wanted = torch.cat([found, _rois(box_images, boxes_in_frame)])
        embeddings = self._embed(x, wanted)
        index, people = found[:, 0].to(torch.int64), found[:, 1:]
        if frame is not None:
            people = frame.to_image(people, index)
        people = people.minimum(limits[index]).clamp(min=0)
        count = found.shape[0]
        return index, people, scores, embeddings[:count], embeddings[count:]

    def _normalised(self, images: Tensor, sizes: Tensor) -> Tensor:
        """As mmdet's ``DetDataPreprocessor`` does: the padding is zero after normalisation."""
        preprocessor = self.model.data_preprocessor
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        if preprocessor._channel_conversion:
            x = x.flip(1)
        x = (x - preprocessor.mean) / preprocessor.std
        rows = torch.arange(images.shape[1], device=x.device) < sizes[:, :1]
        columns = torch.arange(images.shape[2], device=x.device) < sizes[:, 1:]
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(inside, x, 0.0)

    def _propose(self, x: Tensor, limits: Tensor, detect: Tensor) -> Tensor:
        """RoIs ``(k, 5)`` of the images with limits ``(b, 4)``: mmdet's ``RPNHead.predict``.

        One for each image if nobody is looked for.
        """
        head = self.model.rpn_head
        test_cfg = head.test_cfg
        (logits,), (deltas,) = head((x,))
        scores = logits.permute(0, 2, 3, 1).reshape(x.shape[0], -1).sigmoid()
        anchors = head.prior_generator.single_level_grid_priors(x.shape[-2:], 0, device=x.device)
        scores, best = scores.sort(dim=1, descending=True)
        scores, best = scores[:, : test_cfg.nms_pre], best[:, : test_cfg.nms_pre]
        deltas = deltas.permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
        deltas = deltas.gather(1, best[..., None].expand(-1, -1, 4))
        boxes = _decoded(head.bbox_coder, anchors[best], deltas, limits[:, None])
        sides = boxes[..., 2:] - boxes[..., :2]
        scores = torch.where((sides > test_cfg.get('min_bbox_size', -1)).all(-1), scores, -1.0)
        most = torch.where(detect, test_cfg.max_per_img, 1)
        kept = torch.ops.mmps.suppress(
            boxes, scores[:, None], most, test_cfg.nms.iou_threshold, -0.5
        )
        return _rois(kept[:, 0], boxes[kept[:, 0], kept[:, 2]])

    def _detect(
        self, x: tuple[Tensor, ...], rois: Tensor, limits: Tensor, detect: Tensor
    ) -> tuple[Tensor, Tensor]:
        """RoIs ``(n, 5)`` in the frame of the features and their scores: ``predict_bbox`` of mmdet
        with its ``multiclass_nms``.
        """
        head, test_cfg = self.model.roi_head, self.model.roi_head.test_cfg
        results = head._heads(head.extract_regions(x, rois))
        scores = results['cls_score'].softmax(1)[:, 0]
        images = rois[:, 0].to(torch.int64)
        boxes = _decoded(
            head.bbox_head.bbox_coder, rois[:, 1:], results['bbox_pred'], limits[images]
        )
        # Images take the place of classes, among which boxes do not suppress each other.
        own = detect & (images == torch.arange(limits.shape[0], device=images.device)[:, None])
        kept = torch.ops.mmps.suppress(
            boxes[None],
            torch.where(own, scores, -1.0)[None],
            images.new_full((), test_cfg.max_per_img),
            test_cfg.nms.iou_threshold,
            test_cfg.score_thr,
        )
        return _rois(kept[:, 1], boxes[kept[:, 2]]), scores[kept[:, 2]]

    def _embed(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """As :meth:`PersonSearchRoIHead.embed`."""
        head = self.model.roi_head
        # One more, which is dropped, for not every runtime takes none.
        rois = torch.cat([rois, rois.new_tensor([[0.0, 0.0, 0.0, 16.0, 16.0]])])
        regions = head.reid_network or head.extract_regions
        return head.reid_head(regions(x, rois))[:-1]


def _rois(images: Tensor, boxes: Tensor) -> Tensor:
    return torch.cat([images.to(boxes.dtype)[:, None], boxes], 1)


def _decoded(coder: nn.Module, boxes: Tensor, deltas: Tensor, limits: Tensor) -> Tensor:
    """Boxes ``(..., 4)`` moved by ``deltas``, within 0 and ``limits``, broadcastable.

    mmdet's ``decode`` clips to one image only and asks whether there are boxes.
    """
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    corner, opposite = boxes[..., :2], boxes[..., 2:]
    sides = opposite - corner
    centres = (corner + opposite) * 0.5 + sides * deltas[..., :2]
    # mmdet's bound on how much a box may grow or shrink.
    most = math.log(1000 / 16)
    half = sides * deltas[..., 2:].clamp(-most, most).exp() * 0.5
    return torch.cat([centres - half, centres + half], -1).clamp(min=0).minimum(limits)
