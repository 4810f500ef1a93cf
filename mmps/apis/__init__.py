"""Find people, and find a person again: the interface for programs and notebooks."""

from .people import People

__all__ = ['People']
