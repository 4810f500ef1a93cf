"""A folder in CUHK03's layout that is small enough for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmps.formats.cuhk03 import SHOTS, VARIABLES, write_cuhk03

ONE_VIEW = (1, 2)
"""Camera pair and number of the person whom the second view never shows."""


def write_tiny_cuhk03(
    root: str | Path, people: Sequence[int] = (5, 3), splits: int = 20, seed: int = 0
) -> Path:
    """Write coloured noise as crops of people, in the official files.

    Picture 5 of every person with an even number is missing, everything from the second view of
    :data:`ONE_VIEW`, and of the detected crops the last picture of the first person. The first two
    people of each camera pair train in the new protocol, the others are its test set. Each classic
    split tests every third person.

    Args:
        root: Folder to write to.
        people: Number of people of each camera pair, at least 3.
        splits: Number of classic splits.
        seed: Seed of pixels and sizes.

    Returns:
        ``root`` as a path.
    """
    root, rng = Path(root), np.random.default_rng(seed)
    everybody = [(pair, n) for pair, count in enumerate(people, 1) for n in range(1, count + 1)]
    crops = {
        boxes: {
            (*person, number): _crop(rng, person)
            for person in everybody
            for number in range(1, SHOTS + 1)
            if not _is_missing(boxes, person, number)
        }
        for boxes in VARIABLES
    }
    write_cuhk03(
        root,
        crops,
        people,
        testsets=[everybody[split % 3 :: 3] for split in range(splits)],
        test_people=[(pair, n) for pair, n in everybody if n > 2],
    )
    return root


def _is_missing(boxes: str, person: tuple[int, int], number: int) -> bool:
    return (
        (number == 5 and person[1] % 2 == 0)
        or (person == ONE_VIEW and number > SHOTS // 2)
        or (boxes == 'detected' and person == (1, 1) and number == SHOTS)
    )


def _crop(rng: np.random.Generator, person: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8 RGB noise around the person's colour."""
    size = rng.integers((24, 10), (40, 20))
    colour = np.random.default_rng(person).integers(20, 236, 3)
    return (colour + rng.integers(-20, 20, (*size, 3))).astype(np.uint8)
