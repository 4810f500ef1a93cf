"""Pictures of what a data set holds and of what a model found."""

from .draw import Cell, draw_packed, draw_people, finish_picture, read_image, write_image
from .sheets import (
    blur_others,
    draw_attention,
    draw_hits,
    draw_match,
    draw_ranking_sheet,
    draw_similarity_matrix,
    save_ranking_sheets,
)
from .video import write_video

__all__ = [
    'Cell',
    'blur_others',
    'draw_attention',
    'draw_hits',
    'draw_match',
    'draw_packed',
    'draw_people',
    'draw_ranking_sheet',
    'draw_similarity_matrix',
    'finish_picture',
    'read_image',
    'save_ranking_sheets',
    'write_image',
    'write_video',
]
