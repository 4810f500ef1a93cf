"""How much each of some people looks like each other."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .cell import crop_in_context
from .draw import INK, MUTED, PAPER, Colour, draw_text, text_width

_CROP_WIDTH, _CROP_HEIGHT = 64, 84
_MARGIN, _HEADER, _NUMBER = 24, 46, 18
_LOW: Colour = (252, 248, 246)
_HIGH: Colour = (130, 50, 16)


def draw_similarity_matrix(
    people: Sequence[tuple[np.ndarray, np.ndarray]], embeddings: np.ndarray
) -> np.ndarray:
    """Draw people along both sides and their similarities between them.

    Args:
        people: The scene (h, w, 3) uint8 BGR of each, and their box (4,) xyxy in it.
        embeddings: (n, D) float32 of unit norm.

    Returns:
        (h, w, 3) uint8 BGR. Darker is more similar; 0 and less is white.
    """
    similarities = embeddings @ embeddings.T
    count, side = len(people), _CROP_HEIGHT
    left, top = _MARGIN + _NUMBER + _CROP_WIDTH + 10, _HEADER + _CROP_HEIGHT + _NUMBER + 8
    shape = (top + count * side + _MARGIN, max(460, left + count * side + _MARGIN), 3)
    sheet = np.full(shape, PAPER, np.uint8)
    draw_text(sheet, 'Similarity of embeddings', _MARGIN, 30, 17, INK, bold=True)
    for number, (scene, bbox) in enumerate(people):
        crop, _ = crop_in_context(scene, bbox, _CROP_WIDTH, _CROP_HEIGHT - 4, margin=0.06)
        y, x = top + number * side, left + number * side
        sheet[y : y + _CROP_HEIGHT - 4, left - 10 - _CROP_WIDTH : left - 10] = crop
        centre = x + (side - _CROP_WIDTH) // 2
        sheet[top - 8 - crop.shape[0] : top - 8, centre : centre + _CROP_WIDTH] = crop
        draw_text(sheet, str(number + 1), _MARGIN - 6, y + side / 2 + 4, 13, MUTED, bold=True)
        label = str(number + 1)
        offset = (side - text_width(label, 13)) / 2
        draw_text(sheet, label, x + offset, top - 14 - crop.shape[0], 13, MUTED, bold=True)
        for other in range(count):
            _draw_square(sheet, left + other * side, y, side, float(similarities[number, other]))
    return sheet


def _draw_square(sheet: np.ndarray, left: int, top: int, side: int, similarity: float) -> None:
    share = min(1.0, max(0.0, similarity))
    colour = tuple(round(low + share * (high - low)) for low, high in zip(_LOW, _HIGH, strict=True))
    cv2.rectangle(sheet, (left, top), (left + side - 3, top + side - 3), colour, cv2.FILLED)
    text = f'{round(similarity, 2) + 0.0:.2f}'  # no -0.00
    ink = PAPER if share > 0.45 else INK
    draw_text(
        sheet, text, left + (side - 3 - text_width(text, 15)) / 2, top + side / 2 + 4, 15, ink
    )
