"""A trained model to one ONNX file."""

import copy
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign, nms, roi_align
from mmdet.models.backbones import SwinTransformer
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from torch import Tensor, nn
from torch.onnx.errors import UnsupportedOperatorError
from tqdm import tqdm

from mmps.deployment.exported_model import Preprocess, network_inputs
from mmps.deployment.runtimes import INPUTS, OUTPUTS, ModelFile
from mmps.models.detectors import PersonSearch
from mmps.models.layers.fast import RegionAlign, plain_layers
from mmps.models.necks.stn import SpatialTransformer
from mmps.models.roi_heads import SequentialRoIHead
from mmps.utils.errors import UserError, require_extra

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
    """Non-maximum suppression as ONNX defines it, of boxes ``(b, n, 4)`` xyxy with scores ``(b, c,
    n)``: at most ``max_per_class ()`` int64 stay, ``(k, 3)`` int64: batch, class, box; the best
    first within batch and class.
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


def traceable(model: nn.Module) -> nn.Module:
    """The model with traceable forms, which share its weights, for what cannot be traced; in place.

    Raises `UserError` where there is none; the message names the key of the config.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in _TRACEABLE:
                setattr(parent, name, _TRACEABLE[type(child)](child))
    return model


class _Align(nn.Module):
    """:class:`RegionAlign` as one operator."""

    def __init__(self, align: RegionAlign):
        super().__init__()
        layer = align.layer
        if not (isinstance(layer, RoIAlign) and layer.pool_mode == 'avg'):
            raise UserError(
                f'roi_layer={type(layer).__name__} cannot be exported, only RoIAlign with '
                "pool_mode='avg' can"
            )
        self.output_size = layer.output_size
        self.how = layer.spatial_scale, layer.sampling_ratio, layer.aligned

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        return torch.ops.mmps.align(x, rois, *self.output_size, *self.how)


class _AdaptiveAvgPool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` of a map whose size is not known yet, as two matrix products."""

    def __init__(self, pool: nn.AdaptiveAvgPool2d):
        super().__init__()
        size = pool.output_size
        self.output_size = (size, size) if isinstance(size, int) else size

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (
            self._shares(bins, x.shape[axis], x)
            for bins, axis in zip(self.output_size, (2, 3), strict=True)
        )
        return rows @ x @ columns.T

    @staticmethod
    def _shares(bins: int, length: int, x: Tensor) -> Tensor:
        """What each of ``length`` cells adds to each bin, ``(bins, length)``."""
        number = torch.arange(bins, device=x.device)[:, None]
        start, end = number * length // bins, ((number + 1) * length + bins - 1) // bins
        cells = torch.arange(length, device=x.device)
        return ((cells >= start) & (cells < end)).to(x.dtype) / (end - start)


def _in_float32(transformer: SpatialTransformer) -> SpatialTransformer:
    transformer.warp = _warp
    return transformer


def _warp(x: Tensor, theta: Tensor) -> Tensor:
    """As :func:`mmps.models.necks.stn.warp`, with positions, but not values, in float64: few
    runtimes sample in that.
    """
    across, down = (
        (torch.arange(length, device=x.device, dtype=torch.float64) * 2 + 1) / length - 1
        for length in (x.shape[3], x.shape[2])
    )
    theta = theta.double()[:, None, None]  # (n, 1, 1, 2, 3)
    grid = theta[..., 0] * across[:, None] + theta[..., 1] * down[:, None, None] + theta[..., 2]
    return F.grid_sample(x, grid.float(), padding_mode='border', align_corners=False)


_TRACEABLE: dict[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    RegionAlign: _Align,
    nn.AdaptiveAvgPool2d: _AdaptiveAvgPool,
    SpatialTransformer: _in_float32,
}


class ExportablePersonSearch(nn.Module):
    """Images and boxes in, people and embeddings out: :meth:`PersonSearch.predict` in tensors.

    Everything with weights is the model's own. What stands between is written for whole batches,
    without decisions that depend on the data, which a trace would freeze. The model is left as it
    is. Raises `UserError` where a part cannot be exported; the message names its key.
    """

    def __init__(self, model: PersonSearch):
        super().__init__()
        _require_exportable(model)
        self.model = traceable(copy.deepcopy(model).eval())

    def forward(
        self, images: Tensor, sizes: Tensor, boxes: Tensor, box_images: Tensor, detect: Tensor
    ) -> tuple[Tensor, ...]:
        """Everybody in the images, and the embeddings of further boxes.

        Args:
            images: ``(b, h, w, 3)`` uint8, or float32 behind ``ResizeToFit``, channels as the
                file's metadata say, resized, each in the upper left corner; height and width are
                multiples of ``size_divisor``.
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
        in_stages = isinstance(self.model.roi_head, SequentialRoIHead)
        find = self._detect_in_stages if in_stages else self._detect
        found, scores, embedded = find(x, proposals, limits, detect)
        boxes_in_frame = boxes if frame is None else frame.to_warped(boxes, box_images)
        wanted = _one_more(torch.cat([embedded, _rois(box_images, boxes_in_frame)]))
        embeddings = self.model.roi_head.embed_rois(x, wanted)[:-1]
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
        best = best[:, : test_cfg.nms_pre]
        scores = torch.cat([torch.ones_like(scores[:, :1]), scores[:, 1 : test_cfg.nms_pre]], 1)
        deltas = deltas.permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
        deltas = deltas.gather(1, best[..., None].expand(-1, -1, 4))
        boxes = _decoded(head.bbox_coder, anchors[best], deltas, limits[:, None])
        sides = boxes[..., 2:] - boxes[..., :2]
        scores = torch.where((sides > test_cfg.get('min_bbox_size', -1)).all(-1), scores, -1.0)
        most = torch.where(detect, test_cfg.max_per_img, 1)
        # Too small boxes have -1; an image's best proposal stays in any case.
        least = test_cfg.get('score_thr', -0.5)
        kept = torch.ops.mmps.suppress(
            boxes, scores[:, None], most, test_cfg.nms.iou_threshold, least
        )
        return _rois(kept[:, 0], boxes[kept[:, 0], kept[:, 2]])

    def _detect(
        self, x: tuple[Tensor, ...], rois: Tensor, limits: Tensor, detect: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """RoIs ``(n, 5)`` in the frame of the features, their scores, and the RoIs to embed, the
        same: ``predict_bbox`` of mmdet with its ``multiclass_nms``.
        """
        head = self.model.roi_head
        results = head._heads(head.extract_regions(x, rois))
        scores, deltas = results['cls_score'].softmax(1)[:, 0], results['bbox_pred']
        threshold = head.test_cfg.nms.iou_threshold
        moved, scores, _ = self._moved(
            head.bbox_head, rois, deltas, scores, limits, detect, threshold
        )
        return moved, scores, moved

    def _detect_in_stages(
        self, x: tuple[Tensor, ...], rois: Tensor, limits: Tensor, detect: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`SequentialRoIHead.predict`: RoIs as the last stage moves them, their scores,
        and the RoIs that it saw.
        """
        head = self.model.roi_head
        seen = scores = None
        for stage in head.stages:
            results = stage(head._maps(stage, x, _one_more(rois)))
            if scores is None or head.score == 'last':
                scores = stage.scores(results)[:-1]
            deltas = results['bbox_pred'][:-1]
            rois, scores, seen = self._moved(
                stage.bbox_head, rois, deltas, scores, limits, detect, stage.iou_threshold
            )
        return rois, scores, seen

    def _moved(
        self,
        bbox_head: nn.Module,
        rois: Tensor,
        deltas: Tensor,
        scores: Tensor,
        limits: Tensor,
        detect: Tensor,
        iou_threshold: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What stays of RoIs ``(n, 5)`` as ``deltas (n, 4)`` move them, with their scores and what
        they were before. Images stand in place of classes, among which boxes do not suppress each
        other.
        """
        test_cfg = self.model.roi_head.test_cfg
        images = rois[:, 0].to(torch.int64)
        boxes = _decoded(bbox_head.bbox_coder, rois[:, 1:], deltas, limits[images])
        own = detect & (images == torch.arange(limits.shape[0], device=images.device)[:, None])
        if 'min_box_size' in test_cfg:
            own = own & (boxes[:, 2:] - boxes[:, :2] >= test_cfg.min_box_size).all(1)
        kept = torch.ops.mmps.suppress(
            boxes[None],
            torch.where(own, scores, -1.0)[None],
            images.new_full((), test_cfg.max_per_img),
            iou_threshold,
            test_cfg.score_thr,
        )
        which = kept[:, 2]
        return _rois(kept[:, 1], boxes[which]), scores[which], rois[which]


def _require_exportable(model: PersonSearch) -> None:
    """Raise `UserError` for what stands between the parts with weights in another way."""
    head = model.roi_head
    if isinstance(model.backbone, SwinTransformer):
        raise UserError(
            f'backbone={type(model.backbone).__name__} cannot be exported: the number of its '
            'windows would be that of the pictures it is exported with'
        )
    if type(model.rpn_head) is not RPNHead:
        raise UserError(f'rpn_head={type(model.rpn_head).__name__} cannot be exported')
    for part in model.modules():
        if isinstance(part, SingleRoIExtractor) and part.num_inputs != 1:
            raise UserError(
                f'featmap_strides of {part.num_inputs} maps cannot be exported, only RoI '
                'extractors of one map can'
            )
    if not isinstance(head, SequentialRoIHead):
        if not head.repool:
            raise UserError('model.roi_head.repool=False cannot be exported')
        return
    if head.test_cfg.get('relative_scores'):
        raise UserError('model.test_cfg.rcnn.relative_scores cannot be exported')
    for stage in head.stages:
        if type(stage.bbox_head.bbox_coder) is not DeltaXYWHBBoxCoder:
            coder = type(stage.bbox_head.bbox_coder).__name__
            raise UserError(f'bbox_coder={coder} cannot be exported')


def _one_more(rois: Tensor) -> Tensor:
    """RoIs ``(n + 1, 5)``, the last of which is to be dropped: not every runtime takes none."""
    return torch.cat([rois, rois.new_tensor([[0.0, 0.0, 0.0, 16.0, 16.0]])])


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
    least = -math.inf if coder.add_ctr_clamp else -most
    half = sides * deltas[..., 2:].clamp(least, most).exp() * 0.5
    return torch.cat([centres - half, centres + half], -1).clamp(min=0).minimum(limits)


DYNAMIC = {
    'images': {0: 'images', 1: 'height', 2: 'width'},
    'sizes': {0: 'images'},
    'boxes': {0: 'boxes'},
    'box_images': {0: 'boxes'},
    **{name: {0: 'people'} for name in OUTPUTS[:-1]},
    OUTPUTS[-1]: {0: 'boxes'},
}
"""What may be of any length, by input or output and axis."""


def write_onnx(model: PersonSearch, path: str | os.PathLike, file: ModelFile) -> None:
    """Write the whole model; any number of images and boxes of any size.

    PyTorch's exporter by tracing is used. Its newer one, by symbolic shapes, takes 50 s of CPU time
    for the smallest model of the tests, where tracing takes 2 s. The model is on the CPU; ``file``
    is what the file says about itself.

    Raises `UserError` where a part cannot be exported, or onnx is not installed.
    """
    network = ExportablePersonSearch(model)
    trace(network, _example(file), path, INPUTS, OUTPUTS, DYNAMIC)
    file.write(path)


def trace(
    network: nn.Module,
    example: tuple[Tensor, ...],
    path: str | os.PathLike,
    inputs: Iterable[str],
    outputs: Iterable[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    """Write a :func:`traceable` network as ONNX, as it computes an example; see
    :func:`write_onnx`.
    """
    require_extra('onnx', 'export')
    register_onnx_forms()
    # What a trace would freeze: how many regions go in at once, and on what they begin.
    plain = plain_layers('dense_block', 'parts', 'region_conv')
    with warnings.catch_warnings(), torch.no_grad(), plain:
        # Of its being the older exporter, and of shapes that are fixed, as those of regions are.
        warnings.simplefilter('ignore')
        try:
            torch.onnx.export(
                network.eval(),
                example,
                os.fspath(path),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=dict(dynamic),
                opset_version=OPSET,
                dynamo=False,
            )
        except (UnsupportedOperatorError, TypeError) as error:
            # The second is what PyTorch's translations of operators raise.
            if isinstance(error, TypeError) and 'Occurred when translating' not in str(error):
                raise
            reason = str(error).splitlines()[-1].strip('().')
            raise UserError(f'this model cannot be exported to ONNX: {reason}') from error


def _example(file: ModelFile) -> tuple[Tensor, ...]:
    """Inputs to trace with: values and sizes do not matter."""
    divisor = file.size_divisor
    height, width = (-(-side // divisor) * divisor for side in (96, 128))
    images = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    if any(step['type'] == 'ResizeToFit' for step in file.steps):
        images = images.float()
    sizes = torch.tensor([[height, width - 8], [height - 8, width]])
    boxes = torch.tensor(
        [[10.0, 10.0, 60.0, 90.0], [30.0, 5.0, 80.0, 80.0], [0.0, 0.0, 40.0, 90.0]]
    )
    return images, sizes, boxes, torch.tensor([0, 1, 1]), torch.tensor(True)


def write_int8(
    path: str | os.PathLike,
    out: str | os.PathLike,
    preprocess: Preprocess,
    images: Sequence[np.ndarray],
) -> None:
    """Write the int8 form of an exported file, its convolutions quantised statically.

    Ranges of the activations are those in ``images``, (h, w, 3) uint8 BGR. Weights get 7 bits: the
    products of 8 saturate on CPUs without VNNI.
    """
    require_extra('onnxruntime', 'export')
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    file = ModelFile.read(path)

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(tqdm(images, 'Calibrating int8', delay=2, leave=False, disable=None))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self._left, None)
            if image is None:
                return None
            batch = preprocess([image], [np.zeros((0, 4), np.float32)])
            return network_inputs(**batch, size_divisor=file.size_divisor)

    logging.disable(logging.WARNING)  # of every bias that is no constant, and may stay in float32
    try:
        quantize_static(
            os.fspath(path),
            os.fspath(out),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=['Conv'],
            per_channel=True,
            reduce_range=True,
        )
    finally:
        logging.disable(logging.NOTSET)
    file.in_precision('int8').write(out)
