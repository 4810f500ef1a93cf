"""Trained models for other runtimes than PyTorch.

This and :mod:`.runtimes` and :mod:`.two_files`, which run files, import no PyTorch; the rest does.
"""

from .runtimes import ModelFile, OnnxRuntime, OpenVINORuntime
from .two_files import DetectorFile, ReIDFile

__all__ = ['DetectorFile', 'ModelFile', 'OnnxRuntime', 'OpenVINORuntime', 'ReIDFile']
