"""One split of a data set: from the cache if its files have not changed, else read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, check_indices

from .cache import IndexCache
from .scene_files import SceneFiles
from .scene_index import LARGEST_COORDINATE, LARGEST_ID, Frame, Query, SceneIndex, has_area


def load_scenes(files: SceneFiles) -> tuple[SceneIndex, list[str]]:
    """One split of a data set, read and checked, or as it was read the last time.

    Returns:
        The index without boxes that have no area, and one ``file (row)`` for each such box.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Annotations contradict the layout or themselves; the message names file and row.
    """
    cache = IndexCache(files)
    loaded = cache.load()
    if loaded is None:
        loaded = read_scenes(files)
        cache.save(*loaded)
    return loaded


def read_scenes(files: SceneFiles) -> tuple[SceneIndex, list[str]]:
    """As :func:`load_scenes`, always from the data set's own files."""
    index = files.read()
    frames = [_with_array_types(frame) for frame in index.frames]
    _refuse_repeated_names(frames, files)
    check_coordinates(frames, index.queries)
    check_ids(frames, index.queries, None if files.test_mode else index.num_ids)
    frames, removed = drop_boxes_without_area(frames)
    check_queries(frames, index.queries)
    for name, gallery in index.galleries.items():
        place = f'{files.root}: gallery {name}'
        check_indices(f'{place}, images', gallery.images, len(frames), 'images')
        check_indices(f'{place}, queries', gallery.queries, len(index.queries), 'queries')
    return replace(index, frames=frames), removed


def _with_array_types(frame: Frame) -> Frame:
    if frame.bboxes.dtype == np.float32 and frame.person_ids.dtype == np.int64:
        return frame
    return replace(
        frame,
        bboxes=frame.bboxes.astype(np.float32),
        person_ids=frame.person_ids.astype(np.int64),
    )


def _refuse_repeated_names(frames: Sequence[Frame], files: SceneFiles) -> None:
    seen: set[str] = set()
    for frame in frames:
        if frame.name in seen:
            raise ValueError(
                f'{files.root}: image {frame.name!r} is listed twice in this split; list it once'
            )
        seen.add(frame.name)


def check_coordinates(frames: Sequence[Frame], queries: Sequence[Query]) -> None:
    """Refuse boxes with coordinates that no image has: NaN, infinite, or beyond a million.

    Raises:
        ValueError: Names the annotation file and the row.
    """
    for frame in frames:
        bad = ~(np.abs(frame.bboxes) <= LARGEST_COORDINATE).all(1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f'{frame.source}: row {row} (counted from 0) gives the box '
                f'{frame.bboxes[row].tolist()}, which is {_COORDINATE_FIX} that row'
            )
    for query in queries:
        if not (np.abs(query.bbox) <= LARGEST_COORDINATE).all():
            raise ValueError(
                f'{query.source}: the box {query.bbox.tolist()} is {_COORDINATE_FIX} that line'
            )


_COORDINATE_FIX = f'not finite or reaches beyond {LARGEST_COORDINATE:,} pixels; correct or remove'


def check_ids(frames: Sequence[Frame], queries: Sequence[Query], num_ids: int | None) -> None:
    """Refuse ids that are none.

    Args:
        frames: Their ids are -1 for an unlabelled person, or from 0 on.
        queries: Their ids are from 0 on.
        num_ids: Ids of a training split are below it; None: a test split.

    Raises:
        ValueError: Names the annotation file and the row.
    """
    largest = LARGEST_ID if num_ids is None else num_ids - 1
    for frame in frames:
        bad = (frame.person_ids < UNLABELLED) | (frame.person_ids > largest)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f'{frame.source}: row {row} (counted from 0) has the id {frame.person_ids[row]}; '
                f'ids are from 0 to {largest} here, -1 for an unlabelled person'
            )
    for query in queries:
        if not 0 <= query.person_id <= LARGEST_ID:
            raise ValueError(
                f'{query.source}: the id {query.person_id}; ids are from 0 to {LARGEST_ID}'
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


def drop_boxes_outside(
    frames: Sequence[Frame], sizes: Sequence[tuple[int, int] | None]
) -> tuple[list[Frame], list[str]]:
    """Remove boxes of which nothing is inside their image; touching its edge is not inside.

    Resizing clips such a box to no width or no height, whose logarithm makes a training's losses
    infinite. For training only: what a test set lists is to be found, and evaluation looks at no
    image.

    Args:
        frames: The scene images.
        sizes: (width, height) of each as it is displayed; None where unknown, of which only what
            lies left of it or above it is known to be outside.

    Returns:
        The frames without those boxes, and for each box removed where it is and what it is.
    """
    kept, removed = [], []
    for frame, size in zip(frames, sizes, strict=True):
        limits = (np.inf, np.inf) if size is None else size
        outside = ((frame.bboxes[:, :2] >= limits) | (frame.bboxes[:, 2:] <= 0)).any(1)
        if outside.any():
            of = '' if size is None else f' in an image of {size[0]} x {size[1]} pixels'
            removed += [
                f'{frame.source}: {frame.name}, {frame.bboxes[row].tolist()} (x1, y1, x2, y2){of}'
                for row in np.flatnonzero(outside)
            ]
            ids = frame.person_ids[~outside]
            frame = replace(frame, bboxes=frame.bboxes[~outside], person_ids=ids)
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
