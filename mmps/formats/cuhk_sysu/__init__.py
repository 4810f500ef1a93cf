"""CUHK-SYSU: scenes, and protocols that list a gallery for each query."""

from .files import SUBSETS, CUHKSYSUFiles

__all__ = ['SUBSETS', 'CUHKSYSUFiles']
