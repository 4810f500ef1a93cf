import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmps.models.layers import SpatialTransformer
from mmps.registry import MODELS


@MODELS.register_module()
class PersonSearchRoIHead(StandardRoIHead):
    """Class, box and embedding of every region, from one identification network.

    RoIAlign -> (spatial transformer) -> (attention) -> identification network (``shared_head``) ->
    class and box (``bbox_head``, mmdet's), embedding (``reid_head``).

    Of mmdet's methods it replaces ``loss`` (the person ids of the sampled regions are needed),
    ``_bbox_forward`` (attention) and ``predict`` (embeddings of the final boxes). Boxes stay in the
    frame of the features; :class:`PersonSearch` takes them to image pixels.

    Args:
        reid_head: Config of the embedding branch; it also gets ``in_channels``.
        attention: Config of the attention; it also gets ``channels``. None: no attention.
        region_transformer: Arguments of a :class:`SpatialTransformer` on each region, or None.
        reid_iou: Regions that overlap their person less than this train detection only.
        kwargs: See mmdet's ``StandardRoIHead``.
    """

    def __init__(
        self,
        *,
        reid_head: dict,
        attention: dict | None = None,
        region_transformer: dict | None = None,
        reid_iou: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.reid_iou = reid_iou
        channels = self.bbox_roi_extractor.out_channels
        self.reid_head = MODELS.build(
            reid_head, default_args=dict(in_channels=self.bbox_head.in_channels)
        )
        self.attention = attention and MODELS.build(attention, default_args=dict(channels=channels))
        self.region_transformer = (
            None
            if region_transformer is None
            else SpatialTransformer(channels, **region_transformer)
        )

    def extract_regions(self, x: tuple[Tensor], rois: Tensor) -> Tensor:
        """RoIs ``(n, 5)`` (image index, xyxy) to identification features ``(n, c, h, w)``."""
        # In float32 under autocast as well: RoIAlign would round boxes to 16 bits, by up to 4
        # pixels in bfloat16, for which it has no kernel besides.
        maps = [feats.float() for feats in x[: self.bbox_roi_extractor.num_inputs]]
        feats = self.bbox_roi_extractor(maps, rois).to(x[0].dtype)
        if self.region_transformer is not None:
            feats, _ = self.region_transformer(feats)
        if self.attention is not None:
            feats = self.attention(feats)
        return self.shared_head(feats)

    def _bbox_forward(self, x: tuple[Tensor], rois: Tensor) -> dict[str, Tensor]:
        feats = self.extract_regions(x, rois)
        cls_score, bbox_pred = self.bbox_head(feats)
        return dict(cls_score=cls_score, bbox_pred=bbox_pred, bbox_feats=feats)

    def loss(
        self, x: tuple[Tensor], rpn_results_list: InstanceList, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Detection losses of the sampled regions, re-ID loss of those that hold a person.

        Args:
            x: One map ``(b, c, h, w)``.
            rpn_results_list: ``bboxes (m, 4)`` per image.
            batch_data_samples: ``gt_instances`` with bboxes, labels and person_ids.
        """
        samples = [
            self._sample(proposals, sample.gt_instances)
            for proposals, sample in zip(rpn_results_list, batch_data_samples, strict=True)
        ]
        results = self.bbox_loss(x, samples)
        people = zip(samples, batch_data_samples, strict=True)
        taught, person_ids = zip(
            *(self._identities(s, sample.gt_instances) for s, sample in people), strict=True
        )
        return {
            **results['loss_bbox'],
            **self.reid_head.loss(results['bbox_feats'][torch.cat(taught)], torch.cat(person_ids)),
        }

    def _identities(
        self, sampled: SamplingResult, gt_instances: InstanceData
    ) -> tuple[Tensor, Tensor]:
        """Which of an image's sampled regions ``(n,)`` train re-ID, and the ids of their people."""
        people = sampled.pos_assigned_gt_inds
        overlaps = bbox_overlaps(
            sampled.pos_priors, gt_instances.bboxes[people].view(-1, 4), is_aligned=True
        )
        # mmdet orders the regions: those that hold a person, then background.
        taught = torch.zeros(len(sampled.priors), dtype=torch.bool, device=people.device)
        taught[: len(people)] = overlaps >= self.reid_iou
        return taught, gt_instances.person_ids[people][overlaps >= self.reid_iou]

    def _sample(self, proposals: InstanceData, gt_instances: InstanceData) -> SamplingResult:
        candidates = InstanceData(priors=proposals.bboxes)
        assigned = self.bbox_assigner.assign(candidates, gt_instances)
        return self.bbox_sampler.sample(assigned, candidates, gt_instances)

    def predict(
        self,
        x: tuple[Tensor],
        rpn_results_list: InstanceList,
        batch_data_samples: SampleList,
        rescale: bool = False,
    ) -> InstanceList:
        """Detections with ``embeddings`` of their final boxes, in the frame of the features."""
        assert not rescale, 'boxes stay in the frame of the features'
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.predict_bbox(x, metas, rpn_results_list, self.test_cfg)
        embeddings = self.embed(x, [result.bboxes for result in results])
        for result, rows in zip(results, embeddings, strict=True):
            result.embeddings = rows
        return results

    def embed(self, x: tuple[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Embeddings ``(m, D)`` of boxes ``(m, 4)`` per image, xyxy in the frame of the features.

        The one way to an embedding, for detections, annotated boxes and queries alike.
        """
        rois = bbox2roi(boxes)
        if len(rois) == 0:
            return [rois.new_zeros(0, self.reid_head.embed_dim) for _ in boxes]
        embeddings = self.reid_head(self.extract_regions(x, rois))
        return list(embeddings.split([len(b) for b in boxes]))
