"""Pictures of what a data set holds and of what a model found."""

from .draw import read_image, write_image
from .ranking import draw_ranking_sheet, save_ranking_sheets
from .scene import draw_packed, draw_people
from .video import write_video

__all__ = [
    'draw_packed',
    'draw_people',
    'draw_ranking_sheet',
    'read_image',
    'save_ranking_sheets',
    'write_image',
    'write_video',
]
