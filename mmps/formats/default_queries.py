"""Queries for a test set that names none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED

from .scene_index import Frame, Query, has_area

FIRST_PER_CAMERA = 'first_per_camera'
"""What a data set's option calls the rule of :func:`first_per_camera`."""


def first_per_camera(frames: Sequence[Frame]) -> list[Query]:
    """The first box of each person in each camera, in the order of the frames.

    People seen in one image only are left out, for there is nobody to find. Images of unknown
    cameras count as one camera. Boxes without area are passed over.

    Returns:
        The queries. Nothing about them is random.
    """
    images: dict[int, set[int]] = defaultdict(set)
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for position, frame in enumerate(frames):
        usable = has_area(np.asarray(frame.bboxes)) & (frame.person_ids != UNLABELLED)
        for row in np.flatnonzero(usable).tolist():
            person = int(frame.person_ids[row])
            images[person].add(position)
            first.setdefault((person, frame.camera), (position, row))
    chosen = sorted(place for (person, _), place in first.items() if len(images[person]) > 1)
    return [
        Query(
            frames[position].name,
            frames[position].bboxes[row],
            int(frames[position].person_ids[row]),
            f'{frames[position].source} (row {row})',
        )
        for position, row in chosen
    ]
