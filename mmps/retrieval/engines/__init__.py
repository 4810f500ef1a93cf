"""Where the rows of a gallery are kept, by the form of its address."""

from __future__ import annotations

from ..errors import GalleryError, ModelMismatchError
from ..records import ModelTag
from .base import Engine
from .lance import LanceEngine
from .memory import MemoryEngine
from .milvus import MilvusEngine

__all__ = ['Engine', 'MilvusEngine', 'open_engine']

MEMORY, MILVUS = 'memory:', 'milvus://'


def open_engine(address: str, model: ModelTag | None, *, create: bool) -> Engine | MilvusEngine:
    """The engine behind an address; see :meth:`mmps.retrieval.Gallery.open`."""
    if address == MEMORY:
        if model is None or not create:
            raise GalleryError(f'{MEMORY} always begins empty; give the model to make a gallery')
        return MemoryEngine(address, model)
    kind = MilvusEngine if address.startswith(MILVUS) else LanceEngine
    engine = kind(address, model, create=create)
    if model is not None and _identity(model) != _identity(engine.model):
        made, given = engine.model, model
        raise ModelMismatchError(
            f'{address} was made by {made.name} ({made.fingerprint[:12]}, {made.embed_dim}-d), but '
            f'this is {given.name} ({given.fingerprint[:12]}, {given.embed_dim}-d), whose '
            'embeddings cannot be compared with those: use that model, or index into a new gallery'
        )
    return engine


def _identity(model: ModelTag) -> tuple[str, int]:
    return model.fingerprint, model.embed_dim
