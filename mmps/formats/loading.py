"""One split of a data set: from the cache if its files have not changed, else read and checked."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries, check_indices
from mmps.utils.errors import data_errors
from mmps.utils.files import whole_file

from .scene_index import (
    LARGEST_COORDINATE,
    LARGEST_ID,
    Frame,
    Query,
    SceneFiles,
    SceneIndex,
    has_area,
)

FOLDER_VARIABLE = 'MMPS_INDEX_CACHE'
"""Environment variable: another folder for the cache, or ``off``."""

SETTLED_NS = 2 * 10**9
"""Age from which files are cached. A change within one tick of a file system's clock leaves no
trace in its time stamps; the coarsest clocks in use tick every two seconds."""

_READERS = 1
"""To be raised when the readers make something else of the same files."""

_GALLERY_ARRAYS = ('splits', 'images', 'positives', 'bboxes', 'queries')
_logger = logging.getLogger(__name__)


@data_errors()
def load_scenes(files: SceneFiles) -> tuple[SceneIndex, list[str]]:
    """One split of a data set, read and checked, or as it was read the last time.

    What was read is kept in a file for each folder, split and choice of options, which is valid as
    long as size and times of change of every file in ``files.sources()`` stay the same. Processes
    may read and write it at once.

    Returns:
        The index without boxes that have no area, and one ``file (row)`` for each such box.

    Raises:
        FileNotFoundError: A file is missing.
        DataError: Annotations contradict the layout or themselves; the message names file and row.
    """
    folder = cache_folder()
    if folder is None:
        return read_scenes(files)
    path = folder / _cache_name(files)
    state, _ = _state(files)
    try:
        if loaded := _load(path, state):
            return loaded
    except FileNotFoundError:
        pass
    except Exception as error:  # whatever is wrong with it, the files themselves can be read
        _logger.warning('%s: damaged, read anew (%s)', path, error)
    loaded = read_scenes(files)
    after, youngest = _state(files)
    if after == state and time.time_ns() - youngest >= SETTLED_NS:
        _save(path, state, *loaded)
    return loaded


def cache_folder() -> Path | None:
    """Where cached indices lie; None: nothing is cached."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen == 'off':
        return None
    if chosen:
        return Path(chosen)
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mmps' / 'index'


def _cache_name(files: SceneFiles) -> str:
    options = [(field.name, str(getattr(files, field.name))) for field in fields(files)]
    kind = type(files)
    # The index holds paths as they were given, for its messages, so that they are part of the name.
    identity = _READERS, kind.__module__, kind.__qualname__, os.path.abspath(files.root), options
    digest = hashlib.sha256(repr(identity).encode(errors='surrogateescape')).hexdigest()[:16]
    return f'{kind.__name__}_{files.split}_{digest}.npz'


def _state(files: SceneFiles) -> tuple[str, int]:
    """A hash of size and times of every file, and when the last of them changed, in ns."""
    state, youngest = hashlib.sha256(), 0
    for path in files.sources():
        try:
            found = os.stat(path)
        except OSError:
            state.update(f'{path}: absent\n'.encode(errors='surrogateescape'))
            continue
        values = found.st_size, found.st_mtime_ns, found.st_ctime_ns
        state.update(f'{path}: {values}\n'.encode(errors='surrogateescape'))
        youngest = max(youngest, found.st_ctime_ns)
    return state.hexdigest(), youngest


def _save(path: Path, state: str, index: SceneIndex, removed: Sequence[str]) -> None:
    texts = dict(
        state=state,
        num_ids=int(index.num_ids),
        frames=[(frame.name, frame.source, int(frame.camera)) for frame in index.frames],
        queries=[(q.image_name, q.source, int(q.person_id)) for q in index.queries],
        galleries=list(index.galleries),
        removed=removed,
    )
    arrays = dict(index.arrays(), texts=np.frombuffer(json.dumps(texts).encode(), np.uint8))
    if index.raw_ids is not None:
        arrays['raw_ids'] = index.raw_ids
    for number, gallery in enumerate(index.galleries.values()):
        for name in _GALLERY_ARRAYS:
            arrays[f'gallery_{number}_{name}'] = getattr(gallery, name)
    try:
        with whole_file(path) as temporary, open(temporary, 'wb') as file:
            np.savez(file, **arrays)
    except OSError as error:
        _logger.warning(
            '%s: cannot be written, so that the data set is read anew each time (%s); '
            '%s=FOLDER chooses another folder, %s=off none',
            *(path, error, FOLDER_VARIABLE, FOLDER_VARIABLE),
        )


def _load(path: Path, state: str) -> tuple[SceneIndex, list[str]] | None:
    """What :func:`_save` was given; None if it was given another state."""
    with np.load(path, allow_pickle=False) as archive:
        texts = json.loads(archive['texts'].tobytes())
        if texts['state'] != state:
            return None
        arrays = {name: archive[name] for name in archive.files}
    frames = [
        Frame(name, arrays['bboxes'][start:stop], arrays['person_ids'][start:stop], source, camera)
        for (name, source, camera), (start, stop) in zip(
            texts['frames'], pairwise(arrays['box_splits'].tolist()), strict=True
        )
    ]
    queries = [
        Query(name, bbox, person_id, source)
        for (name, source, person_id), bbox in zip(
            texts['queries'], arrays['query_bboxes'], strict=True
        )
    ]
    galleries = {
        name: SearchGalleries(*(arrays[f'gallery_{number}_{key}'] for key in _GALLERY_ARRAYS))
        for number, name in enumerate(texts['galleries'])
    }
    index = SceneIndex(frames, texts['num_ids'], queries, galleries, arrays.get('raw_ids'))
    return index, texts['removed']


def read_scenes(files: SceneFiles) -> tuple[SceneIndex, list[str]]:
    """As :func:`load_scenes`, always from the data set's own files."""
    index = files.read()
    frames = [
        replace(
            frame,
            bboxes=np.asarray(frame.bboxes, np.float32),
            person_ids=np.asarray(frame.person_ids, np.int64),
        )
        for frame in index.frames
    ]
    for name, times in Counter(frame.name for frame in frames).items():
        if times > 1:
            raise ValueError(
                f'{files.root}: image {name!r} is listed twice in this split; list it once'
            )
    check_coordinates(frames, index.queries)
    check_ids(frames, index.queries, None if files.test_mode else index.num_ids)
    frames, removed = drop_boxes_without_area(frames)
    check_queries(frames, index.queries)
    for name, gallery in index.galleries.items():
        place = f'{files.root}: gallery {name}'
        check_indices(f'{place}, images', gallery.images, len(frames), 'images')
        check_indices(f'{place}, queries', gallery.queries, len(index.queries), 'queries')
    return replace(index, frames=frames), removed


def check_coordinates(frames: Sequence[Frame], queries: Sequence[Query]) -> None:
    """Refuse boxes with coordinates that no image has: NaN, infinite, or beyond a million.

    Raises:
        ValueError: Names the annotation file and the row.
    """
    fix = f'not finite or reaches beyond {LARGEST_COORDINATE:,} pixels; correct or remove that'
    for frame in frames:
        for row in np.flatnonzero(~(np.abs(frame.bboxes) <= LARGEST_COORDINATE).all(1)):
            raise ValueError(
                f'{frame.source}: row {row} (counted from 0) gives the box '
                f'{frame.bboxes[row].tolist()}, which is {fix} row'
            )
    for query in queries:
        if not (np.abs(query.bbox) <= LARGEST_COORDINATE).all():
            raise ValueError(f'{query.source}: the box {query.bbox.tolist()} is {fix} line')


def check_ids(frames: Sequence[Frame], queries: Sequence[Query], num_ids: int | None) -> None:
    """Refuse ids that are none; those of a training split are below ``num_ids``.

    Raises:
        ValueError: Names the annotation file and the row.
    """
    largest = LARGEST_ID if num_ids is None else num_ids - 1
    for frame in frames:
        bad = (frame.person_ids < UNLABELLED) | (frame.person_ids > largest)
        for row in np.flatnonzero(bad):
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
        removed += [f'{frame.source} (row {row})' for row in np.flatnonzero(~keep)]
        kept.append(_only(frame, keep))
    return kept, removed


def _only(frame: Frame, keep: np.ndarray) -> Frame:
    """A frame with some of its boxes."""
    if keep.all():
        return frame
    return replace(frame, bboxes=frame.bboxes[keep], person_ids=frame.person_ids[keep])


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
        of = '' if size is None else f' in an image of {size[0]} x {size[1]} pixels'
        removed += [
            f'{frame.source}: {frame.name}, {frame.bboxes[row].tolist()} (x1, y1, x2, y2){of}'
            for row in np.flatnonzero(outside)
        ]
        kept.append(_only(frame, ~outside))
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
