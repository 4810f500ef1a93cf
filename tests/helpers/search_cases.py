"""Small random test sets and predictions for the tests of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmps.evaluation.functional import SearchAnnotations, SearchGalleries, SearchPredictions

WIDTH, HEIGHT = 640, 360


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 4) float32 boxes of standing people with corners on whole pixels."""
    size = np.stack([rng.integers(8, 60, n), rng.integers(16, 150, n)], 1)
    corner = np.stack([rng.integers(0, WIDTH - 60, n), rng.integers(0, HEIGHT - 150, n)], 1)
    return np.concatenate([corner, corner + size], 1).astype(np.float32)


def random_embeddings(
    rng: np.random.Generator, n: int, dim: int = 4, ties: bool = False
) -> np.ndarray:
    """(n, dim) float32 of unit norm.

    With ``ties`` every value is plus or minus ``dim ** -0.5``; for dim 4 or 16 all inner products
    are then exact in float32 and many are equal.
    """
    values = rng.choice([-1.0, 1.0], (n, dim)) if ties else rng.standard_normal((n, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def random_annotations(
    rng: np.random.Generator,
    images: int = 8,
    people: int = 4,
    queries: int = 5,
    gallery: int = 0,
) -> SearchAnnotations:
    """A test set in which images may be empty, repeat a person and hold unlabelled people.

    Args:
        rng: Source of randomness.
        images: Number of images, at least 1.
        people: Number of person ids.
        queries: Number of queries.
        gallery: Entries of an explicit gallery per query, stored under this size; 0 for none.
    """
    counts = rng.integers(0, 4, images)
    if not counts.any():
        counts[0] = 1
    splits = np.concatenate([[0], np.cumsum(counts)])
    ids = rng.integers(-1, people, splits[-1])
    ids[rng.integers(len(ids))] = 0
    bboxes = random_boxes(rng, len(ids))
    rows = rng.choice(np.flatnonzero(ids >= 0), queries)
    image_of = np.repeat(np.arange(images), counts)
    annotations = SearchAnnotations(
        image_names=tuple(f'c{i % 3}_{i:03d}.jpg' for i in range(images)),
        cameras=np.arange(images) % 3,
        box_splits=splits,
        bboxes=bboxes,
        person_ids=ids,
        query_images=image_of[rows],
        query_bboxes=bboxes[rows],
        query_person_ids=ids[rows],
    )
    if gallery:
        listed = random_galleries(rng, annotations, gallery)
        annotations.galleries[gallery] = listed
    return annotations


def random_galleries(
    rng: np.random.Generator,
    annotations: SearchAnnotations,
    entries: int,
    searches: int | None = None,
) -> SearchGalleries:
    """Galleries of up to ``entries`` images, with repeats, empty ones and own images among them.

    Args:
        rng: Source of randomness.
        annotations: Test set without galleries.
        entries: Most images of a gallery.
        searches: Number of searches, each of a random query, in random order; so some queries are
            searched several times and some not at all. None: each query once.
    """
    queries = np.arange(annotations.num_queries)
    if searches is not None:
        queries = rng.choice(queries, searches)
    counts = rng.integers(0, entries + 1, len(queries))
    images = rng.integers(0, annotations.num_images, counts.sum())
    query = np.repeat(queries, counts)
    positives, bboxes = [], []
    for entry, image in enumerate(images):
        rows = np.arange(annotations.box_splits[image], annotations.box_splits[image + 1])
        same = rows[annotations.person_ids[rows] == annotations.query_person_ids[query[entry]]]
        if len(same):
            positives.append(entry)
            bboxes.append(annotations.bboxes[rng.choice(same)])
    splits = np.concatenate([[0], np.cumsum(counts)])
    return SearchGalleries(splits, images, positives, bboxes, queries)


def random_predictions(
    rng: np.random.Generator,
    annotations: SearchAnnotations,
    dim: int = 4,
    ties: bool = False,
    with_gt: bool = False,
) -> SearchPredictions:
    """Detections around annotated people, some missed, some doubled, some in empty places."""
    bboxes, images = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
    image_of = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
    for jitter in (0, 2, 6):
        keep = rng.random(len(annotations.bboxes)) < 0.6
        noise = rng.integers(-jitter, jitter + 1, (keep.sum(), 4))
        moved = annotations.bboxes[keep] + noise
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        bboxes.append(moved.astype(np.float32))
        images.append(image_of[keep])
    false_alarms = rng.integers(0, annotations.num_images + 1)
    bboxes.append(random_boxes(rng, false_alarms))
    images.append(rng.integers(0, annotations.num_images, false_alarms))
    owner = np.concatenate(images)
    order = rng.permutation(len(owner))
    order = order[np.argsort(owner[order], kind='stable')]
    scores = rng.choice([0.25, 0.5, 0.75, 1.0], len(owner)) if ties else rng.random(len(owner))
    return SearchPredictions(
        image_names=annotations.image_names,
        image_splits=np.searchsorted(owner[order], np.arange(annotations.num_images + 1)),
        bboxes=np.concatenate(bboxes)[order],
        scores=scores.astype(np.float32),
        embeddings=random_embeddings(rng, len(owner), dim, ties),
        query_embeddings=random_embeddings(rng, annotations.num_queries, dim, ties),
        gt_embeddings=(
            random_embeddings(rng, len(annotations.bboxes), dim, ties) if with_gt else None
        ),
    )


def one_image(
    gts: object, detections: object, scores: object, ids: object = None
) -> tuple[SearchAnnotations, SearchPredictions]:
    """A single image without queries: annotated boxes, detected boxes, their scores, person ids."""
    gts = np.float32(gts).reshape(-1, 4)
    annotations = SearchAnnotations(
        image_names=('a.jpg',),
        cameras=[0],
        box_splits=[0, len(gts)],
        bboxes=gts,
        person_ids=np.zeros(len(gts), int) if ids is None else ids,
        query_images=[],
        query_bboxes=[],
        query_person_ids=[],
    )
    predictions = SearchPredictions(
        image_names=('a.jpg',),
        image_splits=[0, len(scores)],
        bboxes=detections,
        scores=scores,
        embeddings=np.ones((len(scores), 1)),
        query_embeddings=np.zeros((0, 1)),
    )
    return annotations, predictions


def random_options(rng: np.random.Generator, gallery: int | str) -> dict[str, object]:
    """Options of a search, or of its diagnosis, in that gallery."""
    return dict(
        score_thr=float(rng.choice([0.0, 0.5, 1.0])),
        confidence_weighting=bool(rng.integers(2)),
        cross_camera=bool(rng.integers(2)),
        gallery_size=gallery,
    )


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
