"""Person search on top of MMDetection: detect every pedestrian and embed each, in one network."""

from mmps.utils.threads import sleep_where_cores_are_taken
from mmps.version import __version__

__all__ = ['__version__']

sleep_where_cores_are_taken()
