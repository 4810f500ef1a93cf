"""A person cut out of a scene, with a caption: what sheets are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .draw import INK, MUTED, RULE, Colour, draw_text, outline, shorten, text_width

CELL_WIDTH, CELL_HEIGHT = 116, 148
CAPTION = 40
LINE = 15
BODY, SMALL = 13, 11


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    Attributes:
        scene: (h, w, 3) uint8 BGR; None where it cannot be shown.
        bbox: (4,) xyxy of the person in it.
        title: First line of the caption.
        corner: At the end of the first line, such as the camera.
        lines: Further lines; where one is too long, its middle is left out.
    """

    scene: np.ndarray | None
    bbox: np.ndarray
    title: str
    corner: str = ''
    lines: Sequence[str] = ()


def draw_cell(canvas: np.ndarray, cell: Cell, colour: Colour) -> None:
    """Draw a person in their surroundings, and the caption below.

    Args:
        canvas: (h, CELL_WIDTH, 3) uint8, changed in place.
        cell: What to draw.
        colour: Of the outlines.
    """
    picture = canvas[:CELL_HEIGHT]
    if cell.scene is None:
        picture[:] = RULE
        draw_text(picture, 'not there any more', 6, CELL_HEIGHT / 2, SMALL, MUTED)
    else:
        picture[:], box = crop_in_context(cell.scene, cell.bbox, CELL_WIDTH, CELL_HEIGHT)
        outline(picture, box, colour)
    outline(picture, (0, 0, CELL_WIDTH, CELL_HEIGHT), colour)
    baseline = CELL_HEIGHT + 17
    draw_text(canvas, cell.title, 0, baseline, BODY, INK, bold=True)
    room = CELL_WIDTH - text_width(cell.title, BODY) - 8
    corner = shorten(cell.corner, room, SMALL)
    draw_text(canvas, corner, CELL_WIDTH - text_width(corner, SMALL), baseline, SMALL, MUTED)
    for number, line in enumerate(cell.lines, start=1):
        short = shorten(line, CELL_WIDTH, SMALL)
        draw_text(canvas, short, 0, baseline + number * LINE, SMALL, MUTED)


def crop_in_context(
    image: np.ndarray, bbox: np.ndarray, width: int, height: int, margin: float = 0.16
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a person out of a scene, with surroundings that are paler than the person.

    The cut has the shape asked for and stays inside the image where the image is large enough.

    Args:
        image: (h, w, 3) uint8.
        bbox: (4,) xyxy in pixels of ``image``.
        width: Of the result.
        height: Of the result.
        margin: Least surroundings on each side, as a share of the box.

    Returns:
        (height, width, 3) uint8, and the box in it (4,).
    """
    x1, y1, x2, y2 = (float(value) for value in bbox)
    scale = min(width / (x2 - x1), height / (y2 - y1)) / (1 + 2 * margin)
    size = np.array([width, height]) / scale
    limit = np.array([image.shape[1], image.shape[0]]) - size
    corner = np.array([x1 + x2, y1 + y2]) / 2 - size / 2
    corner = np.where(limit >= 0, np.clip(corner, 0, limit), limit / 2)
    box = (np.array([x1, y1, x2, y2]) - np.tile(corner, 2)) * scale
    crop = _resample(image, corner, scale, width, height)
    pale = cv2.addWeighted(crop, 0.62, np.full_like(crop, 255), 0.38, 0)
    a, b, c, d = np.clip(np.round(box), 0, [width, height, width, height]).astype(int)
    pale[b:d, a:c] = crop[b:d, a:c]
    return pale, box


def _resample(
    image: np.ndarray, corner: np.ndarray, scale: float, width: int, height: int
) -> np.ndarray:
    """The part of ``image`` that starts at ``corner``, enlarged or reduced by ``scale``."""
    if scale < 1:  # average over the pixels that fall together, or fine patterns turn into moire
        shape = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        corner, scale = corner * scale, 1.0
    # pixel centres stand at half-integers of the box coordinates
    shift = (0.5 - corner) * scale - 0.5
    crop = cv2.warpAffine(
        image,
        np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    a, b = np.round(-corner * scale).astype(int).clip(0)
    c, d = np.round((np.array([image.shape[1], image.shape[0]]) - corner) * scale).astype(int)
    crop[:b] = crop[d:] = RULE
    crop[:, :a] = crop[:, c:] = RULE
    return crop
