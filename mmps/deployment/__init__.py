"""Trained models for other runtimes than PyTorch."""

from .export import write_onnx
from .exported_model import ExportedPersonSearch
from .model_file import ModelFile
from .network import OnnxNetwork, OpenVINONetwork
from .runtimes import OnnxRuntime, OpenVINORuntime

__all__ = [
    'ExportedPersonSearch',
    'ModelFile',
    'OnnxNetwork',
    'OnnxRuntime',
    'OpenVINONetwork',
    'OpenVINORuntime',
    'write_onnx',
]
