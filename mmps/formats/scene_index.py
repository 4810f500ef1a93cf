"""What the files of a person-search data set say, checked, before mmengine sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmps.evaluation.functional.annotations import SearchAnnotations


@dataclass(frozen=True)
class Frame:
    """One scene image and the people annotated in it.

    Attributes:
        name: File name as the data set lists it, e.g. ``c1s1_000151.jpg``.
        bboxes: (n, 4) xyxy in original pixels; n may be 0.
        person_ids: (n,) int64. Training: 0..num_ids-1; test: as the data set numbers them; -1 for
            an unlabelled person.
        source: Annotation file the boxes came from, for error messages.
        camera: Camera number, -1 where unknown.
    """

    name: str
    bboxes: np.ndarray
    person_ids: np.ndarray
    source: str
    camera: int = -1


@dataclass(frozen=True)
class Query:
    """One person to search for.

    Attributes:
        image_name: Name of the frame the person is shown in.
        bbox: (4,) xyxy in original pixels.
        person_id: Id as the data set numbers it.
        source: File and row, for error messages.
    """

    image_name: str
    bbox: np.ndarray
    person_id: int
    source: str


@dataclass(frozen=True)
class SceneIndex:
    """Everything one split of a data set holds, but the pixels.

    Attributes:
        frames: The scene images, in the data set's order.
        num_ids: Number of training identities; 0 for a test split, whose ids are not remapped.
        queries: The queries, in the data set's order; empty for a training split.
    """

    frames: Sequence[Frame]
    num_ids: int
    queries: Sequence[Query] = field(default_factory=tuple)


def has_area(bboxes: np.ndarray) -> np.ndarray:
    """(n,) bool: whether each xyxy box of ``bboxes`` (n, 4) is wider and higher than zero."""
    return (bboxes[:, 2:] > bboxes[:, :2]).all(1)


def check_finite(frames: Sequence[Frame], queries: Sequence[Query]) -> None:
    """Refuse boxes with NaN or infinite coordinates.

    Raises:
        ValueError: Names the annotation file and the row.
    """
    for frame in frames:
        bad = ~np.isfinite(frame.bboxes).all(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f'{frame.source}: row {row} (counted from 0) gives the box '
                f'{frame.bboxes[row].tolist()}, which is not finite; correct or remove that row'
            )
    for query in queries:
        if not np.isfinite(query.bbox).all():
            raise ValueError(
                f'{query.source}: the box {query.bbox.tolist()} is not finite; correct that line'
            )


def drop_boxes_without_area(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """Remove boxes that are empty, which no detector can be trained on or be right about.

    In a test split each would count as a person whom nobody finds. The published reference
    evaluation of PRW leaves such boxes in, that of CUHK-SYSU takes them out.

    Returns:
        The frames without those boxes, and one ``file (row)`` for each box removed.
    """
    kept, removed = [], []
    for frame in frames:
        keep = has_area(frame.bboxes)
        if not keep.all():
            removed += [f'{frame.source} (row {row})' for row in np.flatnonzero(~keep)]
            frame = replace(frame, bboxes=frame.bboxes[keep], person_ids=frame.person_ids[keep])
        kept.append(frame)
    return kept, removed


def check_queries(frames: Sequence[Frame], queries: Sequence[Query]) -> None:
    """Refuse queries outside the test images or without a box that can be cropped.

    Raises:
        ValueError: Names the query's file and row.
    """
    names = {frame.name for frame in frames}
    for query in queries:
        if query.image_name not in names:
            raise ValueError(
                f'{query.source}: image {query.image_name!r} is not among the '
                f'{len(names)} test images; a query has to be one of them'
            )
        if not has_area(query.bbox[None])[0]:
            raise ValueError(
                f'{query.source}: the box {query.bbox.tolist()} (x1, y1, x2, y2) has no area'
            )


def to_search_annotations(index: SceneIndex) -> SearchAnnotations:
    """The index of a test split as the arrays that evaluation works on."""
    frames, queries = index.frames, index.queries
    positions = {frame.name: position for position, frame in enumerate(frames)}
    counts = [len(frame.bboxes) for frame in frames]
    return SearchAnnotations(
        image_names=tuple(positions),
        cameras=np.array([frame.camera for frame in frames], np.int64),
        box_splits=np.cumsum([0, *counts]),
        bboxes=np.concatenate([np.empty((0, 4), np.float32), *(f.bboxes for f in frames)]),
        person_ids=np.concatenate([np.empty(0, np.int64), *(f.person_ids for f in frames)]),
        query_images=np.array([positions[query.image_name] for query in queries], np.int64),
        query_bboxes=np.array([query.bbox for query in queries], np.float32).reshape(-1, 4),
        query_person_ids=np.array([query.person_id for query in queries], np.int64),
    )
