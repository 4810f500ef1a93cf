"""Test sets with one query whose results can be computed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmps.evaluation.functional import SearchAnnotations, SearchGalleries, SearchPredictions

BOX = [0, 0, 20, 40]
OTHER = [100, 0, 120, 40]
PERSON, SOMEBODY = 7, 8
HERE = [(PERSON, BOX)]
"""An image of the person who is searched for, and of nobody else."""
ABSENT = None


def one_query(
    people: Sequence[Sequence[tuple]],
    detections: Sequence[Sequence[tuple]],
    listed: Sequence[tuple] | None = None,
    size: int = 100,
    **changes: Any,
) -> tuple[SearchAnnotations, SearchPredictions]:
    """A test set with one query, who is PERSON at BOX in image 0, and what was found in it.

    Args:
        people: For each image its annotated ``(person id, box)``.
        detections: For each image its ``(box, similarity to the query[, score])``.
        listed: Explicit gallery of ``(image, box of the person or ABSENT)``.
        size: Its name.
        changes: Of the annotations, in which every image is from a camera of its own.
    """
    names = tuple(f'{i}.jpg' for i in range(len(people)))
    galleries = {} if listed is None else {size: _gallery(listed)}
    annotations = SearchAnnotations(
        image_names=names,
        cameras=range(len(names)),
        box_splits=np.cumsum([0, *map(len, people)]),
        bboxes=[box for image in people for _, box in image],
        person_ids=[person for image in people for person, _ in image],
        query_images=[0],
        query_bboxes=[BOX],
        query_person_ids=[PERSON],
        galleries=galleries,
    )
    flat = [detection for image in detections for detection in image]
    cosines = np.array([detection[1] for detection in flat], float)
    predictions = SearchPredictions(
        image_names=names,
        image_splits=np.cumsum([0, *map(len, detections)]),
        bboxes=[detection[0] for detection in flat],
        scores=[detection[2] if len(detection) > 2 else 1.0 for detection in flat],
        embeddings=np.stack([cosines, np.sqrt(1 - cosines**2)], 1),
        query_embeddings=[[1.0, 0.0]],
    )
    return replace(annotations, **changes), predictions


def _gallery(listed: Sequence[tuple]) -> SearchGalleries:
    images = [image for image, _ in listed]
    positives = [entry for entry, (_, box) in enumerate(listed) if box is not ABSENT]
    return SearchGalleries(
        [0, len(listed)], images, positives, [listed[entry][1] for entry in positives]
    )
