"""Person search on top of MMDetection: detect every pedestrian and embed each, in one network."""

from mmps.version import __version__

__all__ = ['__version__']
