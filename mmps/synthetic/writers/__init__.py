"""Layouts a synthetic data set can be written in, one file each."""

from mmps.synthetic.writers.base import LayoutWriter
from mmps.synthetic.writers.coco import CocoWriter
from mmps.synthetic.writers.cuhk03 import CUHK03Writer
from mmps.synthetic.writers.cuhk_sysu import CUHKSYSUWriter
from mmps.synthetic.writers.prw import PRWWriter
from mmps.synthetic.writers.table import TableWriter

LAYOUTS: dict[str, LayoutWriter] = {
    'coco': CocoWriter(),
    'csv': TableWriter(),
    'cuhk03': CUHK03Writer(),
    'cuhk_sysu': CUHKSYSUWriter(),
    'prw': PRWWriter(),
}

__all__ = [
    'LAYOUTS',
    'CUHK03Writer',
    'CUHKSYSUWriter',
    'CocoWriter',
    'LayoutWriter',
    'PRWWriter',
    'TableWriter',
]
