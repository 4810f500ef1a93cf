"""A detector and a re-ID network to an ONNX file each, and a file that names both."""

import copy
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from mmps.deployment.export import trace, traceable
from mmps.models.detectors import TwoStepPersonSearch
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file


class ExportableDetector(nn.Module):
    """A single-stage detector of mmdet's in tensors: what its ``predict`` finds of people, with
    that label and at least that score.

    ``max_per_img`` counts people alone, where mmdet counts all classes. Raises `UserError` unless
    the head predicts at every place of its maps, as RTMDet's does.
    """

    def __init__(self, detector: nn.Module, label: int, score_thr: float) -> None:
        super().__init__()
        head = getattr(detector, 'bbox_head', None)
        parts = ('prior_generator', 'bbox_coder', 'cls_out_channels')
        if head is None or not all(hasattr(head, part) for part in parts):
            raise UserError(
                f'detector {type(detector).__name__} cannot be exported: only those of a single '
                'stage with priors, such as RTMDet, RetinaNet and ATSS, can'
            )
        self.detector = copy.deepcopy(detector)
        self._label = label
        self._test_cfg = head.test_cfg
        self._score_thr = max(score_thr, self._test_cfg.get('score_thr', 0.0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """``dets (1, n, 5)`` and ``labels (1, n)`` of a normalised image ``(1, 3, h, w)``."""
        head = self.detector.bbox_head
        scores, preds, *factors = head(self.detector.extract_feat(images))
        sizes = [one.shape[-2:] for one in scores]
        priors = head.prior_generator.grid_priors(sizes, device=images.device)
        boxes = torch.cat(
            [
                head.bbox_coder.decode(prior, pred[0].permute(1, 2, 0).reshape(-1, 4))
                for prior, pred in zip(priors, preds, strict=True)
            ]
        )
        sure = torch.cat([self._people(one) for one in scores])
        if factors:
            sure = sure * torch.cat([one[0].reshape(-1) for one in factors[0]]).sigmoid()
        height, width = images.shape[-2:]
        boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height] * 2))
        kept = torch.ops.mmps.suppress(
            boxes[None],
            sure[None, None],
            torch.tensor(self._test_cfg.max_per_img),
            self._test_cfg.nms.iou_threshold,
            self._score_thr,
        )[:, 2]
        dets = torch.cat([boxes[kept], sure[kept][:, None]], 1)
        return dets[None], torch.zeros_like(kept)[None]

    def _people(self, scores: Tensor) -> Tensor:
        """Scores of people at every prior, of a map ``(1, priors * classes, h, w)``."""
        head = self.detector.bbox_head
        rows = scores[0].permute(1, 2, 0).reshape(-1, head.cls_out_channels)
        rows = rows.sigmoid() if head.use_sigmoid_cls else rows.softmax(1)
        return rows[:, self._label]


def write_two_step(
    model: TwoStepPersonSearch, out: Path, title: str, fingerprint: str
) -> list[Path]:
    """Write ``NAME.detector.onnx``, ``NAME.reid.onnx`` and ``NAME.yml``, which names both.

    The last stands where the name of a published model stands (:mod:`mmps.published`). The model is
    on the CPU, neither part exported already; ``out`` is ``NAME.yml``. Raises `UserError` where a
    part cannot be exported, which the message names, or onnx is not installed.
    """
    detector_file, reid_file = (out.with_suffix(f'.{part}.onnx') for part in ('detector', 'reid'))
    how = _detector_input(model)
    detector = ExportableDetector(model.detector, model.person_label, model.score_thr)
    width, height = how['input_size']
    with whole_file(detector_file) as one, whole_file(reid_file) as other:
        image, axes = torch.rand(1, 3, height, width), dict.fromkeys(('dets', 'labels'), {1: 'n'})
        trace(traceable(detector), (image,), one, ['image'], axes, axes)
        crops, axes = torch.rand(2, 3, *model.crop_size), dict(crops={0: 'n'}, embeddings={0: 'n'})
        reid = traceable(copy.deepcopy(model.reid))
        trace(reid, (crops,), other, ['crops'], ['embeddings'], axes)
    parts = dict(
        detector=dict(type='ExportedDetector', path=detector_file.name, output='dets', **how),
        reid=dict(
            type='ExportedReID',
            path=reid_file.name,
            input_size=list(model.crop_size[::-1]),
            **_pixels(model.reid.data_preprocessor),
        ),
    )
    entry = dict(
        title=title,
        fingerprint=fingerprint,
        model=dict(
            type='TwoStepPersonSearch',
            crop_size=list(model.crop_size),
            score_thr=model.score_thr,
            max_people=model.max_people,
            **parts,
        ),
        files={
            file.name: dict(sha256=hashlib.sha256(file.read_bytes()).hexdigest())
            for file in (detector_file, reid_file)
        },
    )
    with whole_file(out) as temporary:
        temporary.write_text(yaml.safe_dump(entry, sort_keys=False))
    return [out, detector_file, reid_file]


def _detector_input(model: TwoStepPersonSearch) -> dict[str, Any]:
    """How an image becomes the detector's input, as :class:`DetectorFile` takes it."""
    kinds = [step['type'] for step in model.detector_pipeline]
    resize, pad = [*model.detector_pipeline, {}, {}][:2]
    keep_ratio = bool(resize.get('keep_ratio'))
    sized = 'scale' in resize and ('size' in pad or not keep_ratio)
    if kinds != ['Resize', 'Pad'][: 1 + keep_ratio] or not sized:
        raise UserError(
            f'model.detector_pipeline={kinds} cannot be exported, only Resize to a scale, and with '
            "keep_ratio=True dict(type='Pad', size=(WIDTH, HEIGHT), pad_val=dict(img=(114, 114, "
            '114))) behind it'
        )
    size = list(pad['size'] if keep_ratio else resize['scale'])
    how: dict[str, Any] = dict(keep_ratio=keep_ratio)
    if keep_ratio:
        how['scale'] = list(resize['scale'])
        value = pad.get('pad_val', 0)
        value = value.get('img', 0) if isinstance(value, Mapping) else value
        how['pad_value'] = float(value[0] if isinstance(value, (list, tuple)) else value)
    divisor = model.detector.data_preprocessor.pad_size_divisor
    if size[0] % divisor or size[1] % divisor:
        raise UserError(f'the size {size} of the detector is no multiple of {divisor}')
    return dict(input_size=size, **how, **_pixels(model.detector.data_preprocessor))


def _pixels(preprocessor: nn.Module) -> dict[str, Any]:
    """Channels, mean and deviation of one of mmengine's preprocessors."""
    swaps = getattr(preprocessor, '_channel_conversion', False) or getattr(
        preprocessor, 'to_rgb', False
    )
    pixels: dict[str, Any] = dict(channels='rgb' if swaps else 'bgr')
    if getattr(preprocessor, '_enable_normalize', False):
        for key in ('mean', 'std'):
            pixels[key] = getattr(preprocessor, key).flatten().tolist()
    return pixels
