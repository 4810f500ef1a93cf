"""Galleries: people found in images and videos, stored so that they can be searched."""

from .calibration import load_calibration, save_calibration
from .errors import DamagedGalleryError, GalleryError, ModelMismatchError
from .explanation import why_nobody
from .feedback import refined_query
from .gallery import Gallery
from .records import AsWritten, GalleryInfo, Hit, IndexedFrame, ModelTag, Where

__all__ = [
    'AsWritten',
    'DamagedGalleryError',
    'Gallery',
    'GalleryError',
    'GalleryInfo',
    'Hit',
    'IndexedFrame',
    'ModelMismatchError',
    'ModelTag',
    'Where',
    'load_calibration',
    'refined_query',
    'save_calibration',
    'why_nobody',
]
