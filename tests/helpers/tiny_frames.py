"""Frames of noise with one coloured rectangle per person, for tiny data sets of any layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

_PEOPLE_MARGIN = 4


def spread_people(ids: Sequence[int], frames: int, unlabelled: int) -> list[list[int]]:
    """For each frame its people: every identity in two frames, somebody unlabelled in each."""
    return [
        [unlabelled, *(pid for k, pid in enumerate(ids) if frame in (k % frames, (k + 1) % frames))]
        for frame in range(frames)
    ]


def write_frame(
    path: Path, people: Sequence[int], size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Write one frame, its people side by side, each identity in its own colour.

    Args:
        path: File to write.
        people: Ids.
        size: (width, height).
        rng: Source of pixels and places.

    Returns:
        (n, 4) float64 boxes of ``people``: x, y, width, height with fractions.
    """
    width, height = size
    image = rng.integers(60, 100, (height, width, 3), np.uint8)
    column = width / max(len(people), 1)
    boxes = []
    for place, person_id in enumerate(people):
        box_width = min(column - _PEOPLE_MARGIN, 0.25 * height)
        box_height = height * rng.uniform(0.5, 0.8)
        x = place * column + rng.uniform(0, column - box_width)
        y = rng.uniform(0, height - box_height)
        colour = np.random.default_rng(person_id % 1000).integers(0, 256, 3).tolist()
        corners = (int(x), int(y)), (int(x + box_width) - 1, int(y + box_height) - 1)
        cv2.rectangle(image, *corners, colour, cv2.FILLED)
        boxes.append([x, y, box_width, box_height])
    cv2.imwrite(str(path), image)
    return np.array(boxes, np.float64).reshape(-1, 4)
