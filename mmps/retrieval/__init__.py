"""Galleries: people found in images and videos, stored so that they can be searched."""

from .calibration import load_calibration, save_calibration
from .clothing import clothing_colours
from .gallery import Gallery, refined_query, why_nobody
from .records import (
    COLOURS,
    Appearance,
    AsWritten,
    DamagedGalleryError,
    FramePlace,
    GalleryError,
    GalleryInfo,
    Hit,
    IndexedFrame,
    ModelMismatchError,
    ModelTag,
    Where,
)
from .tracklets import Recurring, picture_quality

__all__ = [
    'COLOURS',
    'Appearance',
    'AsWritten',
    'DamagedGalleryError',
    'FramePlace',
    'Gallery',
    'GalleryError',
    'GalleryInfo',
    'Hit',
    'IndexedFrame',
    'ModelMismatchError',
    'ModelTag',
    'Recurring',
    'Where',
    'clothing_colours',
    'load_calibration',
    'picture_quality',
    'refined_query',
    'save_calibration',
    'why_nobody',
]
