"""CUHK03: crops of people in a MATLAB 7.3 file, and two protocols."""

from .crops import count_classic_splits
from .files import CLASSIC_GALLERIES, CUHK03Files, crop_folder

__all__ = ['CLASSIC_GALLERIES', 'CUHK03Files', 'count_classic_splits', 'crop_folder']
