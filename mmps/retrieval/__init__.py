"""Galleries: people found in images and videos, stored so that they can be searched."""

from .errors import DamagedGalleryError, GalleryError, ModelMismatchError
from .explanation import why_nobody
from .feedback import refined_query
from .gallery import Gallery
from .records import GalleryInfo, Hit, IndexedFrame, ModelTag, Where

__all__ = [
    'DamagedGalleryError',
    'Gallery',
    'GalleryError',
    'GalleryInfo',
    'Hit',
    'IndexedFrame',
    'ModelMismatchError',
    'ModelTag',
    'Where',
    'refined_query',
    'why_nobody',
]
