"""RoI heads of one or several stages, each of which moves the boxes that the next one sees."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import nms
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmdet.utils import InstanceList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmps.models.layers import fast
from mmps.models.layers.fast import RegionsOfMap, Result, align_regions, extract
from mmps.models.roi_heads.norm_aware_head import footprints, two_classes
from mmps.models.roi_heads.person_search_roi_head import _RegionEmbedding, scores_and_boxes
from mmps.registry import MODELS, TASK_UTILS

BACKGROUND = -2
"""The person id of a region without a person; -1 is a person of whom nobody knows who it is."""


@MODELS.register_module()
class PooledRegion(BaseModule):
    """A region network, whose input and output are both pooled to one cell.

    Example:
        >>> region = PooledRegion(dict(type='ResLayer', depth=50, stage=3, norm_eval=False))
        >>> [pooled.shape for pooled in region(torch.rand(2, 1024, 14, 14))]
        [torch.Size([2, 1024, 1, 1]), torch.Size([2, 2048, 1, 1])]

    Args:
        network: Config of the region network. One that gives several maps has them all pooled in
            place of its input and output.
        pool: ``'max'``, ``'avg'``, or None, which leaves the maps as they are.

    Raises:
        ValueError: There is no such pooling.
    """

    POOLS = {'max': F.adaptive_max_pool2d, 'avg': F.adaptive_avg_pool2d}

    def __init__(self, network: dict, pool: str | None = 'max', init_cfg: dict | None = None):
        super().__init__(init_cfg)
        if pool is not None and pool not in self.POOLS:
            raise ValueError(f'PooledRegion: pool={pool!r}; there are {", ".join(self.POOLS)}')
        self.network = MODELS.build(network)
        self.pool = pool

    def forward(self, regions: Tensor) -> tuple[Tensor, ...]:
        """Regions ``(n, c, h, w)`` to maps ``(n, c_i, 1, 1)``; unpooled ``(n, c_i, h_i, w_i)``."""
        maps = self.network(regions)
        return self.pooled(maps if isinstance(maps, (tuple, list)) else (regions, maps))

    def pooled(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Maps ``(n, c_i, h_i, w_i)`` as they are handed on."""
        if self.pool is None:
            return tuple(maps)
        return tuple(self.POOLS[self.pool](x, 1) for x in maps)


class _RoIStage(BaseModule):
    """One stage: a region network, its box head, its re-ID head if it has one, and how its regions
    are assigned to people in training.
    """

    def __init__(
        self,
        shared_head: dict,
        bbox_head: dict,
        reid_head: dict | None,
        assigner: dict | None,
        nms_thr: float,
    ):
        super().__init__()
        self.shared_head = MODELS.build(shared_head)
        self.bbox_head = MODELS.build(bbox_head)
        self.reid_head = reid_head and MODELS.build(reid_head)
        self.assigner = assigner and TASK_UTILS.build(assigner)
        self.iou_threshold = nms_thr
        if self.bbox_head.with_cls:
            return
        if self.reid_head is None or self.reid_head.length_norm is None:
            raise ValueError(
                'SequentialRoIHead: a stage whose bbox_head has with_cls=False needs a reid_head '
                'with logit=True'
            )

    def maps(self, regions: Tensor) -> tuple[Tensor, ...]:
        """What box head and re-ID head take, of regions ``(n, c, h, w)``."""
        maps = self.shared_head(regions)
        return maps if isinstance(maps, tuple) else (maps,)

    def forward(
        self, maps: Sequence[Tensor], person_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Of regions: ``cls_score (n, 2)`` if the box head has it, ``bbox_pred (n, 4)`` and, with a
        re-ID head, ``unscaled`` embeddings; ``person_ids (n,)`` are known in training.
        """
        own = maps[:2][-1]
        cls_score, bbox_pred = scores_and_boxes(
            self.bbox_head, own if self.bbox_head.with_avg_pool else own.flatten(1)
        )
        results = dict(cls_score=cls_score, bbox_pred=bbox_pred)
        if self.reid_head is not None:
            results['unscaled'] = self.reid_head.unscaled(maps, person_ids)
        return {key: value for key, value in results.items() if value is not None}

    def scores(self, results: Mapping[str, Tensor]) -> Tensor:
        """How surely each region is a person, ``(n,)`` in [0, 1]."""
        if 'cls_score' in results:
            return results['cls_score'].softmax(1)[:, 0]
        return self.reid_head.person_scores(results['unscaled'])


@MODELS.register_module()
class SequentialRoIHead(_RegionEmbedding, BaseModule):
    """Stages one behind the other: proposals, then boxes that the first has moved, and so on.

    Each stage has a region network and heads of its own, and suppresses overlapping boxes before
    the next one sees them (Li and Miao, Sequential End-to-End Network for Efficient Person Search,
    AAAI 2021). An embedding is that of the box that goes into the last stage, not of the box that
    comes out. With one stage: the embedding of the proposal.

    Boxes stay in the frame of the features; :class:`PersonSearch` takes them to image pixels.

    Example:
        >>> from mmps.testing.tiny_models import slim_sequential
        >>> head = MODELS.build(slim_sequential('seqnet/seqnet_r50_prw.py')).roi_head.eval()
        >>> (rows,) = head.embed((torch.rand(1, 4, 8, 8),), [torch.tensor([[16.0, 16, 64, 96]])])
        >>> rows.shape
        torch.Size([1, 16])

    Args:
        bbox_roi_extractor: Config of the RoI extractor that all stages take regions with.
        stages: For each ``shared_head``, which makes one map or several of regions ``(n, c, h,
            w)``; ``bbox_head``, mmdet's, which takes the second of them or the only one, and
            without classes (``with_cls=False``) leaves it to the re-ID head to tell people apart
            from background; and, where they differ from ``train_cfg`` and ``test_cfg``,
            ``iou_thr``, the overlap with a person from which on a region is a person in training,
            and ``nms_thr``, the overlap from which on the less certain of two detections is
            dropped.
        reid_head: Config of the re-ID head, which takes all maps.
        embed_from: Numbers of the stages that have one, ascending; their embeddings side by side
            are that of a person. None: the last alone.
        score: ``'first'``: a detection keeps the score of the first stage; ``'last'``: it gets that
            of each stage.
        train_cfg: ``assigner``, ``sampler`` and ``pos_weight`` as for mmdet's RoI heads.
        test_cfg: ``score_thr``, ``nms``, ``max_per_img`` as for mmdet's; ``min_box_size``: boxes
            with a shorter side are dropped; ``relative_scores``: scores are divided by the best of
            the image.

    Raises:
        ValueError: There is no such score, or a stage has nothing that tells people apart.
    """

    reid_network = None

    def __init__(
        self,
        *,
        bbox_roi_extractor: dict,
        stages: Sequence[Mapping[str, Any]],
        reid_head: dict,
        embed_from: Sequence[int] | None = None,
        score: str = 'first',
        train_cfg: dict | None = None,
        test_cfg: dict,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if score not in ('first', 'last'):
            raise ValueError(f"SequentialRoIHead: score={score!r}; there are 'first' and 'last'")
        self.score = score
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self.bbox_roi_extractor = align_regions(MODELS.build(bbox_roi_extractor))
        self.embed_from = [len(stages) - 1] if embed_from is None else list(embed_from)
        self.stages = nn.ModuleList(
            self._stage(stage, reid_head if number in self.embed_from else None)
            for number, stage in enumerate(stages)
        )
        self.bbox_sampler = train_cfg and TASK_UTILS.build(train_cfg['sampler'])

    def _stage(self, stage: Mapping[str, Any], reid_head: dict | None) -> _RoIStage:
        options = {'nms_thr': self.test_cfg['nms']['iou_threshold'], **stage}
        iou_thr = options.pop('iou_thr', None)
        assigner = self.train_cfg and self.train_cfg['assigner']
        if assigner and iou_thr is not None:
            same = ('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou')
            assigner = {**assigner, **dict.fromkeys(same, iou_thr)}
        return _RoIStage(**options, reid_head=reid_head, assigner=assigner)

    @property
    def reid_heads(self) -> list[nn.Module]:
        return [self.stages[number].reid_head for number in self.embed_from]

    def region_networks(self) -> list[nn.Module]:
        """The networks behind the stem that take its pretrained weights."""
        networks = [stage.shared_head for stage in self.stages]
        for i, network in enumerate(networks):
            while hasattr(network, 'network'):
                networks[i] = network = network.network
        return [one for one in networks if getattr(one, 'takes_pretrained', True)]

    def _maps(
        self,
        stage: _RoIStage,
        x: tuple[Tensor, ...],
        rois: Tensor,
        of_map: RegionsOfMap | None = None,
    ) -> tuple[Tensor, ...]:
        """What box head and re-ID head take, of RoIs ``(n, 5)``."""
        # What else there is of each image, such as its context, is for re-ID.
        of_images = x[self.bbox_roi_extractor.num_inputs :]
        if of_map is not None and stage.reid_head is None and not of_images:
            return stage.shared_head.pooled([of_map(rois)])
        regions = extract(self.bbox_roi_extractor, x, rois)
        if of_map is None:
            maps = stage.maps(regions)
        else:
            maps = stage.shared_head.pooled([regions, of_map(rois)])
        return *maps, *(whole[rois[:, 0].long()] for whole in of_images)

    def _of_parts(
        self,
        function: Callable[[tuple[Tensor, ...]], Result],
        stage: _RoIStage,
        x: tuple[Tensor, ...],
        rois: Tensor,
    ) -> list[Result]:
        """What ``function`` makes of the same, of few RoIs at a time."""
        shared, extractor, of_map = stage.shared_head, self.bbox_roi_extractor, None
        if type(shared) is PooledRegion and RegionsOfMap.serves(
            extractor, shared.network, x[0], len(rois)
        ):
            of_map = RegionsOfMap(extractor, shared.network, x)
        return fast.of_parts(lambda some: function(self._maps(stage, x, some, of_map)), rois)

    def loss(
        self, x: tuple[Tensor, ...], rpn_results_list: InstanceList, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses of all stages, of what :class:`PersonSearchRoIHead` takes; of several, ``s0.``,
        ``s1.`` and so on say of which.
        """
        boxes = [proposals.bboxes for proposals in rpn_results_list]
        losses = {}
        for number, stage in enumerate(self.stages):
            found, boxes = self._stage_loss(stage, x, boxes, batch_data_samples)
            prefix = f's{number}.' if len(self.stages) > 1 else ''
            losses |= {f'{prefix}{name}': value for name, value in found.items()}
        return losses

    def _stage_loss(
        self, stage: _RoIStage, x: tuple[Tensor, ...], boxes: list[Tensor], samples: SampleList
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Losses of a stage, and the sampled boxes as it moves them."""
        people = [sample.gt_instances for sample in samples]
        pairs = zip(boxes, people, strict=True)
        sampled = [self._sample(*pair, stage.assigner) for pair in pairs]
        rois = bbox2roi([one.priors for one in sampled])
        parts = self._learning_parts(stage.shared_head, rois)
        parts = [self._maps(stage, x, some) for some in parts]
        ids, held = zip(*map(_people_of, sampled, people), strict=True)
        ids, held = torch.cat(ids), torch.cat(held)
        results = stage([torch.cat(maps) for maps in zip(*parts, strict=True)], ids)
        losses = {} if stage.reid_head is None else _reid_loss(stage, results, rois, ids, held)
        head = stage.bbox_head.loss_and_target(
            results.get('cls_score'), results['bbox_pred'], rois, sampled, self.train_cfg
        )
        split = results['bbox_pred'].detach().split([len(one.priors) for one in sampled])
        moved = [
            stage.bbox_head.bbox_coder.decode(one.priors, deltas, max_shape=sample.img_shape)
            for one, deltas, sample in zip(sampled, split, samples, strict=True)
        ]
        return losses | head['loss_bbox'], moved

    def predict(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: SampleList,
        rescale: bool = False,
    ) -> InstanceList:
        """Detections with ``embeddings`` of the boxes that the last stage saw, in the frame of the
        features.
        """
        assert not rescale, 'boxes stay in the frame of the features'
        found = [InstanceData(bboxes=proposals.bboxes) for proposals in rpn_results_list]
        for stage in self.stages:
            last = stage is self.stages[-1]
            given = [people.bboxes for people in found]
            results = self._results(stage, x, given, embed=last)
            if last and not all('embeddings' in own for own in results):
                for own, rows in zip(results, self.embed(x, given), strict=True):
                    own.embeddings = rows
            found = [
                self._suppressed(stage, own, people, sample)
                for own, people, sample in zip(results, found, batch_data_samples, strict=True)
            ]
        for people in found:
            people.labels = torch.zeros_like(people.scores, dtype=torch.long)
        return found

    def _results(
        self, stage: _RoIStage, x: tuple[Tensor, ...], boxes: list[Tensor], embed: bool
    ) -> list[InstanceData]:
        """For the boxes of each image ``bbox_pred`` and ``scores``; ``embeddings`` too, if they
        are wanted and from this stage alone.
        """
        rois = bbox2roi(boxes)
        if len(rois) == 0:
            empty = dict(bbox_pred=rois.new_zeros(0, 4), scores=rois.new_zeros(0))
            return [InstanceData(**empty) for _ in boxes]

        def judged(maps: tuple[Tensor, ...]) -> dict[str, Tensor]:
            results = stage(maps)
            part = dict(bbox_pred=results['bbox_pred'].float(), scores=stage.scores(results))
            if embed and self.reid_heads == [stage.reid_head]:
                part['embeddings'] = stage.reid_head.embeddings(results['unscaled'])
            return part

        parts = self._of_parts(judged, stage, x, rois)
        joined = InstanceData(**{key: torch.cat([p[key] for p in parts]) for key in parts[0]})
        ends = torch.tensor([len(own) for own in boxes]).cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        return [joined[start:end] for start, end in zip(starts, ends, strict=True)]

    def _suppressed(
        self, stage: _RoIStage, results: InstanceData, people: InstanceData, sample: Any
    ) -> InstanceData:
        """Boxes as the stage moves them, and what is kept of them, best first."""
        cfg = self.test_cfg
        boxes = stage.bbox_head.bbox_coder.decode(
            people.bboxes, results.bbox_pred, max_shape=sample.img_shape
        )
        carried = 'scores' in people and self.score == 'first'
        scores = people.scores if carried else results.scores.float()
        if cfg.get('relative_scores') and len(scores):
            scores = scores / scores.max()
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = (scores > cfg['score_thr']) & (sides >= cfg.get('min_box_size', 0)).all(1)
        (kept,) = torch.where(kept)
        _, order = nms(boxes[kept], scores[kept], stage.iou_threshold)
        kept = kept[order[: cfg['max_per_img']]]
        found = InstanceData(bboxes=boxes[kept], scores=scores[kept])
        if 'embeddings' in results:
            found.embeddings = results.embeddings[kept]
        return found

    def embed_rois(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        rows = [
            torch.cat(self._of_parts(stage.reid_head, stage, x, rois))
            for stage in (self.stages[number] for number in self.embed_from)
        ]
        return rows[0] if len(rows) == 1 else F.normalize(torch.cat(rows, 1))


def _people_of(sampled: SamplingResult, people: InstanceData) -> tuple[Tensor, Tensor]:
    """Ids of an image's sampled regions ``(n,)``, and the boxes ``(m, 4)`` of the people that they
    hold: mmdet puts those that hold one first.
    """
    ids = people.person_ids.new_full((len(sampled.priors),), BACKGROUND)
    held = sampled.pos_assigned_gt_inds
    ids[: len(held)] = people.person_ids[held]
    return ids, people.bboxes[held].view(-1, 4)


def _reid_loss(
    stage: _RoIStage, results: dict[str, Tensor], rois: Tensor, ids: Tensor, held: Tensor
) -> dict[str, Tensor]:
    """Of the regions that hold people; where re-ID tells people apart from background, also of
    that, or the class that the box head's loss is to take, in ``results``.

    All regions ``rois (n, 5)`` have ``ids (n,)``; ``held (m, 4)`` are the boxes of the people in
    those that hold one.
    """
    head, unscaled = stage.reid_head, results['unscaled']
    taught = ids != BACKGROUND
    losses, logit = {}, None
    if 'cls_score' not in results:
        logit = head.person_logit(unscaled)
        if logit.ndim > 1:
            covered = torch.zeros_like(logit)
            covered[taught] = footprints(rois[taught, 1:], held, logit.shape[1:])
            losses['loss_cls'] = F.binary_cross_entropy_with_logits(logit, covered)
        else:
            results['cls_score'] = two_classes(logit)
    overlaps = bbox_overlaps(rois[taught, 1:], held, is_aligned=True)
    embeddings = head.embeddings(unscaled[taught], None if logit is None else logit[taught])
    return losses | head.loss_by_feat(embeddings, ids[taught], overlaps)
