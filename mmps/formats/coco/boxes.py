"""Boxes between corners and COCO's ``[x, y, width, height]``, without losing a bit."""

from __future__ import annotations

import numpy as np

_DECIMALS = 9


def to_xywh(bbox: np.ndarray) -> list[float]:
    """A box (4,) xyxy in the decimals a reader expects.

    Reading them back, adding in float64 and keeping float32 gives the same corners, as long as they
    are 0 or at least a thousandth of a pixel.
    """
    x1, y1, x2, y2 = (_decimal(value) for value in bbox)
    return [x1, y1, _extent(x1, x2), _extent(y1, y2)]


def _decimal(value: float) -> float:
    """The shortest decimal that float32 cannot tell from ``value``: 10.3, not 10.30000019."""
    return float(str(np.float32(value)))


def _extent(start: float, end: float) -> float:
    """``end - start`` without the binary dust (30.3, not 30.299999999999997) where none is lost."""
    extent = round(end - start, _DECIMALS)
    return extent if np.float32(start + extent) == np.float32(end) else end - start
