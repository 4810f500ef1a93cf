"""Trained models for other runtimes than PyTorch.

What runs a file is imported without PyTorch; the rest when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .runtimes import ModelFile, OnnxRuntime, OpenVINORuntime
from .two_files import DetectorFile, ReIDFile

if TYPE_CHECKING:
    from .export import write_onnx
    from .exported_model import ExportedDetector, ExportedPersonSearch, ExportedReID

__all__ = [
    'DetectorFile',
    'ExportedDetector',
    'ExportedPersonSearch',
    'ExportedReID',
    'ModelFile',
    'OnnxRuntime',
    'OpenVINORuntime',
    'ReIDFile',
    'write_onnx',
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    file = 'export' if name == 'write_onnx' else 'exported_model'
    return getattr(importlib.import_module(f'{__name__}.{file}'), name)
