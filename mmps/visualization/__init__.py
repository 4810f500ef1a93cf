"""Pictures of what a data set holds and of what a model found."""

from .cell import Cell
from .draw import finish_picture, read_image, write_image
from .hits import blur_others, draw_hits, draw_match
from .ranking import draw_ranking_sheet, save_ranking_sheets
from .scene import draw_packed, draw_people
from .video import write_video

__all__ = [
    'Cell',
    'blur_others',
    'draw_hits',
    'draw_match',
    'draw_packed',
    'draw_people',
    'draw_ranking_sheet',
    'finish_picture',
    'read_image',
    'save_ranking_sheets',
    'write_image',
    'write_video',
]
