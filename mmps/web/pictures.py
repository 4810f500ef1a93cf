"""Pixels on their way to a browser."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

LONGEST_SIDE = 1600
"""Pixels of a picture that is shown."""

_SURROUNDINGS = 0.6
"""Shares of a box's width and height that a cut keeps on each side."""

_LARGEST_CUT = 400
"""Pixels of a cut's longer side."""


def cut_out(image: np.ndarray, bbox: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A person (4,) xyxy with their surroundings, small enough to be kept, and the box in it."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in bbox)
    dx, dy = _SURROUNDINGS * (x2 - x1), _SURROUNDINGS * (y2 - y1)
    left, right = int(max(0, x1 - dx)), int(min(width, np.ceil(x2 + dx)))
    top, bottom = int(max(0, y1 - dy)), int(min(height, np.ceil(y2 + dy)))
    cut, bbox = image[top:bottom, left:right], np.array([x1 - left, y1 - top, x2 - left, y2 - top])
    small = _fitting(cut, _LARGEST_CUT)
    scale = np.array([small.shape[1] / cut.shape[1], small.shape[0] / cut.shape[0]] * 2)
    return small.copy(), (bbox * scale).astype(np.float32)


def to_jpeg(image: np.ndarray, longest_side: int) -> bytes:
    """A JPEG file of an image (h, w, 3) BGR, reduced to fit."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 88]
    return cv2.imencode('.jpg', _fitting(image, longest_side), options)[1].tobytes()


def _fitting(image: np.ndarray, longest_side: int) -> np.ndarray:
    scale = longest_side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
