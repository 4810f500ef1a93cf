"""What runs an exported file: arrays in, arrays out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from mmps.deployment.model_file import OUTPUTS, require
from mmps.utils.cli import UserError

PRECISIONS = {'float32': 'f32', 'bfloat16': 'bf16'}
"""What OpenVINO can compute in, and its names for that."""


class Runtime(Protocol):
    """Runs the graph of :class:`ExportablePersonSearch`."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The arrays named by ``OUTPUTS`` for those named by ``INPUTS``."""


class OnnxRuntime:
    """ONNX Runtime.

    Args:
        path: The exported file.
        device: ``auto``, ``cpu`` or ``cuda:N``, which needs the package ``onnxruntime-gpu``.
        threads: CPU threads; 0: as many as there are cores.

    Raises:
        UserError: The device is not there, or the file cannot be run.
    """

    def __init__(self, path: str | os.PathLike, device: str = 'auto', threads: int = 0) -> None:
        ort = require('onnxruntime')
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = _providers(device, ort.get_available_providers())
        try:
            self._session = ort.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's exceptions have no base but this one
            raise UserError(f'ONNX Runtime cannot run {path}: {error}') from error

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See :class:`Runtime`."""
        return self._session.run(list(OUTPUTS), dict(inputs))


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


class OpenVINORuntime:
    """OpenVINO.

    Args:
        path: The exported file.
        device: ``auto`` or ``cpu``, else a name of OpenVINO's, such as ``GPU`` (Intel's).
        threads: CPU threads; 0: as many as OpenVINO thinks best.
        precision: ``float32`` or ``bfloat16``, for CPUs that have it.

    Raises:
        UserError: The device or the precision is not there, or the file cannot be run.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        device: str = 'auto',
        threads: int = 0,
        precision: str = 'float32',
    ) -> None:
        openvino = require('openvino')
        core = openvino.Core()
        device = 'CPU' if device in ('auto', 'cpu') else device.upper()
        if device.split('.')[0] not in {name.split('.')[0] for name in core.available_devices}:
            raise UserError(
                f'device {device!r}: OpenVINO finds {", ".join(core.available_devices)} here'
            )
        capabilities = core.get_property(device, 'OPTIMIZATION_CAPABILITIES')
        if precision == 'bfloat16' and 'BF16' not in capabilities:
            raise UserError(f'precision bfloat16: this {device} computes in {capabilities} only')
        options = {'INFERENCE_PRECISION_HINT': PRECISIONS[precision]}
        if threads:
            options['INFERENCE_NUM_THREADS'] = threads
        try:
            self._model = core.compile_model(os.fspath(path), device, options)
        except RuntimeError as error:
            raise UserError(f'OpenVINO cannot run {path}: {error}') from error

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """See :class:`Runtime`."""
        results = self._model(dict(inputs))
        return [results[name] for name in OUTPUTS]
