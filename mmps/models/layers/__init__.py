"""What several networks are built with."""

from .modules import GlobalBatchNorm, PrototypeNorm, StagedModule

__all__ = ['GlobalBatchNorm', 'PrototypeNorm', 'StagedModule']
