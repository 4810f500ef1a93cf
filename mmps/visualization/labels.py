"""Where labels of people go, so that no label hides another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ADJACENT = 8
"""How many of the places, which are in order of preference, touch the box."""


@dataclass(frozen=True)
class Label:
    """Where a label goes.

    Attributes:
        place: ``above-``, ``below-``, ``beside-``, ``higher-`` or ``lower-left`` or ``-right``,
            ``inside-top`` or ``inside-bottom``; higher and lower ones leave room for one label in
            between.
        left, top: Its corner, in pixels.
    """

    place: str
    left: float
    top: float


def place_labels(
    bboxes: np.ndarray, sizes: Sequence[tuple[float, float]], frame: tuple[float, float]
) -> list[Label]:
    """Choose a place for the label of each person, one after the other.

    A label goes where it hides the least of other labels, rather beside the box than further away,
    then where it hides the least of people, and where that is the same, to the first of the places.
    Pixels outside of the image count as hidden labels.

    Args:
        bboxes: (n, 4) xyxy.
        sizes: Width and height of n labels, in the same pixels.
        frame: Width and height of the image.
    """
    bboxes = np.asarray(bboxes, np.float64).reshape(-1, 4)
    placed = np.zeros((0, 4))
    labels = []
    for bbox, (width, height) in zip(bboxes, sizes, strict=True):
        places, corners = zip(*_corners(bbox, width, height).items(), strict=True)
        corners = np.array(corners)
        spots = np.hstack([corners, corners + [width, height]])
        outside = width * height - _overlaps(spots, np.array([[0, 0, *frame]])).sum(1)
        hidden = outside + _overlaps(spots, placed).sum(1)
        people = _overlaps(spots, bboxes).sum(1)
        order = np.arange(len(spots))
        best = np.lexsort((order, people.round(3), order >= _ADJACENT, hidden.round(3)))[0]
        placed = np.vstack([placed, spots[best]])
        labels.append(Label(places[best], *corners[best].tolist()))
    return labels


def _corners(bbox: np.ndarray, width: float, height: float) -> dict[str, tuple[float, float]]:
    """Top left corner of a label at each place around a box, the best place first."""
    x1, y1, x2, y2 = bbox
    left, right = x1, x2 - width
    return {
        'above-left': (left, y1 - height),
        'above-right': (right, y1 - height),
        'below-left': (left, y2),
        'below-right': (right, y2),
        'beside-left': (x1 - width, y1),
        'beside-right': (x2, y1),
        'inside-top': (left, y1),
        'inside-bottom': (left, y2 - height),
        'higher-left': (left, y1 - 2 * height),
        'higher-right': (right, y1 - 2 * height),
        'lower-left': (left, y2 + height),
        'lower-right': (right, y2 + height),
    }


def _overlaps(spots: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Areas (n, m) that n boxes xyxy share with m others."""
    low = np.maximum(spots[:, None, :2], boxes[None, :, :2])
    high = np.minimum(spots[:, None, 2:], boxes[None, :, 2:])
    return np.clip(high - low, 0, None).prod(2)
