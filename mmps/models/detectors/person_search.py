from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample, SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmps.models.layers import fast
from mmps.models.necks.stn import STN, AffineFrame
from mmps.models.pretrained import load_detector, load_imagenet_weights
from mmps.registry import MODELS


@MODELS.register_module()
class PersonSearch(TwoStageDetector):
    """Stem, spatial transformer, proposals, and a RoI head that detects and embeds (paper, figure
    2).

    Everything after the spatial transformer lives in a warped frame: annotated boxes are taken
    there, detections are taken back. Annotated people (``gt_instances``) and queries
    (``query_instances``) are embedded in the same pass over the image.

    Example:
        >>> from mmps.testing.scenes import random_scenes
        >>> from mmps.testing.tiny_models import slim_model
        >>> model = MODELS.build(slim_model()).eval()
        >>> with torch.no_grad():
        ...     (sample,) = model.test_step(random_scenes([[0, 1]], queries=[[1]]))
        >>> sorted(sample.pred_instances.keys())
        ['bboxes', 'embeddings', 'labels', 'scores']
        >>> sample.query_instances.embeddings.shape
        torch.Size([1, 16])

    Args:
        pretrained: Address or path of a whole network's ImageNet weights, for stem and
            identification network; None: random weights.
        channels_last: Channels-last memory format, which CPUs and tensor cores run faster.
        compile_networks: Compile stem and identification networks (``torch.compile``): True for
            inputs of any size, ``'graphs'`` for images of few sizes, as CUDA graphs on a GPU.
        frozen: Parameters whose names begin so are not trained. Batch norm goes on with its
            statistics.
        detector_from: Checkpoint at which all but re-ID is frozen; needs a
            ``roi_head.reid_network``. Stem, spatial transformer, proposals and detection are taken
            from it, batch norm in evaluation mode; re-ID alone is trained, on annotated boxes and
            their jittered copies.
        scene_head: Config of a :class:`SceneHead`, which weighs scenes; None: all alike.
        kwargs: See mmdet's ``TwoStageDetector``. A further key, ``test_cfg.rpn.score_thr``, is the
            objectness, 0 to 1, above which a proposal enters the identification network. The best
            one of an image always does, and without the key all do.

    Attributes:
        embeds_given_boxes: Always true: any box can be embedded.
        embedding_weights: How the names of the weights begin that decide what an embedding is.
        num_ids_key: Where the config has :attr:`num_ids`.
        spare_weights: How the names of weights begin that a checkpoint may have for nothing: one of
            the same network with a scene head serves without.

    Raises:
        ValueError: ``detector_from`` without a re-ID network of its own.
    """

    embeds_given_boxes = True
    embedding_weights = ''
    num_ids_key = 'model.roi_head.reid_head.num_ids'

    def __init__(
        self,
        *,
        pretrained: str | None = None,
        channels_last: bool = True,
        compile_networks: bool | Literal['graphs'] = False,
        frozen: Sequence[str] = (),
        detector_from: str | None = None,
        scene_head: dict | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        conv = self.rpn_head.rpn_conv
        if type(conv) is nn.Conv2d:
            self.rpn_head.rpn_conv = _ProposalConv.of(conv)
        self.scene_head = scene_head and MODELS.build(scene_head)
        self.spare_weights = () if scene_head else ('scene_head.',)
        for name, parameter in self.named_parameters():
            if name.startswith(tuple(frozen)):
                parameter.requires_grad_(False)
        self.pretrained = pretrained
        self.detector_from = detector_from
        if detector_from:
            if self.roi_head.reid_network is None:
                raise ValueError('PersonSearch: detector_from needs a roi_head.reid_network')
            self.requires_grad_(False)
            self.roi_head.reid_network.requires_grad_(True)
            self.roi_head.reid_head.requires_grad_(True)
        if channels_last and fast.is_on('channels_last'):
            self.to(memory_format=torch.channels_last)
        if compile_networks:
            for network in (self.backbone, *self.roi_head.region_networks()):
                if compile_networks == 'graphs':
                    fast.compile_for_graphs(network)
                else:
                    network.compile()

    def init_weights(self) -> None:
        super().init_weights()
        if self.pretrained:
            networks = self.roi_head.region_networks()
            if self.scene_head is not None:
                networks.append(self.scene_head.shared_head.network)
            load_imagenet_weights(self.backbone, networks, self.pretrained)
        if self.detector_from:
            load_detector(self, self.detector_from)

    def train(self, mode: bool = True) -> 'PersonSearch':
        super().train(mode)
        if mode and self.detector_from:
            for part in self.children():
                part.eval()
            self.roi_head.reid_network.train()
            self.roi_head.reid_head.train()
        return self

    @property
    def embed_dim(self) -> int:
        """D, the length of an embedding."""
        return sum(head.embed_dim for head in self.roi_head.reid_heads)

    @property
    def num_ids(self) -> int | None:
        """Identities that re-ID is trained with."""
        return self.roi_head.reid_heads[-1].num_ids

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        return self.extract_frame(batch_inputs)[0]

    def extract_frame(self, batch_inputs: Tensor) -> tuple[tuple[Tensor, ...], AffineFrame | None]:
        """Images ``(b, 3, h, w)`` to a map ``(b, c, h / 16, w / 16)`` and the frame its boxes live
        in.

        Finer maps may follow for re-ID; people are detected on the first. The frame is None when
        boxes on the map are boxes on the image.
        """
        x = self.backbone(batch_inputs)
        if not self.with_neck:
            return x, None
        if not isinstance(self.neck, STN):
            return self.neck(x), None
        x, theta = self.neck.warp(x)
        height, width = batch_inputs.shape[-2:]
        return x, AffineFrame(theta, (width, height))

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of proposals, detection and re-ID for images ``(b, 3, h, w)``; of re-ID alone with
        ``detector_from``.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detector_from):
            x, frame = self.extract_frame(batch_inputs)
        samples = batch_data_samples
        if frame is not None:
            samples = [_to_warped(sample, frame, i) for i, sample in enumerate(samples)]
        if self.detector_from:
            return self.roi_head.reid_loss(x, samples)
        with self._for_proposals(x) as maps:
            losses, proposals = self.rpn_head.loss_and_predict(
                maps, samples, proposal_cfg=self.train_cfg.rpn_proposal
            )
        losses |= self.roi_head.loss(x, proposals, samples)
        if self.scene_head is not None:
            people = [sample.gt_instances for sample in samples]
            embeddings = self.roi_head.embed(x, [some.bboxes for some in people])
            ids, images = [some.person_ids for some in people], [one.img_id for one in samples]
            losses |= self.scene_head.loss(x[0], embeddings, ids, images)
        return losses

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """Adds ``pred_instances`` (with embeddings) to the data samples of images ``(b, 3, h, w)``,
        and the embeddings of annotated people and queries, whose boxes are in pixels of the
        original image; so are detections, unless ``rescale`` is false.
        """
        x, frame = self.extract_frame(batch_inputs)
        with self._for_proposals(x) as maps:
            proposals = self.rpn_head.predict(maps, batch_data_samples, rescale=False)
        if 'score_thr' in self.test_cfg.rpn:
            proposals = [_probable(some, self.test_cfg.rpn.score_thr) for some in proposals]
        results = self.roi_head.predict(x, proposals, batch_data_samples)
        for i, (result, sample) in enumerate(zip(results, batch_data_samples, strict=True)):
            boxes = result.bboxes if frame is None else frame.to_image(result.bboxes, i)
            height, width = sample.img_shape[:2]
            boxes = boxes.minimum(boxes.new_tensor([width, height] * 2)).clamp(min=0)
            result.bboxes = boxes / scale_of(sample, boxes) if rescale else boxes
        self._embed_annotated(x, frame, batch_data_samples)
        self._describe_scenes(x, batch_data_samples)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def embed(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> SampleList:
        """As :meth:`predict`, but looks for nobody."""
        x, frame = self.extract_frame(batch_inputs)
        self._embed_annotated(x, frame, batch_data_samples)
        self._describe_scenes(x, batch_data_samples)
        return batch_data_samples

    @contextmanager
    def _for_proposals(self, x: tuple[Tensor, ...]) -> Iterator[tuple[Tensor]]:
        """The first map; proposals are made without autocast.

        16 bits tell too few scores apart, and mmcv's NMS takes none of them on CPUs.
        """
        in_float32 = not isinstance(self.rpn_head.rpn_conv, _ProposalConv)
        with torch.autocast(x[0].device.type, enabled=False):
            yield (x[0].float() if in_float32 else x[0],)

    def _embed_annotated(
        self, x: tuple[Tensor], frame: AffineFrame | None, samples: SampleList
    ) -> None:
        for key in ANNOTATED:
            boxes = [x[0].new_zeros(0, 4)] * len(samples)
            people = annotated(samples, key)
            for i, _, own in people:
                boxes[i] = own if frame is None else frame.to_warped(own, i)
            rows = self.roi_head.embed(x, boxes) if people else ()
            for i, instances, _ in people:
                instances.embeddings = rows[i]

    def _describe_scenes(self, x: tuple[Tensor], samples: SampleList) -> None:
        """Sets ``scene_embedding`` (D,) and, of queries, ``scene_filters`` (q, 3 * D + 2)."""
        if self.scene_head is None:
            return
        for sample, scene in zip(samples, self.scene_head(x[0]), strict=True):
            sample.scene_embedding = scene
            if 'query_instances' in sample:
                people = sample.query_instances.embeddings
                scenes = scene.expand(len(people), -1)
                sample.query_instances.scene_filters = self.scene_head.filters(people, scenes)


class _ProposalConv(nn.Conv2d):
    """The convolution before the two that score and move anchors; a map in 16 bits is convolved in
    these, and float32 comes out.
    """

    @classmethod
    def of(cls, conv: nn.Conv2d) -> '_ProposalConv':
        """One with the weights of another."""
        shape = conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding
        new = cls(*shape, device='meta')  # draws no random numbers
        new.weight, new.bias = conv.weight, conv.bias
        return new

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return self._conv_forward(x, weight, bias).float()


def _probable(proposals: InstanceData, score_thr: float) -> InstanceData:
    """An image's proposals with more objectness than ``score_thr``, and its best one."""
    kept = proposals.scores > score_thr
    kept[:1] = True  # mmdet orders them, best first
    return proposals[kept]


ANNOTATED = ('gt_instances', 'query_instances')


def annotated(samples: SampleList, *keys: str) -> list[tuple[int, InstanceData, Tensor]]:
    """What of ``keys`` there is in the data samples: the number of the sample, the instances, and
    their boxes ``(n, 4)`` in pixels of the input.
    """
    found = ((i, sample, sample.get(k)) for i, sample in enumerate(samples) for k in keys)
    return [
        (i, instances, instances.bboxes * scale_of(sample, instances.bboxes))
        for i, sample, instances in found
        if instances is not None
    ]


def scale_of(sample: DetDataSample, boxes: Tensor) -> Tensor:
    """Input pixels per original pixel, for boxes xyxy."""
    return boxes.new_tensor(sample.get('scale_factor', (1.0, 1.0))).repeat(2)


def _to_warped(sample: DetDataSample, frame: AffineFrame, index: int) -> DetDataSample:
    """A copy of a data sample with its annotated boxes in the warped frame."""
    warped = sample.new()
    warped.gt_instances = sample.gt_instances.new()
    warped.gt_instances.bboxes = frame.to_warped(sample.gt_instances.bboxes, index)
    return warped
