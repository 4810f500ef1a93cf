"""Layouts a synthetic data set can be written in, one file each."""

from mmps.datasets.synthetic.writers.base import LayoutWriter
from mmps.datasets.synthetic.writers.prw import PRWWriter

LAYOUTS: dict[str, LayoutWriter] = {'prw': PRWWriter()}

__all__ = ['LAYOUTS', 'LayoutWriter', 'PRWWriter']
