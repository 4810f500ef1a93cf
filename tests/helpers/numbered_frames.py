"""Frames that say which one they are, so that a wrong one is noticed without any other file."""

from __future__ import annotations

import numpy as np

_BITS = 16


def numbered_frame(number: int, size: tuple[int, int] = (160, 64)) -> np.ndarray:
    """A frame with its number as black and white bars, which survive compression.

    Args:
        number: Below 65,536.
        size: Width and height; the width at least 64.

    Returns:
        (h, w, 3) uint8.
    """
    width, height = size
    bits = number >> np.arange(_BITS) & 1
    row = bits[np.arange(width) * _BITS // width] * 255
    return np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8)


def number_of(frame: np.ndarray) -> int:
    """The number that a frame shows."""
    width = frame.shape[1]
    centres = (2 * np.arange(_BITS) + 1) * width // (2 * _BITS)
    return int(((frame[frame.shape[0] // 2, centres, 1] > 127) << np.arange(_BITS)).sum())
