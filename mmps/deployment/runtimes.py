"""What runs an exported file: arrays in, arrays out."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmps.retrieval import ModelTag
from mmps.utils.errors import UserError, require_extra

INPUTS = ('images', 'sizes', 'boxes', 'box_images', 'detect')
OUTPUTS = ('people_images', 'people_boxes', 'people_scores', 'people_embeddings', 'box_embeddings')
KEY = 'mmps'
"""Under which ONNX's metadata hold the rest, as JSON."""


@dataclass(frozen=True)
class ModelFile:
    """How images have to come in, and which model it is.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     file = ModelFile.read(f'{folder}/person_search.onnx')
        >>> file.tag.fingerprint, file.in_precision('int8').tag.fingerprint
        ('f00d', 'f00d-int8')

    Attributes:
        tag: Which model made the embeddings.
        size_divisor: Height and width of ``images`` are multiples of it.
        steps: What the test pipeline does to an image before, such as ``Resize``.
        precision: ``float32`` or ``int8``.
    """

    tag: ModelTag
    size_divisor: int
    steps: tuple[dict[str, Any], ...]
    precision: str = 'float32'

    def in_precision(self, precision: str) -> ModelFile:
        """The same model computed otherwise, which is another one to a gallery."""
        tag = ModelTag(
            f'{self.tag.fingerprint}-{precision}',
            self.tag.embed_dim,
            f'{self.tag.name}, {precision}',
        )
        return replace(self, tag=tag, precision=precision)

    def write(self, path: str | os.PathLike) -> None:
        """Add it to an ONNX file."""
        import onnx

        model = onnx.load(path)
        onnx.helper.set_model_props(model, {KEY: json.dumps(asdict(self))})
        onnx.save(model, path)

    @classmethod
    def read(cls, path: str | os.PathLike) -> ModelFile:
        """What a file says.

        Raises:
            FileNotFoundError: There is no such file.
            UserError: It is no model that ``export_onnx.py`` wrote.
        """
        onnx = require_extra('onnx', 'export')
        if not Path(path).is_file():
            raise FileNotFoundError(f'model {path} does not exist')
        try:
            properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
            content = json.loads(properties[KEY])
            tag = ModelTag(**content.pop('tag'))
            return cls(tag=tag, **{**content, 'steps': tuple(content['steps'])})
        except Exception as error:  # onnx has no exception of its own for what is not protobuf
            raise UserError(
                f'model {path} is damaged, or was not written by tools/deployment/export_onnx.py: '
                f'{type(error).__name__}: {error}'
            ) from error


PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16'}
"""What OpenVINO can compute in, and its names for that."""


class OnnxRuntime:
    """ONNX Runtime: called with inputs by name, it gives the outputs.

    Attributes:
        batch: How many inputs go in at once, for a file that fixes it; None: any number.
        precision: In what it computes, ``float32`` or ``bfloat16``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     run = OnnxRuntime(f'{folder}/reid.onnx', outputs=None)
        >>> run({'crops': np.ones((1, 3, 16, 8), np.float32)})[0].tolist()
        [[1.0, 1.0, 1.0]]

    Args:
        path: The exported file.
        device: ``auto``, ``cpu`` or ``cuda:N``, which needs the package ``onnxruntime-gpu``.
        threads: CPU threads; 0: as many as there are cores.
        precision: ``float32``, or ``auto``, which is the same here.
        outputs: Which to compute, by default what :class:`ExportablePersonSearch` gives; None: all,
            in the order of the file.

    Raises:
        UserError: The device or the precision is not there, or the file cannot be run.
    """

    precision = 'float32'

    def __init__(
        self,
        path: str | os.PathLike,
        device: str = 'auto',
        threads: int = 0,
        precision: str = 'float32',
        *,
        outputs: Sequence[str] | None = OUTPUTS,
    ) -> None:
        if precision not in ('float32', 'auto'):
            raise UserError(
                f'precision {precision}: ONNX Runtime computes in float32; take backend openvino'
            )
        ort = require_extra('onnxruntime', 'export')
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = _providers(device, ort.get_available_providers())
        try:
            self._session = ort.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's exceptions have no base but this one
            raise UserError(f'ONNX Runtime cannot run {path}: {error}') from error
        self._outputs = None if outputs is None else list(outputs)
        first = self._session.get_inputs()[0]
        self._first = first.name
        self.batch = first.shape[0] if first.shape and isinstance(first.shape[0], int) else None

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return self._session.run(self._outputs, dict(inputs))

    def map(self, arrays: Iterable[np.ndarray]) -> list[list[np.ndarray]]:
        """The outputs for each value of the first input, in order."""
        return [self({self._first: array}) for array in arrays]


def _providers(device: str, available: list[str]) -> list:
    """Those of ONNX Runtime that a device stands for, the best first."""
    cuda, cpu = 'CUDAExecutionProvider', 'CPUExecutionProvider'
    kind, _, index = device.partition(':')
    if kind not in ('auto', 'cpu', 'cuda'):
        raise UserError(f'device {device!r}: ONNX Runtime takes auto, cpu, cuda or cuda:N')
    if kind == 'cuda' and cuda not in available:
        raise UserError(
            f'device {device!r}: this ONNX Runtime has no CUDA; install onnxruntime-gpu in place '
            "of onnxruntime, or take 'cpu'"
        )
    if kind == 'cpu' or cuda not in available:
        return [cpu]
    return [(cuda, {'device_id': int(index or os.environ.get('LOCAL_RANK', 0))}), cpu]


@cache
def _openvino_core():
    """One for the process: with the last core its plug-in is unloaded, which other objects of
    OpenVINO's that are still there do not survive.
    """
    # without it OpenVINO does not tell Google Analytics of each start, for which it forks
    sys.modules.setdefault('openvino_telemetry', None)
    return require_extra('openvino', 'export').Core()


class OpenVINORuntime:
    """The same by OpenVINO.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mmps.testing.exported import write_tiny_networks
        >>> with TemporaryDirectory() as folder:
        ...     write_tiny_networks(folder)
        ...     run = OpenVINORuntime(f'{folder}/reid.onnx', outputs=None)
        >>> run.map([np.ones((1, 3, 16, 8), np.float32)])[0][0].tolist()
        [[1.0, 1.0, 1.0]]

    Args:
        path, outputs: See :class:`OnnxRuntime`.
        device: ``auto`` or ``cpu``, else a name of OpenVINO's, such as ``GPU`` (Intel's).
        threads: CPU threads; 0: as many as OpenVINO thinks best.
        precision: ``float32``; ``bfloat16``, for CPUs that have it; or ``auto``, the latter where
            it is there.
        batch: How many inputs go in at once where the file fixes another number; -1: any number.
        parallel: Have :meth:`map`, which several threads may call then, run several values at a
            time, which takes longer for each and less for all.

    Raises:
        UserError: The device or the precision is not there, or the file cannot be run.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        device: str = 'auto',
        threads: int = 0,
        precision: str = 'float32',
        *,
        outputs: Sequence[str] | None = OUTPUTS,
        batch: int | None = None,
        parallel: bool = False,
    ) -> None:
        core = _openvino_core()
        device = 'CPU' if device in ('auto', 'cpu') else device.upper()
        if device.split('.')[0] not in {name.split('.')[0] for name in core.available_devices}:
            raise UserError(
                f'device {device!r}: OpenVINO finds {", ".join(core.available_devices)} here'
            )
        capabilities = core.get_property(device, 'OPTIMIZATION_CAPABILITIES')
        if precision == 'auto':
            precision = 'bfloat16' if 'BF16' in capabilities else 'float32'
        if precision == 'bfloat16' and 'BF16' not in capabilities:
            raise UserError(f'precision bfloat16: this {device} computes in {capabilities} only')
        self.precision = precision
        options = {'INFERENCE_PRECISION_HINT': PRECISIONS[precision]}
        if threads:
            options['INFERENCE_NUM_THREADS'] = threads
        if parallel:
            options['PERFORMANCE_HINT'] = 'THROUGHPUT'
            if device == 'CPU':  # two networks share the cores, and whoever else is busy
                options['ENABLE_CPU_PINNING'] = False
        try:
            model = core.read_model(os.fspath(path))
            if batch is not None and model.inputs[0].partial_shape[0].is_static:
                model.reshape([batch, *list(model.inputs[0].partial_shape)[1:]])
            self._model = core.compile_model(model, device, options)
        except RuntimeError as error:
            raise UserError(f'OpenVINO cannot run {path}: {error}') from error
        # By number: a port of the model must not outlive it, or freeing it ends the process.
        every = [port.get_names() for port in self._model.outputs]
        numbers = range(len(every))
        if outputs is not None:
            numbers = [next(i for i, names in enumerate(every) if n in names) for n in outputs]
        self._outputs = list(numbers)
        shape = self._model.inputs[0].partial_shape
        self.batch = shape[0].get_length() if len(shape) and shape[0].is_static else None
        self._at_once = 1
        if parallel:
            self._at_once = self._model.get_property('OPTIMAL_NUMBER_OF_INFER_REQUESTS')
        self._free: deque = deque()

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = self._model(dict(inputs))
        return [results[i] for i in self._outputs]

    def map(self, arrays: Iterable[np.ndarray]) -> list[list[np.ndarray]]:
        running, found = deque(), []

        def finish() -> None:
            request = running.popleft()
            request.wait()
            found.append([request.get_output_tensor(i).data.copy() for i in self._outputs])
            self._free.append(request)

        for array in arrays:
            if len(running) == self._at_once:
                finish()
            try:
                request = self._free.pop()
            except IndexError:  # none yet, or other threads have them
                request = self._model.create_infer_request()
            running.append(request)
            request.start_async([array])
        while running:
            finish()
        return found
