"""One split of a data set: from the cache if its files have not changed, else read and checked."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, check_indices
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
    return f'{kind.__name__}_{files.split}_{digest}.msgpack'


def _state(files: SceneFiles) -> tuple[str, int]:
    """A hash of size and times of every file, and when the last of them changed, in ns."""
    state = {}
    for path in files.sources():
        with suppress(OSError):
            found = os.stat(path)
            state[str(path)] = found.st_size, found.st_mtime_ns, found.st_ctime_ns
    youngest = max((changed for *_, changed in state.values()), default=0)
    return hashlib.sha256(repr(state).encode()).hexdigest(), youngest


def _save(path: Path, state: str, index: SceneIndex, removed: Sequence[str]) -> None:
    try:
        content = msgspec.msgpack.encode((state, index, removed), enc_hook=_as_plain)
        with whole_file(path) as temporary:
            temporary.write_bytes(zlib.crc32(content).to_bytes(4, 'big') + content)
    except (OSError, UnicodeError) as error:
        _logger.warning(
            '%s: cannot be written, so that the data set is read anew each time (%s); '
            '%s=FOLDER chooses another folder, %s=off none',
            *(path, error, FOLDER_VARIABLE, FOLDER_VARIABLE),
        )


def _load(path: Path, state: str) -> tuple[SceneIndex, list[str]] | None:
    """What :func:`_save` was given; None if it was given another state."""
    content = memoryview(path.read_bytes())
    if zlib.crc32(content[4:]) != int.from_bytes(content[:4], 'big'):
        raise ValueError('its checksum is another')
    kind = tuple[str, SceneIndex, list[str]]
    saved, *loaded = msgspec.msgpack.decode(content[4:], type=kind, dec_hook=_as_array)
    return tuple(loaded) if saved == state else None


def _as_plain(value: np.ndarray | np.integer) -> Any:
    if isinstance(value, np.integer):
        return int(value)
    return value.dtype.str, value.shape, value.tobytes()


def _as_array(_: type, value: tuple[str, list[int], bytes]) -> np.ndarray:
    dtype, shape, content = value
    return np.ndarray(shape, dtype, bytearray(content))


def read_scenes(files: SceneFiles) -> tuple[SceneIndex, list[str]]:
    """As :func:`load_scenes`, always from the data set's own files.

    Boxes that are empty are left out: no detector can be trained on them, and in a test split each
    would count as a person whom nobody finds. The published reference evaluation of PRW leaves such
    boxes in, that of CUHK-SYSU takes them out.
    """
    index = files.read()
    largest = LARGEST_ID if files.test_mode else index.num_ids - 1
    frames: list[Frame] = []
    removed: list[str] = []
    for frame in index.frames:
        bboxes, ids = np.asarray(frame.bboxes, np.float32), np.asarray(frame.person_ids, np.int64)
        frame = replace(frame, bboxes=bboxes, person_ids=ids)
        _check_frame(frame, largest)
        keep = has_area(bboxes)
        removed += [f'{frame.source} (row {row})' for row in np.flatnonzero(~keep)]
        frames.append(_only(frame, keep))
    names = Counter(frame.name for frame in frames)
    for name, times in names.items():
        if times > 1:
            raise ValueError(
                f'{files.root}: image {name!r} is listed twice in this split; list it once'
            )
    for query in index.queries:
        _check_query(query, names)
    for name, gallery in index.galleries.items():
        place = f'{files.root}: gallery {name}'
        check_indices(f'{place}, images', gallery.images, len(frames), 'images')
        check_indices(f'{place}, queries', gallery.queries, len(index.queries), 'queries')
    return replace(index, frames=frames), removed


_FAR = f'not finite or reaches beyond {LARGEST_COORDINATE:,} pixels; correct or remove that'


def _check_frame(frame: Frame, largest: int) -> None:
    """Refuse coordinates that no image has, and ids that are none."""
    bboxes, ids = frame.bboxes, frame.person_ids
    for row in np.flatnonzero(~(np.abs(bboxes) <= LARGEST_COORDINATE).all(1)):
        raise ValueError(
            f'{frame.source}: row {row} (counted from 0) gives the box {bboxes[row].tolist()}, '
            f'which is {_FAR} row'
        )
    for row in np.flatnonzero((ids < UNLABELLED) | (ids > largest)):
        raise ValueError(
            f'{frame.source}: row {row} (counted from 0) has the id {ids[row]}; ids are from 0 to '
            f'{largest} here, -1 for an unlabelled person'
        )


def _check_query(query: Query, names: Counter[str]) -> None:
    """Refuse a query that is no person in one of the images ``names``."""
    if not (np.abs(query.bbox) <= LARGEST_COORDINATE).all():
        raise ValueError(f'{query.source}: the box {query.bbox.tolist()} is {_FAR} line')
    if not 0 <= query.person_id <= LARGEST_ID:
        raise ValueError(
            f'{query.source}: the id {query.person_id}; ids are from 0 to {LARGEST_ID}'
        )
    if query.image_name not in names:
        raise ValueError(
            f'{query.source}: image {query.image_name!r} is not among the {len(names)} test '
            'images; a query has to be one of them'
        )
    if not has_area(query.bbox[None])[0]:
        raise ValueError(
            f'{query.source}: the box {query.bbox.tolist()} (x1, y1, x2, y2) has no area'
        )


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
