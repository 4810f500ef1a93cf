"""What several networks are built with."""

from .norms import GlobalBatchNorm, PrototypeNorm

__all__ = ['GlobalBatchNorm', 'PrototypeNorm']
