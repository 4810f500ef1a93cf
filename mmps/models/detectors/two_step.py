from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import Compose
from mmdet.models.detectors import BaseDetector
from mmdet.structures import SampleList
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmps.models.detectors.person_search import ANNOTATED, annotated, scale_of
from mmps.registry import MODELS
from mmps.utils.checkpoint import CheckpointError, differences, load_state_dict
from mmps.utils.crops import cut_people


@MODELS.register_module()
class TwoStepPersonSearch(BaseDetector):
    """A detector and a re-ID network, one after the other: the baseline of person search.

    The detector finds people; each is cut out of the image and embedded by the re-ID network.
    Images come in at their original size (a pipeline without ``Resize``), because re-ID needs
    detail; ``detector_pipeline`` resizes for the detector alone.

    Example:
        >>> from mmps.testing.tiny_models import two_step_model
        >>> config = two_step_model()  # configs/two_step has one in full
        >>> config['detector']['type'], config['reid']['type'], config['crop_size']
        ('RTMDet', 'ReIDNetwork', (64, 32))
        >>> MODELS.build(config).embed_dim
        16

    Args:
        detector: Config of any mmdet detector, or of an exported one (``ExportedDetector``).
        reid: Config of :class:`ReIDNetwork`, mmdet's ``BaseReID`` or an exported network
            (``ExportedReID``). Of other networks what is asked for is a ``data_preprocessor`` of
            mmengine's and ``forward(crops (n, 3, h, w)) -> (n, d)``.
        detector_pipeline: mmdet's transforms between the image and the detector. They may not drop
            boxes.
        crop_size: Height and width of the crops that the re-ID network takes.
        person_label: The detector's class of people.
        score_thr: People found with a lower score are not embedded.
        max_people: Nor more than this many in an image, the most certain first.
        crops_per_batch: Crops that go through the re-ID network at once.
        detector_checkpoint: Path or address of weights for the detector alone; None: those of the
            model's checkpoint.
        reid_checkpoint: The same for the re-ID network. Weights that only its training needs, such
            as a classifier of identities, are left out.

    Its attributes are those of :class:`PersonSearch`.

    Raises:
        CheckpointError: Weights do not fit.
    """

    embeds_given_boxes = True
    embedding_weights = 'reid.'
    num_ids_key = 'model.reid.head.num_ids'

    def __init__(
        self,
        detector: dict,
        reid: dict,
        *,
        detector_pipeline: Sequence[dict] = (),
        crop_size: tuple[int, int] = (256, 128),
        person_label: int = 0,
        score_thr: float = 0.05,
        max_people: int = 100,
        crops_per_batch: int = 64,
        detector_checkpoint: str | None = None,
        reid_checkpoint: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(_UnchangedImages(), init_cfg)
        # mmdet's heads read their settings as attributes.
        self.detector = MODELS.build(ConfigDict(detector))
        self.reid = MODELS.build(ConfigDict(reid))
        with DefaultScope.overwrite_default_scope('mmps'):
            self._pipeline = Compose([*detector_pipeline, dict(type='PackDetInputs')])
        self.detector_pipeline = [dict(step) for step in detector_pipeline]
        self.crop_size = tuple(crop_size)
        self.person_label = person_label
        self.score_thr = score_thr
        self.max_people = max_people
        self.crops_per_batch = crops_per_batch
        for part, checkpoint in (('detector', detector_checkpoint), ('reid', reid_checkpoint)):
            if checkpoint is not None:
                _load_part(getattr(self, part), part, checkpoint)

    @cached_property
    def embed_dim(self) -> int:
        """D, the length of an embedding."""
        training = self.reid.training
        self.reid.eval()
        with torch.no_grad():
            blank = np.zeros((1, *self.crop_size, 3), np.uint8)
            dim = self._embed_crops(blank).shape[1]
        self.reid.train(training)
        return dim

    @property
    def num_ids(self) -> int | None:
        """Identities that re-ID is trained with; None where it is not trained with any."""
        return getattr(self.reid, 'num_ids', None)

    def predict(
        self, batch_inputs: Sequence[Tensor], batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """As :meth:`PersonSearch.predict`, of images ``(3, h, w)`` uint8 BGR, of any sizes."""
        images = [_as_array(image) for image in batch_inputs]
        found = self._detect(images)
        self._embed_instances(images, found, [people.bboxes for people in found])
        for sample, people in zip(batch_data_samples, found, strict=True):
            if rescale:
                people.bboxes = people.bboxes / scale_of(sample, people.bboxes)
            sample.pred_instances = people
        self._embed_annotated(images, batch_data_samples)
        return batch_data_samples

    def embed(self, batch_inputs: Sequence[Tensor], batch_data_samples: SampleList) -> SampleList:
        """As :meth:`predict`, but looks for nobody."""
        images = [_as_array(image) for image in batch_inputs]
        self._embed_annotated(images, batch_data_samples)
        return batch_data_samples

    def loss(
        self, batch_inputs: Sequence[Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses of the detector (``detector.*``) and of re-ID on the annotated boxes, in pixels of
        the input, of images as :meth:`predict` takes them.

        An exported part learns nothing; a re-ID network without ``loss`` neither.

        Raises:
            TypeError: Neither part can be trained.
        """
        images = [_as_array(image) for image in batch_inputs]
        people = [sample.gt_instances for sample in batch_data_samples]
        losses: dict[str, Tensor] = {}
        if isinstance(self.detector, BaseDetector):
            data = self._detector_batch(images, [one.bboxes for one in people])
            parts = self.detector.loss(data['inputs'], data['data_samples'])
            losses |= {f'detector.{name}': value for name, value in parts.items()}
        if self.num_ids is not None:
            crops = [
                self._cut(image, one.bboxes) for image, one in zip(images, people, strict=True)
            ]
            inputs = self._reid_inputs(np.concatenate(crops))
            ids = torch.cat([one.person_ids for one in people]).to(inputs.device)
            losses |= self.reid.loss(inputs, ids)
        if not losses:
            raise TypeError(
                'neither the detector nor the re-ID network of this model can be trained'
            )
        return losses

    def extract_feat(self, batch_inputs: Sequence[Tensor]):
        raise TypeError('two networks have no map in common; use predict or embed')

    def _forward(self, batch_inputs, batch_data_samples=None):
        return self.extract_feat(batch_inputs)

    def _detector_batch(self, images: list[np.ndarray], boxes: list[Tensor] | None = None) -> dict:
        """What the detector takes; with boxes ``(n, 4)`` xyxy of each image, to learn from."""
        packed = []
        for i, image in enumerate(images):
            shape = image.shape[:2]
            results = dict(
                img=image, img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), img_id=i
            )
            if boxes is not None:
                count = len(boxes[i])
                results |= dict(
                    gt_bboxes=HorizontalBoxes(boxes[i].cpu()),
                    gt_bboxes_labels=np.full(count, self.person_label, np.int64),
                    gt_ignore_flags=np.zeros(count, bool),
                )
            packed.append(self._pipeline(results))
        return self.detector.data_preprocessor(pseudo_collate(packed), boxes is not None)

    def _detect(self, images: list[np.ndarray]) -> list[InstanceData]:
        """Boxes in pixels of the input, within it, scores and labels, the most certain first."""
        if isinstance(self.detector, BaseDetector):
            data = self._detector_batch(images)
            kind = data['inputs'].device.type
            half = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
            # mmcv's NMS takes no bfloat16.
            with torch.autocast(kind, enabled=half == (True, torch.float16)):
                samples = self.detector.predict(data['inputs'], data['data_samples'])
            everything = (sample.pred_instances for sample in samples)
            people = [one[one.labels == self.person_label] for one in everything]
            found = [(one.bboxes, one.scores) for one in people]
        else:
            found = [tuple(map(torch.from_numpy, people)) for people in self.detector.find(images)]
        return [self._certain(image, *people) for image, people in zip(images, found, strict=True)]

    def _certain(self, image: np.ndarray, boxes: Tensor, scores: Tensor) -> InstanceData:
        height, width = image.shape[:2]
        boxes = boxes.float().minimum(boxes.new_tensor([width, height] * 2)).clamp(min=0)
        scores, order = scores.float().sort(descending=True, stable=True)
        boxes = boxes[order]
        some = (boxes[:, 2:] > boxes[:, :2]).all(1) & (scores >= self.score_thr)
        boxes, scores = boxes[some][: self.max_people], scores[some][: self.max_people]
        labels = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)

    def _embed_annotated(self, images: list[np.ndarray], samples: SampleList) -> None:
        for key in ANNOTATED:
            if found := annotated(samples, key):
                numbers, people, boxes = zip(*found, strict=True)
                self._embed_instances([images[i] for i in numbers], people, boxes)

    def _embed_instances(
        self, images: list[np.ndarray], people: Sequence[InstanceData], boxes: Sequence[Tensor]
    ) -> None:
        """Adds ``embeddings`` to people with boxes in pixels of the input."""
        crops = [self._cut(image, own) for image, own in zip(images, boxes, strict=True)]
        rows = self._embed_crops(np.concatenate(crops)).split([len(one) for one in crops])
        for one, own in zip(people, rows, strict=True):
            one.embeddings = own

    def _cut(self, image: np.ndarray, boxes: Tensor) -> np.ndarray:
        return cut_people(image, boxes.cpu().numpy(), self.crop_size[::-1])

    def _embed_crops(self, crops: np.ndarray) -> Tensor:
        """Embeddings ``(n, d)`` of unit norm of crops ``(n, h, w, 3)`` uint8 BGR."""
        if not len(crops):
            return torch.zeros(0, self.embed_dim)
        size = self.crops_per_batch
        parts = (crops[start : start + size] for start in range(0, len(crops), size))
        return torch.cat([F.normalize(self._embed_batch(part)) for part in parts])

    def _embed_batch(self, crops: np.ndarray) -> Tensor:
        if hasattr(self.reid, 'embed_crops'):
            return torch.from_numpy(self.reid.embed_crops(crops))
        rows = self.reid(self._reid_inputs(crops))
        return (rows[-1] if isinstance(rows, (tuple, list)) else rows).float()

    def _reid_inputs(self, crops: np.ndarray) -> Tensor:
        preprocessor = self.reid.data_preprocessor
        inputs = torch.from_numpy(crops).permute(0, 3, 1, 2).to(preprocessor.device)
        return preprocessor(dict(inputs=inputs), False)['inputs']


class _UnchangedImages(BaseDataPreprocessor):
    """Leaves images as and where they are: both networks have preprocessing of their own."""

    def forward(self, data: dict, training: bool = False) -> dict:
        return data


def _load_part(part: nn.Module, name: str, path: str) -> None:
    state = {key: value for key, value in load_state_dict(path).items() if key in part.state_dict()}
    if wrong := differences(part.state_dict(), state):
        raise CheckpointError(
            f'{name}_checkpoint {path} is of another model: of {len(part.state_dict())} weights, '
            f'{wrong}'
        )
    part.load_state_dict(state)


def _as_array(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())
