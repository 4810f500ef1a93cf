"""CUHK03: crops of people in a MATLAB 7.3 file, and two protocols."""

from .files import CUHK03Files, crop_folder

__all__ = ['CUHK03Files', 'crop_folder']
