"""Where the rows of a gallery are kept, by the form of its address."""

from __future__ import annotations

from ..errors import GalleryError
from ..records import ModelTag
from .base import Engine, SearchingEngine
from .memory import MemoryEngine

__all__ = ['Engine', 'SearchingEngine', 'open_engine']


def open_engine(address: str, model: ModelTag | None, *, create: bool) -> Engine:
    """The engine behind an address; see :meth:`mmps.retrieval.Gallery.open`."""
    if address == 'memory:':
        if model is None or not create:
            raise GalleryError('memory: there is nothing to open; give the model to make a gallery')
        return MemoryEngine(address, model)
    raise GalleryError(f'{address}: unknown')
