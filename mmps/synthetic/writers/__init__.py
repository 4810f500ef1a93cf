"""Layouts a synthetic data set can be written in, one file each."""

from mmps.synthetic.writers.base import LayoutWriter
from mmps.synthetic.writers.prw import PRWWriter

LAYOUTS: dict[str, LayoutWriter] = {'prw': PRWWriter()}

__all__ = ['LAYOUTS', 'LayoutWriter', 'PRWWriter']
