"""Boxes that a user gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def check_box(box: Sequence[float], image: np.ndarray) -> np.ndarray:
    """A box (4,) float32 xyxy, cut at the edges of an image (h, w, 3).

    Raises:
        ValueError: It is not a box, or nothing is left of it.
    """
    height, width = image.shape[:2]
    bbox = np.asarray(box, np.float32)
    if bbox.shape != (4,) or not np.isfinite(bbox).all():
        raise ValueError(f'box {box}: four numbers are needed, x1, y1, x2, y2 in pixels')
    cut = np.clip(bbox, 0, np.array([width, height] * 2, np.float32))
    if (cut[2:] - cut[:2] < 1).any():
        raise ValueError(
            f'box {bbox.tolist()}: it is empty or outside the image of {width} x {height} pixels; '
            'give x1, y1, x2, y2'
        )
    return cut
