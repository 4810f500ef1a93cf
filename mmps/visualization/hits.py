"""What a search found: a sheet with the query and its hits, and each hit in its scene."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .cell import BODY, CAPTION, CELL_HEIGHT, CELL_WIDTH, LINE, Cell, draw_cell
from .draw import ACCENT, INK, MUTED, PAPER, draw_tag, draw_text, outline

MARGIN = 24
GAP = 10
QUERY_GAP = 34
HEADER = 62
ROW = CELL_HEIGHT + CAPTION + LINE + 14
_PALE = 0.45
"""What is left of the pictures below the line."""
_OF_PERSON = 7
"""Squares across what is left of a blurred person: a face is about one of them."""
_OF_MATCH, _OF_SCENE = 3, 48
"""Squares across what is left of somebody undetected who is as wide as the match; at most across
the scene."""


def draw_hits(
    query: Cell,
    hits: Sequence[Cell],
    columns: int = 8,
    *,
    above: int | None = None,
    note: str = '',
) -> np.ndarray:
    """Draw a sheet: the query on the left, what was found beside it, best first, in rows.

    Args:
        query: The person who was searched for.
        hits: Who was found.
        columns: Hits per row.
        above: How many hits are above the line; it is drawn, and those below are paler. None:
            nobody says.
        note: To stand below the title.

    Returns:
        (h, w, 3) uint8 BGR.
    """
    rows = max(1, -(-len(hits) // columns))
    first = MARGIN + CELL_WIDTH + QUERY_GAP
    width = first + columns * (CELL_WIDTH + GAP) - GAP + MARGIN
    sheet = np.full((HEADER + rows * ROW, width, 3), PAPER, np.uint8)
    draw_text(sheet, 'Query', MARGIN, HEADER - 22, 17, INK, bold=True)
    title = 'Most similar people in the gallery' if hits else 'Nobody found'
    draw_text(sheet, title, first, HEADER - 22 - (9 if note else 0), 17, INK, bold=True)
    draw_text(sheet, note, first, HEADER - 10, BODY, MUTED)
    draw_cell(sheet[HEADER : HEADER + ROW, MARGIN : MARGIN + CELL_WIDTH], query, ACCENT)
    for rank, hit in enumerate(hits):
        top = HEADER + rank // columns * ROW
        left = first + rank % columns * (CELL_WIDTH + GAP)
        canvas = sheet[top : top + ROW, left : left + CELL_WIDTH]
        draw_cell(canvas, hit, MUTED)
        draw_tag(canvas, str(rank + 1), 0, 0, MUTED)
        if above is not None and rank >= above:
            picture = canvas[1 : CELL_HEIGHT - 1, 1 : CELL_WIDTH - 1]
            picture[:] = cv2.addWeighted(picture, _PALE, np.full_like(picture, 255), 1 - _PALE, 0)
        if rank == above:
            bar = sheet[top - 3 : top + ROW - 14, left - GAP // 2 - 2 : left - GAP // 2 + 2]
            bar[:] = ACCENT
    return sheet


def draw_match(scene: np.ndarray, bbox: np.ndarray, label: str) -> np.ndarray:
    """A copy of a scene (h, w, 3) uint8 with one person outlined, xyxy, and a label on the box."""
    canvas = np.ascontiguousarray(scene).copy()
    outline(canvas, bbox, ACCENT, thickness=max(2, round(min(canvas.shape[:2]) / 250)))
    draw_tag(canvas, label, bbox[0], bbox[1] - 18 if bbox[1] >= 18 else bbox[1], ACCENT)
    return canvas


def blur_others(
    scene: np.ndarray, keep: np.ndarray, people: np.ndarray | Sequence = (), margin: float = 0.1
) -> np.ndarray:
    """A copy of a scene in which nobody but one person can be recognised.

    Of everything else the means of coarse squares are left, which nothing undoes, and drawn so
    that they blend into each other: detectors miss people. Who is known to be there may be nearer
    to the camera, and is reduced to squares of their own.

    Args:
        scene: (h, w, 3) uint8.
        keep: (4,) xyxy; what is in this box stays sharp.
        people: (n, 4) xyxy of others.
        margin: By what share of their sides the boxes of others are enlarged.
    """
    canvas = np.ascontiguousarray(scene).copy()
    share = max(1.0, keep[2] - keep[0]) / scene.shape[1]
    _reduce(canvas, int(np.clip(_OF_MATCH / share, _OF_PERSON, _OF_SCENE)))
    for bbox in np.asarray(people, np.float64).reshape(-1, 4):
        sides = np.tile(bbox[2:] - bbox[:2], 2)
        _reduce(_inside(canvas, bbox + margin * sides * [-1, -1, 1, 1]), _OF_PERSON)
    _inside(canvas, keep)[:] = _inside(scene, keep)
    return canvas


def _inside(image: np.ndarray, bbox: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(bbox), 0, [width, height, width, height]).astype(int)
    return image[y1:y2, x1:x2]


def _reduce(part: np.ndarray, squares: int) -> None:
    height, width = part.shape[:2]
    if not part.size:
        return
    columns = min(squares, width)
    rows = max(1, round(columns * height / width))
    few = cv2.resize(part, (columns, min(rows, height)), interpolation=cv2.INTER_AREA)
    part[:] = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)
