"""What an attention mask lets through of people."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .cell import crop_in_context
from .draw import ACCENT, INK, MUTED, PAPER, draw_tag, draw_text, outline

_WIDTH, _HEIGHT = 148, 220
_MARGIN, _HEADER, _CAPTION, _GAP = 24, 82, 28, 14
_COLUMNS = 4


def draw_attention(
    people: Sequence[tuple[np.ndarray, np.ndarray]], masks: np.ndarray, title: str
) -> np.ndarray:
    """Draw people, each beside what the mask makes of them.

    Args:
        people: The scene (h, w, 3) uint8 BGR of each, and their box (4,) xyxy in it.
        masks: (n, h, w) in 0..1, each over the box.
        title: What attention it is.

    Returns:
        (h, w, 3) uint8 BGR. Of each person, the brightest place is where their own mask is
        largest, the darkest where it is smallest: the numbers below say how large that is.
    """
    columns = min(_COLUMNS, max(1, len(people)))
    rows = -(-len(people) // columns)
    pair = 2 * _WIDTH + 4
    width = max(560, 2 * _MARGIN + columns * (pair + _GAP) - _GAP)
    sheet = np.full((_HEADER + rows * (_HEIGHT + _CAPTION + _GAP) + 10, width, 3), PAPER, np.uint8)
    draw_text(sheet, title, _MARGIN, 34, 17, INK, bold=True)
    note = 'dark: held back, bright: let through; the scale is that of each person, see below them'
    draw_text(sheet, note, _MARGIN, 58, 13, MUTED)
    for number, ((scene, bbox), mask) in enumerate(zip(people, masks, strict=True)):
        top = _HEADER + number // columns * (_HEIGHT + _CAPTION + _GAP)
        left = _MARGIN + number % columns * (pair + _GAP)
        crop, box = crop_in_context(scene, bbox, _WIDTH, _HEIGHT)
        covered = _covered(crop, box, mask)
        for x, picture in ((left, crop), (left + _WIDTH + 4, covered)):
            outline(picture, box, ACCENT)
            sheet[top : top + _HEIGHT, x : x + _WIDTH] = picture
        draw_tag(sheet, str(number + 1), left, top, MUTED)
        text = f'mask {mask.min():.2f} to {mask.max():.2f}, mean {mask.mean():.2f}'
        draw_text(sheet, text, left, top + _HEIGHT + 17, 13, INK)
    return sheet


def _covered(crop: np.ndarray, box: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A copy of a crop with colours over the box (4,) xyxy: its grey shades stay recognisable."""
    height, width = crop.shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(box), 0, [width, height, width, height]).astype(int)
    covered = crop.copy()
    if x2 <= x1 or y2 <= y1:
        return covered
    spread = max(float(np.ptp(mask)), 1e-6)
    shades = np.round(255 * (mask - mask.min()) / spread).astype(np.uint8)
    shades = cv2.resize(shades, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO)
    part = covered[y1:y2, x1:x2]
    grey = cv2.cvtColor(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    part[:] = cv2.addWeighted(grey, 0.4, colours, 0.6, 0)
    return covered
