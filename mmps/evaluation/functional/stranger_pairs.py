"""Pairs of pictures that are known to show different people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .annotations import SearchAnnotations
from .matching import match_people
from .predictions import SearchPredictions, align_predictions, keep_confident

MOST_PICTURES = 3000
"""Pictures compared with each other: 4.5 million pairs."""
MOST_PAIRS = 4_000_000
_LINKED = 0.01
"""Share of the strangers in one frame that look as similar as one person in two frames has to."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of people.

    Attributes:
        embeddings: (n, D) float32 of unit norm.
        person_ids: (n,) int64.
        bboxes: (n, 4) float32 xyxy in the scene.
        images: (n,) int64 number of the scene.
        cameras: (n,) int64 which took it; -1: unknown.
    """

    embeddings: np.ndarray
    person_ids: np.ndarray
    bboxes: np.ndarray
    images: np.ndarray
    cameras: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Pictures:
        """Some of them, by a mask (n,) or indices (m,)."""
        return Pictures(*(values[rows] for values in vars(self).values()))


@dataclass(frozen=True)
class StrangerPairs:
    """Similarities of pictures of different people.

    Attributes:
        similarities: (n,) float32.
        owners: (n, 2) int64 the two people of each pair, by any numbers.
    """

    similarities: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.similarities)


def labelled_pictures(
    annotations: SearchAnnotations, predictions: SearchPredictions, score_thr: float = 0.5
) -> Pictures:
    """The detections that show somebody with an id.

    A detection shows the annotated person that it overlaps most, from an IoU of 0.5 on.

    Args:
        annotations: Ground truth.
        predictions: Images in any order.
        score_thr: Detections with lower scores are dropped.
    """
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    images = np.repeat(np.arange(annotations.num_images), np.diff(predictions.image_splits))
    ((rows, people),) = match_people(
        images, predictions.bboxes, annotations.box_splits, annotations.bboxes, [0.5]
    )
    # above one half, boxes that overlap a detection equally are rare: the first is taken
    rows, first = np.unique(rows, return_index=True)
    ids = annotations.person_ids[people[first]]
    rows, ids = rows[ids >= 0], ids[ids >= 0]
    boxes, of_rows = predictions.bboxes[rows], images[rows]
    cameras = annotations.cameras[of_rows]
    return Pictures(predictions.embeddings[rows], ids, boxes, of_rows, cameras)


def pairs_by_label(pictures: Pictures) -> tuple[StrangerPairs, np.ndarray]:
    """Pairs of different people, and similarities of pictures of the same person.

    Of people with many pictures some are taken, evenly spaced, so that there are
    :data:`MOST_PICTURES` at most.

    Returns:
        The pairs, and (m,) float32 of the same person in two scenes.
    """
    some = pictures[_some_of_each(pictures.person_ids, MOST_PICTURES)]
    one, other = np.triu_indices(len(some.images), 1)
    similarities = (some.embeddings @ some.embeddings.T)[one, other]
    differ = some.person_ids[one] != some.person_ids[other]
    same = ~differ & (some.images[one] != some.images[other])
    owners = np.stack([some.person_ids[one[differ]], some.person_ids[other[differ]]], 1)
    return StrangerPairs(similarities[differ], owners), similarities[same]


def pairs_in_scenes(pictures: Pictures) -> StrangerPairs:
    """:func:`pairs_in_frames` of pictures whose labels are not looked at.

    Raises:
        ValueError: No scene shows two people apart from each other.
    """
    some = pictures[np.lexsort((pictures.images, pictures.cameras))]
    frames = np.cumsum(np.diff(some.images, prepend=some.images[:1]) != 0)
    return pairs_in_frames(some.embeddings, some.bboxes, frames, some.cameras)


def pairs_in_frames(
    embeddings: np.ndarray, bboxes: np.ndarray, frames: np.ndarray, sequences: np.ndarray
) -> StrangerPairs:
    """Pairs of people who are seen in the same frame, and so cannot be the same.

    Boxes that overlap are no pair: they may be one person, detected twice. Nobody says who is who
    in different frames; somebody who looks about the same in frames that follow one another counts
    as one person, as far as it matters how much the pairs tell.

    Args:
        embeddings: (n, D) float32 of unit norm.
        bboxes: (n, 4) xyxy.
        frames: (n,) int64 number of the frame, ascending: those of a sequence follow one another.
        sequences: (n,) int64 of which camera or video it is.

    Raises:
        ValueError: No frame shows two people apart from each other.
    """
    bounds = np.flatnonzero(np.diff(frames, prepend=frames[:1] - 1, append=frames[-1:] + 1))
    found = [_apart(bboxes, start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    one, other = np.concatenate(found, 1) if found else np.zeros((2, 0), np.int64)
    if not len(one):
        raise ValueError('no frame shows two people apart from each other')
    step = -(-len(one) // MOST_PAIRS)
    one, other = one[::step], other[::step]
    similarities = np.einsum('nd,nd->n', embeddings[one], embeddings[other])
    level = np.quantile(similarities, 1 - _LINKED)
    people = _linked(embeddings, bounds, sequences, level)
    return StrangerPairs(similarities, np.stack([people[one], people[other]], 1))


def _apart(bboxes: np.ndarray, start: int, end: int) -> np.ndarray:
    """(2, m) the pairs of rows from ``start`` to ``end`` whose boxes do not overlap."""
    one, other = np.triu_indices(end - start, 1)
    a, b = bboxes[start + one], bboxes[start + other]
    overlap = np.minimum(a[:, 2:], b[:, 2:]) > np.maximum(a[:, :2], b[:, :2])
    return start + np.stack([one, other])[:, ~overlap.all(1)]


def _linked(
    embeddings: np.ndarray, bounds: np.ndarray, sequences: np.ndarray, level: float
) -> np.ndarray:
    """(n,) int64 number of each person, the same in frames that follow one another.

    Each is linked with whom they are most similar to in the next frame if that holds the other way
    round as well, from ``level`` on.
    """
    people = np.arange(len(embeddings))
    for start, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        if sequences[start] != sequences[middle]:
            continue
        similar = embeddings[start:middle] @ embeddings[middle:end].T
        best = similar.argmax(1)
        rows = np.arange(middle - start)
        mutual = (similar.argmax(0)[best] == rows) & (similar[rows, best] >= level)
        people[middle + best[mutual]] = people[start + rows[mutual]]
    return people


def _some_of_each(person_ids: np.ndarray, most: int) -> np.ndarray:
    """Rows (m,), ascending, evenly spaced among those of each person, the same number of each."""
    order = np.argsort(person_ids, kind='stable')
    _, starts, counts = np.unique(person_ids[order], return_index=True, return_counts=True)
    if len(counts) > most:
        kept = np.linspace(0, len(counts) - 1, most).astype(np.int64)
        starts, counts = starts[kept], counts[kept]
    # the largest number of each with which there are not too many
    per_person = int(counts.max(initial=0))
    while np.minimum(counts, per_person).sum() > most:
        per_person = max(1, int(per_person * 0.9))
        if per_person == 1:
            break
    rows = [
        order[start + np.linspace(0, count - 1, min(count, per_person)).round().astype(np.int64)]
        for start, count in zip(starts, counts, strict=True)
    ]
    return np.sort(np.concatenate(rows)) if rows else order
