"""COCO-style files with person ids: read, and written from any index."""

from .files import CocoPersonSearchFiles

__all__ = ['CocoPersonSearchFiles']
