"""Which detections of consecutive frames are one person: tracklets; and who appears often.

A tracklet follows from the rows of a sequence in the order of their times alone. It does not depend
on which process found them, or on when: an indexing that was interrupted, one by several processes
and one that went through give the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from mmps.evaluation.functional.tracklets import GAP, REMEMBERED, Tracker

from .engine import Engine
from .records import Appearance, GalleryError, IndexedFrame, Where
from .rows import (
    BOX,
    NOBODY,
    appearances_of,
    column,
    embeddings_in,
    frame_id,
    moments_of,
    person_ids,
    replaced,
    texts,
    with_checksums,
)

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = (REMEMBERED + 1) * GAP
"""Seconds before a moment that decide about it."""
ENOUGH, SHARP = 256.0, 100.0
"""Height in pixels above which a picture gains nothing, and sharpness at which it is half as good
as it could be."""
CHUNK = 1000
"""Frames, or appearances, read at a time."""
MOST = 20_000
"""Appearances that are grouped at once: all pairs are compared."""


def picture_quality(
    boxes: np.ndarray,
    scores: np.ndarray,
    sharpness: np.ndarray | None = None,
) -> np.ndarray:
    """How good a picture each detection of a frame is of the person, (n,) float32 in 0..1.

    Args:
        boxes: (n, 4) xyxy in pixels of everybody in the frame, with ``scores`` (n,).
        sharpness: (n,) variance of the Laplacian of each at a height of 128; None: unknown.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    height = boxes[:, 3] - boxes[:, 1]
    area = np.maximum((boxes[:, 2] - boxes[:, 0]) * height, 1e-6)
    inner = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = np.maximum(inner - np.maximum(boxes[:, None, :2], boxes[None, :, :2]), 0)
    in_front = boxes[None, :, 3] > boxes[:, None, 3]  # who stands lower is nearer
    covered = (sides.prod(-1) * in_front).max(1, initial=0) / area
    quality = np.minimum(height / ENOUGH, 1) * np.asarray(scores) * (1 - np.minimum(covered, 1))
    if sharpness is not None:
        quality = quality * sharpness / (sharpness + SHARP)
    return np.clip(quality, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Recurring:
    """Appearances that look like one person.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> for one in tiny_gallery().recurring(least=3):
        ...     print(one.number, [seen.camera for seen in one.appearances], round(one.likeness, 2))
        1 ['door', 'hall', 'yard'] 0.99
        2 ['door', 'hall', 'yard'] 0.99

    Attributes:
        number: 1 for who appears most often, and so on.
        appearances: By time, as far as it is known.
        typical: The appearance that is most like all of them.
        likeness: Mean similarity of two of them, -1..1: the higher, the surer.
    """

    number: int
    appearances: tuple[Appearance, ...]
    typical: Appearance
    likeness: float


def recurring_people(engine: Engine, least: int, where: Where | None) -> list[Recurring]:
    """See :meth:`mmps.retrieval.Gallery.recurring`."""
    from sklearn.cluster import HDBSCAN  # takes a second

    if least < 2:
        raise ValueError(f'{least} appearances make no group; at least 2 do')
    rows = engine.select(where)
    tracklets = np.unique(column(rows, 'tracklet')[column(rows, 'detection') != NOBODY])
    tracklets = tracklets[tracklets != 0]
    if len(tracklets) > MOST:
        raise GalleryError(
            f'{engine.address}: {len(tracklets)} appearances are too many to compare with each '
            f'other, {MOST} at most; restrict them by camera or time'
        )
    if len(tracklets) < least:
        return []
    found: list[Appearance] = []
    for start in range(0, len(tracklets), CHUNK):
        found += appearances_of(engine.having('tracklet', tracklets[start : start + CHUNK]))
    looks = np.stack([one.embedding for one in found])
    groups = HDBSCAN(min_cluster_size=least, copy=True).fit_predict(looks)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    members.sort(key=lambda places: (-len(places), found[places[0]].id))
    return [_recurring(n + 1, places, found, looks) for n, places in enumerate(members)]


def _recurring(
    number: int, places: np.ndarray, found: list[Appearance], looks: np.ndarray
) -> Recurring:
    alike = looks[places] @ looks[places].T
    pairs = len(places) * (len(places) - 1)
    likeness = float((alike.sum() - np.trace(alike)) / pairs)
    ones = [found[place] for place in places]
    typical = ones[int(alike.sum(1).argmax())]
    ones.sort(key=lambda one: (one.first is None, one.first or 0.0, one.source, one.start or 0.0))
    return Recurring(number, tuple(ones), typical, likeness)


class Grouping:
    """Appends frames to a gallery whose people get their tracklets at once, where that is possible.

    What comes out of order, from several processes (``shared``), or as images is left to
    :func:`group`.
    """

    def __init__(self, engine: Engine, *, shared: bool = False) -> None:
        self._engine = engine
        self._shared = shared
        self._trackers: dict[str, Tracker | None] = {}

    def tracklets(self, frame: IndexedFrame) -> np.ndarray | None:
        """Tracklets (n,) int64 of the people of the next frame; None: they are joined later."""
        hashed = np.full(len(frame.scores), frame_id(frame.source, frame.frame))
        ids = person_ids(hashed, np.arange(len(frame.scores)))
        moment = frame.time if frame.offset is None else frame.offset
        if moment is None:
            return ids
        if self._shared or (frame.offset is None and frame.frame == 0):
            return None
        if frame.source not in self._trackers:
            self._trackers[frame.source] = self._resumed(frame.source)
        tracker = self._trackers[frame.source]
        if tracker is None or moment < tracker.moment:
            self._trackers[frame.source] = None
            return None
        return tracker.follow(moment, frame.bboxes, frame.embeddings, ids)

    def _resumed(self, source: str) -> Tracker | None:
        """A tracker that goes on behind what is there of a source; None: that has no tracklets."""
        rows = self._engine.select(Where(sources=[source]))
        someone = column(rows, 'detection') != NOBODY
        if (someone & (column(rows, 'tracklet') == 0)).any():
            return None
        tracker, moments = Tracker(), moments_of(rows)
        if len(rows):
            latest = moments >= moments.max() - WINDOW
            for frames in _in_order(self._engine, rows.filter(latest & someone)):
                for some in frames:
                    tracker.follow(*_followed(some), column(some, 'tracklet'))
            tracker.moment = float(moments.max())
        return tracker


def group(engine: Engine, sources: Collection[str] | None = None, *, again: bool = False) -> int:
    """See :meth:`mmps.retrieval.Gallery.group`."""
    changed, known = 0, None
    while True:
        rows = engine.select(None)
        rows = rows.filter(column(rows, 'detection') != NOBODY)
        ids = column(rows, 'id')
        pending = (column(rows, 'tracklet') == 0) | (again and known is None)
        asked = np.ones(len(rows), bool)
        if sources is not None:
            asked = np.isin(np.array(rows.column('source').to_pylist(), str), [*sources])
        if known is not None:  # what another process has added while this one was at it
            pending |= ~np.isin(ids, known)
        if not (pending & asked).any():
            return changed
        keys, moments = _sequences(rows), moments_of(rows)
        order = np.argsort(keys, kind='stable')
        starts = np.flatnonzero(np.diff(keys[order], prepend=np.nan))
        for places in np.split(order, starts[1:]):
            waiting = pending[places]
            if (waiting & asked[places]).any():
                since = moments[places][waiting].min()
                some = places[~(moments[places] < since - WINDOW)]
                changed += _group_sequence(engine, rows.take(some), since)
        known = ids


def _group_sequence(engine: Engine, rows: pa.Table, since: float) -> int:
    """Follow the people of one sequence from a moment on; NaN: each is alone."""
    import pyarrow as pa

    tracker, changed = Tracker(), 0
    for frames in _in_order(engine, rows):
        grouped = []
        for some in frames:
            moment, boxes, embeddings, ids = _followed(some)
            before, tracklets = column(some, 'tracklet'), ids
            if not math.isnan(moment):
                kept = before if moment < since else None
                tracklets = tracker.follow(moment, boxes, embeddings, ids, kept)
            if (tracklets != before).any():
                quality = column(some, 'quality')
                if not quality.any():  # unknown
                    quality = picture_quality(boxes, column(some, 'score'))
                grouped.append(replaced(some, tracklet=tracklets, quality=quality))
                changed += int(np.count_nonzero(tracklets != before))
        if grouped:
            engine.replace(with_checksums(pa.concat_tables(grouped)))
    return changed


def _followed(people: pa.Table) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Moment, boxes, embeddings and ids of the people of a frame, for a tracker."""
    boxes = np.stack([column(people, side) for side in BOX], -1)
    return float(moments_of(people)[0]), boxes, embeddings_in(people), column(people, 'id')


def _in_order(engine: Engine, rows: pa.Table) -> Iterator[list[pa.Table]]:
    """Everybody in the frames of some people (n): of each frame a table, in the order of time."""
    frame_ids = column(rows, 'frame_id')[np.argsort(moments_of(rows), kind='stable')]
    frame_ids = frame_ids[np.sort(np.unique(frame_ids, return_index=True)[1])]
    for some in engine.frames(frame_ids, CHUNK):
        some = some.filter(column(some, 'detection') != NOBODY)
        numbers = [column(some, name) for name in ('detection', 'frame')]
        sources = np.array(some.column('source').to_pylist(), str)
        some = some.take(np.lexsort([numbers[0], sources, numbers[1], moments_of(some)]))
        starts = np.flatnonzero(np.diff(column(some, 'frame_id'), prepend=-1))
        ends = np.append(starts[1:], len(some))
        yield [some.slice(a, b - a) for a, b in zip(starts, ends, strict=True)]


def _sequences(rows: pa.Table) -> np.ndarray:
    """(n,) int64 numbers of the sequences that rows belong to: a video or stream, or the images of
    one camera in one folder.
    """
    sources, names = texts(rows, 'source')
    cameras, different = texts(rows, 'camera')
    folders = np.unique(
        [str(PurePath(name).parent) for name in names.to_pylist()], return_inverse=True
    )
    folder = folders[1][sources] if len(names) else sources
    image = np.isnan(column(rows, 'offset').astype(np.float64)) & (column(rows, 'frame') == 0)
    of_images = len(names) + folder * (len(different) + 1) + cameras + 1
    return np.where(image, of_images, sources).astype(np.int64)
