"""Exported models where PyTorch ones are expected: in tests, searches and comparisons."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from mmdet.structures import SampleList
from mmengine.model import BaseModel, stack_batch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmps.deployment.runtimes import ModelFile, OnnxRuntime, OpenVINORuntime
from mmps.deployment.two_files import DetectorFile, ReIDFile
from mmps.models.detectors.person_search import ANNOTATED, annotated, scale_of
from mmps.registry import MODELS

Preprocess = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], dict[str, list]]
"""Images (h, w, 3) uint8 BGR, and boxes of each, to a batch as a data loader makes it."""

RUNTIMES = {'onnxruntime': OnnxRuntime, 'openvino': OpenVINORuntime}


@MODELS.register_module()
class ExportedPersonSearch(BaseModel):
    """What :class:`PersonSearch` predicts, by another runtime.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmdet.structures import DetDataSample
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     config = dict(type='ExportedPersonSearch', path=f'{folder}/person_search.onnx')
        ...     model = MODELS.build(config)
        >>> (sample,) = model([torch.zeros(3, 96, 128, dtype=torch.uint8)], [DetDataSample()])
        >>> sample.pred_instances.bboxes, sample.pred_instances.embeddings
        (tensor([[10., 10., 20., 40.]]), tensor([[1., 0.]]))

    Args:
        path: The exported file.
        backend: ``onnxruntime`` or ``openvino``.
        options: Of the runtime: device, threads, precision.
    """

    def __init__(
        self, path: str | os.PathLike, backend: str = 'onnxruntime', **options: str | int
    ) -> None:
        super().__init__()
        self.file = ModelFile.read(path)
        self._run = RUNTIMES[backend](path, **options)
        self.precision = self._run.precision

    def forward(
        self, inputs: list[Tensor], data_samples: SampleList, mode: str = 'predict'
    ) -> SampleList:
        """Adds what :meth:`PersonSearch.predict` adds, to images ``(3, h, w)`` uint8."""
        if mode != 'predict':
            raise ValueError(f'mode={mode!r}: an exported model only predicts')
        return self._predict(inputs, data_samples, detect=True)

    def embed(self, inputs: list[Tensor], data_samples: SampleList) -> SampleList:
        """Adds what :meth:`PersonSearch.embed` adds."""
        return self._predict(inputs, data_samples, detect=False)

    def _predict(self, inputs: list[Tensor], samples: SampleList, detect: bool) -> SampleList:
        given = [instances for _, instances, _ in annotated(samples, *ANNOTATED)]
        arrays = network_inputs(inputs, samples, self.file.size_divisor, detect)
        index, *people, embeddings = map(torch.from_numpy, map(np.array, self._run(arrays)))
        rows = embeddings.split([len(part.bboxes) for part in given])
        for part, own in zip(given, rows, strict=True):
            part.embeddings = own
        for i, sample in enumerate(samples if detect else ()):
            bboxes, scores, own = (values[index == i] for values in people)
            sample.pred_instances = InstanceData(
                bboxes=bboxes / scale_of(sample, bboxes),
                scores=scores,
                labels=torch.zeros(len(scores), dtype=torch.int64),
                embeddings=own,
            )
        return samples


@MODELS.register_module()
class ExportedDetector(nn.Module):
    """A :class:`DetectorFile` as part of :class:`TwoStepPersonSearch`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     config = dict(type='ExportedDetector', path=f'{folder}/detector.onnx')
        ...     model = MODELS.build(dict(**config, input_size=(64, 48)))
        >>> model.find([np.zeros((48, 64, 3), np.uint8)])
        [(array([[10., 10., 20., 40.]], dtype=float32), array([0.75], dtype=float32))]
    """

    def __init__(self, **options) -> None:
        super().__init__()
        file = DetectorFile(**options)
        self.file_digest, self.find = file.digest, file.find


@MODELS.register_module()
class ExportedReID(nn.Module):
    """A :class:`ReIDFile` as part of :class:`TwoStepPersonSearch`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     config = dict(type='ExportedReID', path=f'{folder}/reid.onnx', input_size=(8, 16))
        ...     model = MODELS.build(config)
        >>> model.embed_crops(np.full((1, 16, 8, 3), 255, np.uint8)).shape
        (1, 3)
    """

    def __init__(self, **options) -> None:
        super().__init__()
        file = ReIDFile(**options)
        self.file_digest, self.embed_crops = file.digest, file.embed_crops


def network_inputs(
    inputs: list[Tensor], data_samples: SampleList, size_divisor: int, detect: bool = True
) -> dict[str, np.ndarray]:
    """What the graph of :class:`ExportablePersonSearch` takes; see there."""
    given = annotated(data_samples, *ANNOTATED)
    images = np.repeat([i for i, _, _ in given], [len(boxes) for _, _, boxes in given])
    return dict(
        images=stack_batch(inputs, size_divisor).permute(0, 2, 3, 1).contiguous().numpy(),
        sizes=np.array([image.shape[-2:] for image in inputs], np.int64),
        boxes=torch.cat([torch.zeros(0, 4), *(boxes for _, _, boxes in given)]).numpy(),
        box_images=images.astype(np.int64),
        detect=np.array(detect),
    )
