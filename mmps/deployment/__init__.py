"""Trained models for other runtimes than PyTorch."""

from .export import write_onnx
from .exported_model import ExportedDetector, ExportedPersonSearch, ExportedReID
from .model_file import ModelFile
from .network import OnnxNetwork, OpenVINONetwork
from .runtimes import OnnxRuntime, OpenVINORuntime
from .two_files import DetectorFile, ReIDFile

__all__ = [
    'DetectorFile',
    'ExportedDetector',
    'ExportedPersonSearch',
    'ExportedReID',
    'ModelFile',
    'OnnxNetwork',
    'OnnxRuntime',
    'OpenVINONetwork',
    'OpenVINORuntime',
    'ReIDFile',
    'write_onnx',
]
