"""The RoI head of the paper, with its attention, re-ID's own region network and jittered boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.layers import multiclass_nms
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi, bbox_overlaps
from mmdet.utils import InstanceList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmps.models.layers import fast
from mmps.models.layers.fast import Result, align_regions, extract
from mmps.models.necks.stn import SpatialTransformer
from mmps.models.roi_heads.norm_aware_head import two_classes
from mmps.registry import MODELS

MODES = ('spatial', 'channel', 'both')


@dataclass(frozen=True)
class BoxJitter:
    """Moved and resized copies of boxes, as a detector might have drawn them.

    Example:
        >>> BoxJitter(copies=3, shift=0.0, scale=0.0)(torch.tensor([[10.0, 20.0, 30.0, 80.0]]))
        tensor([[10., 20., 30., 80.],
                [10., 20., 30., 80.],
                [10., 20., 30., 80.]])

    Args:
        copies: Copies of each box.
        shift: Largest move of the centre, in widths and heights of the box.
        scale: Largest change of width and height, as a fraction.
    """

    copies: int
    shift: float = 0.05
    scale: float = 0.1

    def __call__(self, boxes: Tensor) -> Tensor:
        """Boxes ``(n, 4)``, xyxy, to ``(copies * n, 4)``: all boxes, then all again."""
        boxes = boxes.repeat(self.copies, 1)
        size = boxes[:, 2:] - boxes[:, :2]
        noise = torch.empty(2, *size.shape, dtype=size.dtype, device=size.device).uniform_(-1, 1)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + self.shift * noise[0] * size
        half = size * (1 + self.scale * noise[1]) / 2
        return torch.cat([centre - half, centre + half], 1)


class _RegionEmbedding:
    """What RoI heads that embed people share.

    Attributes:
        reid_heads: From which an embedding comes, side by side.
    """

    reid_heads: Sequence[nn.Module]

    def embed(self, x: tuple[Tensor, ...], boxes: list[Tensor]) -> list[Tensor]:
        """Embeddings ``(m, D)`` of boxes ``(m, 4)`` per image, xyxy in the frame of the features.

        The one way to an embedding, for detections, annotated boxes and queries alike.
        """
        rois = bbox2roi(boxes)
        if len(rois):
            rows = self.embed_rois(x, rois)
        else:
            rows = rois.new_zeros(0, sum(head.embed_dim for head in self.reid_heads))
        return list(rows.split([len(own) for own in boxes]))

    def embed_rois(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """The same of at least one RoI ``(n, 5)`` (image index, xyxy), ``(n, D)``."""
        raise NotImplementedError

    def _sample(self, boxes: Tensor, people: InstanceData, assigner: Any) -> SamplingResult:
        candidates = InstanceData(priors=boxes)
        assigned = assigner.assign(candidates, people)
        return self.bbox_sampler.sample(assigned, candidates, people)

    @staticmethod
    def _learning_parts(network: nn.Module, rois: Tensor) -> Sequence[Tensor]:
        """RoIs as they go through a network in training."""
        # Statistics of a part would not be those of the batch.
        if not fast.uses_running_statistics(network):
            return [rois]
        return fast.in_parts(rois, recomputed=getattr(network, 'with_cp', False))


@MODELS.register_module()
class PersonSearchRoIHead(_RegionEmbedding, StandardRoIHead):
    """Class, box and embedding of every region, from one identification network.

    RoIAlign -> (spatial transformer) -> (attention) -> identification network (``shared_head``) ->
    class and box (``bbox_head``, mmdet's), embedding (``reid_head``). Boxes stay in the frame of
    the features; :class:`PersonSearch` takes them to image pixels.

    Example:
        >>> from mmps.testing.tiny_models import slim_model
        >>> head = MODELS.build(slim_model()).roi_head
        >>> boxes = torch.tensor([[16.0, 16.0, 64.0, 96.0]])
        >>> [rows.shape for rows in head.embed((torch.rand(2, 4, 8, 8),), [boxes, boxes[:0]])]
        [torch.Size([1, 16]), torch.Size([0, 16])]

    Args:
        reid_head: Config of the embedding branch; it also gets ``in_channels``.
        attention: Config of the attention; it also gets ``channels``. None: no attention.
        region_transformer: Arguments of a :class:`SpatialTransformer` on each region, or None.
        reid_network: Config of a :class:`RegionNetwork` for re-ID alone; None: re-ID shares that of
            detection (paper).
        reid_iou: Regions that overlap their person less than this train detection only.
        reid_jitter: Arguments of a :class:`BoxJitter`, whose moved copies of labelled boxes train
            re-ID, too; needs a ``reid_network``.
        repool: A detection is embedded from features of its own box (paper); False: of its
            proposal.
        kwargs: See mmdet's ``StandardRoIHead``. Without a ``shared_head`` the regions are the
            features.
    """

    def __init__(
        self,
        *,
        reid_head: dict,
        attention: dict | None = None,
        region_transformer: dict | None = None,
        reid_network: dict | None = None,
        reid_iou: float = 0.0,
        reid_jitter: dict | None = None,
        repool: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not self.with_shared_head:
            self.shared_head = nn.Identity()
        self.reid_iou = reid_iou
        self.repool = repool
        self.reid_jitter = reid_jitter and BoxJitter(**reid_jitter)
        self.focus = _RegionFocus(
            self.bbox_roi_extractor.out_channels, attention, region_transformer
        )
        self.reid_network = reid_network and MODELS.build({'type': 'RegionNetwork', **reid_network})
        width = (
            self.reid_network.network.out_channels if reid_network else self.bbox_head.in_channels
        )
        self.reid_head = MODELS.build(reid_head, default_args=dict(in_channels=width))
        self.norm_aware = self.reid_head.length_norm is not None
        if reid_jitter and not reid_network:
            raise ValueError('PersonSearchRoIHead: reid_jitter needs a reid_network')
        if self.norm_aware and reid_network:
            raise ValueError(
                'PersonSearchRoIHead: reid_head.norm_aware needs the embedding of every proposal, '
                'which a reid_network does not give; set one of them to None'
            )

    def init_bbox_head(self, bbox_roi_extractor: dict, bbox_head: dict) -> None:
        super().init_bbox_head(bbox_roi_extractor, bbox_head)
        align_regions(self.bbox_roi_extractor)

    @property
    def reid_heads(self) -> list[nn.Module]:
        return [self.reid_head]

    def region_networks(self) -> list[nn.Module]:
        """The networks behind the stem that take its pretrained weights, detection's first."""
        own = [] if self.reid_network is None else [self.reid_network.network]
        return [self.shared_head, *own]

    def extract_regions(self, x: tuple[Tensor], rois: Tensor) -> Tensor:
        """RoIs ``(n, 5)`` (image index, xyxy) to identification features ``(n, c, h, w)``."""
        return self.shared_head(self.focus(extract(self.bbox_roi_extractor, x, rois)))

    def _bbox_forward(self, x: tuple[Tensor], rois: Tensor) -> dict[str, Tensor]:
        parts = self._of_parts(lambda some: self._heads(self.extract_regions(x, some)), rois)
        return {key: torch.cat([part[key] for part in parts]) for key in ('cls_score', 'bbox_pred')}

    def _heads(self, feats: Tensor) -> dict[str, Tensor]:
        """Class, box and, if norm-aware, unscaled embedding of identification features."""
        cls_score, bbox_pred = scores_and_boxes(self.bbox_head, feats)
        results = dict(cls_score=cls_score, bbox_pred=bbox_pred)
        if self.norm_aware:
            results['unscaled'] = self.reid_head.unscaled(feats)
            logit = self.reid_head.person_logit(results['unscaled'])
            results['cls_score'] = two_classes(logit)
        return results

    def loss(
        self, x: tuple[Tensor], rpn_results_list: InstanceList, batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Detection losses of the regions that are sampled from proposals ``bboxes (m, 4)`` per
        image, re-ID loss of those that hold a person of ``gt_instances``, with bboxes, labels and
        person_ids. Detection takes the first map ``(b, c, h, w)``.
        """
        people = [sample.gt_instances for sample in batch_data_samples]
        samples = [
            self._sample(proposals.bboxes, own, self.bbox_assigner)
            for proposals, own in zip(rpn_results_list, people, strict=True)
        ]
        rois = bbox2roi([sampled.priors for sampled in samples])
        parts = self._learning_parts(self.shared_head, rois)
        feats = torch.cat([self.extract_regions(x, some) for some in parts])
        results = self._heads(feats)
        losses = self.bbox_head.loss_and_target(
            results['cls_score'], results['bbox_pred'], rois, samples, self.train_cfg
        )
        identities = zip(*map(self._identities, samples, people), strict=True)
        taught, person_ids = map(torch.cat, identities)
        if self.norm_aware:
            embeddings = F.normalize(results['unscaled'][taught])
            loss_reid = self.reid_head.loss_by_feat(embeddings, person_ids)
        elif self.reid_network is None:
            loss_reid = self.reid_head.loss(feats[taught], person_ids)
        else:
            loss_reid = self._own_loss(x, rois[taught], person_ids, people)
        return {**losses['loss_bbox'], **loss_reid}

    def reid_loss(self, x: tuple[Tensor, ...], batch_data_samples: SampleList) -> dict[str, Tensor]:
        """``loss_reid`` of the annotated people and their jittered copies, without detection, for
        which there has to be a ``reid_network``.
        """
        people = [sample.gt_instances for sample in batch_data_samples]
        rois = bbox2roi([some.bboxes for some in people])
        return self._own_loss(x, rois, torch.cat([some.person_ids for some in people]), people)

    def _own_loss(
        self, x: tuple[Tensor, ...], rois: Tensor, person_ids: Tensor, people: InstanceList
    ) -> dict[str, Tensor]:
        """``loss_reid`` by the re-ID network of RoIs ``(n, 5)``, followed by the jittered copies of
        the labelled people.
        """
        if self.reid_jitter is not None:
            known = [some[some.person_ids >= 0] for some in people]
            rois = torch.cat([rois, bbox2roi([self.reid_jitter(some.bboxes) for some in known])])
            copies = [some.person_ids.repeat(self.reid_jitter.copies) for some in known]
            person_ids = torch.cat([person_ids, *copies])
        return self.reid_head.loss(self.reid_network(x, rois), person_ids)

    def _identities(
        self, sampled: SamplingResult, gt_instances: InstanceData
    ) -> tuple[Tensor, Tensor]:
        """Which of an image's sampled regions ``(n,)`` train re-ID, and the ids of their people."""
        people = sampled.pos_assigned_gt_inds
        held = gt_instances.bboxes[people].view(-1, 4)
        tight = bbox_overlaps(sampled.pos_priors, held, is_aligned=True) >= self.reid_iou
        # mmdet orders the regions: those that hold a person, then background.
        taught = F.pad(tight, [0, len(sampled.priors) - len(people)])
        return taught, gt_instances.person_ids[people][tight]

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
        if self.repool:
            results = self.predict_bbox(x, metas, rpn_results_list, self.test_cfg)
            embedded = [result.bboxes for result in results]
        else:
            every = self.predict_bbox(x, metas, rpn_results_list, None)
            pairs = [*map(self._suppressed, every, rpn_results_list)]
            results, embedded = map(list, zip(*pairs, strict=True))
        for result, rows in zip(results, self.embed(x, embedded), strict=True):
            result.embeddings = rows
        return results

    def _suppressed(
        self, every: InstanceData, proposals: InstanceData
    ) -> tuple[InstanceData, Tensor]:
        """What mmdet keeps of the boxes of all proposals, and the boxes of the proposals."""
        cfg = self.test_cfg
        rows, labels, kept = multiclass_nms(
            every.bboxes, every.scores, cfg.score_thr, cfg.nms, cfg.max_per_img, return_inds=True
        )
        # There is one class, so that a number of mmdet's is that of a proposal.
        found = InstanceData(bboxes=rows[:, :4], scores=rows[:, 4], labels=labels)
        return found, proposals.bboxes[kept]

    def embed_rois(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        regions = self.reid_network or self.extract_regions
        return torch.cat(self._of_parts(lambda some: self.reid_head(regions(x, some)), rois))

    def _of_parts(self, function: Callable[[Tensor], Result], rois: Tensor) -> list[Result]:
        recomputed = getattr(self.shared_head, 'with_cp', False)
        return fast.of_parts(function, rois, recomputed=recomputed)


def scores_and_boxes(head: nn.Module, feats: Tensor) -> tuple[Tensor | None, Tensor]:
    """What a box head says of features; where nothing is learnt in float32, under autocast too: in
    bfloat16 edges of boxes are rounded by pixels.
    """
    kind = feats.device.type
    if head.training or not torch.is_autocast_enabled(kind):
        return head(feats)
    with torch.autocast(kind, enabled=False):
        return head(feats.float())


@MODELS.register_module()
class RegionNetwork(BaseModule):
    """Regions of the maps to identification features, for re-ID alone.

    Detection and re-ID want different things of a region: what all people have in common, and what
    they have not. With a network of its own, re-ID can also look at finer maps and larger regions,
    at little cost: it sees people only, while detection sees every proposal.

    Example:
        >>> network = RegionNetwork(
        ...     roi_extractor=dict(
        ...         type='SingleRoIExtractor',
        ...         roi_layer=dict(type='RoIAlign', output_size=(16, 8), sampling_ratio=1),
        ...         out_channels=8,
        ...         featmap_strides=[16],
        ...     ),
        ...     network=dict(type='DenseNetIdentification', num_layers=2, growth_rate=4),
        ...     attention=dict(type='SoftAttention'),
        ... )
        >>> network((torch.rand(1, 8, 12, 20),), torch.tensor([[0, 32.0, 32, 96, 160]])).shape
        torch.Size([1, 16, 16, 8])

    Args:
        roi_extractor: Config of the RoI extractor; :class:`FineRoIExtractor` takes a finer map too.
        network: Config of the identification network; it also gets ``in_channels``.
        attention: Config of the attention; it also gets ``channels``. None: no attention.
        region_transformer: Arguments of a :class:`SpatialTransformer` on each region, or None.
    """

    def __init__(
        self,
        roi_extractor: dict,
        network: dict,
        attention: dict | None = None,
        region_transformer: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.roi_extractor = align_regions(MODELS.build(roi_extractor))
        channels = self.roi_extractor.out_channels
        self.focus = _RegionFocus(channels, attention, region_transformer)
        self.network = MODELS.build(network, default_args=dict(in_channels=channels))

    def forward(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Maps ``(b, c, h, w)`` and RoIs ``(n, 5)`` (image index, xyxy) to ``(n, c', h', w')``."""
        return self.network(self.focus(extract(self.roi_extractor, x, rois)))


@MODELS.register_module()
class FineRoIExtractor(BaseModule):
    """Regions of the stem's map with the detail of a finer one.

    Regions of the finer map are added to those of the first through a 1 x 1 convolution, which
    starts at zero: pretrained weights behind it see what they know.

    Example:
        >>> layer = dict(type='RoIAlign', output_size=(16, 8), sampling_ratio=1)
        >>> extractor = FineRoIExtractor(layer, out_channels=4, fine_channels=2)
        >>> maps = torch.rand(1, 4, 12, 20), torch.rand(1, 2, 24, 40)
        >>> extractor(maps, torch.tensor([[0, 32.0, 32, 96, 160]])).shape
        torch.Size([1, 4, 16, 8])

    Args:
        roi_layer: Config of the RoI layer, as for mmdet's ``SingleRoIExtractor``.
        out_channels: Channels of the first map, and of the regions.
        fine_channels: Channels of the second map.
        featmap_strides: Strides of the two maps.
    """

    num_inputs = 2

    def __init__(
        self,
        roi_layer: dict,
        out_channels: int,
        fine_channels: int,
        featmap_strides: Sequence[int] = (16, 8),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.out_channels = out_channels
        one = dict(type='SingleRoIExtractor', roi_layer=roi_layer)
        self.coarse, self.fine = (
            MODELS.build(dict(**one, out_channels=channels, featmap_strides=[stride]))
            for channels, stride in zip((out_channels, fine_channels), featmap_strides, strict=True)
        )
        self.lateral = nn.Conv2d(fine_channels, out_channels, 1, bias=False)
        nn.init.zeros_(self.lateral.weight)

    def forward(self, feats: tuple[Tensor, Tensor], rois: Tensor) -> Tensor:
        """Two maps and RoIs ``(n, 5)`` (image, xyxy) to regions ``(n, out_channels, h, w)``."""
        return self.coarse(feats[:1], rois) + self.lateral(self.fine(feats[1:], rois))


class _RegionFocus(nn.Module):
    """What happens to regions before an identification network sees them."""

    def __init__(
        self, channels: int, attention: dict | None = None, region_transformer: dict | None = None
    ):
        super().__init__()
        self.region_transformer = self.attention = None
        if region_transformer is not None:
            self.region_transformer = SpatialTransformer(channels, **region_transformer)
        if attention:
            self.attention = MODELS.build(attention, default_args=dict(channels=channels))

    def forward(self, feats: Tensor) -> Tensor:
        if self.region_transformer is not None:
            feats, _ = self.region_transformer(feats)
        return feats if self.attention is None else self.attention(feats)


@MODELS.register_module()
class SoftAttention(nn.Module):
    """Weighs region features with a deterministic mask in [0, 1] (paper, section III).

    The paper calls its attention "soft (stochastic)"; a soft mask is differentiable and needs no
    sampling. Regions ``(n, channels, h, w)`` keep their shape.

    Example:
        >>> attention = SoftAttention(channels=8)
        >>> regions = torch.rand(5, 8, 14, 14)
        >>> attention.mask(regions).shape
        torch.Size([5, 1, 14, 14])
        >>> torch.equal(attention(regions), regions * attention.mask(regions))
        True

    Args:
        channels: Channels of the regions.
        mode: ``'spatial'``: one weight per position; ``'channel'``: one per channel; ``'both'``:
            their product. Shapes are ``(n, 1, h, w)`` and ``(n, channels, 1, 1)``.
        reduction: Width of the hidden layers is ``channels / reduction``, at least 8.
        bias: Initial value before the sigmoid. At 2 the mask starts near 0.88, so that pretrained
            weights see features close to those they know while the sigmoid still has a gradient.

    Raises:
        ValueError: There is no such mode.
    """

    def __init__(
        self, channels: int, mode: str = 'spatial', reduction: int = 16, bias: float = 2.0
    ):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'SoftAttention: mode={mode!r}, but it must be one of {MODES}')
        hidden = max(channels // reduction, 8)
        self.spatial = self.channel = None
        if mode in ('spatial', 'both'):
            self.spatial = nn.Sequential(
                nn.Conv2d(channels, hidden, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, 1, 3, padding=1),
            )
            nn.init.constant_(self.spatial[-1].bias, bias)
        if mode in ('channel', 'both'):
            self.channel = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(channels, hidden, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, channels, 1),
            )
            nn.init.constant_(self.channel[-1].bias, bias)

    def mask(self, x: Tensor) -> Tensor:
        """The weights for ``x``, broadcastable to its shape ``(n, channels, h, w)``."""
        branches = (self.spatial, self.channel)
        masks = [torch.sigmoid(branch(x)) for branch in branches if branch is not None]
        return masks[0] if len(masks) == 1 else masks[0] * masks[1]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask(x)
