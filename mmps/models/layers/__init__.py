"""What several networks are built with."""

from .prototype_norm import PrototypeNorm

__all__ = ['PrototypeNorm']
