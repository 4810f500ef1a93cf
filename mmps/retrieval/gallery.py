"""A gallery of people: which of them looks most like the one that is searched for?"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmps.evaluation.functional.calibration import Calibration
from mmps.sources.provenance import check_time

from .calibration import (
    CALIBRATION,
    calibrate_frames,
    calibrate_saved_marks,
    load_calibration,
    save_calibration,
)
from .engine import Engine
from .lance import LanceEngine
from .milvus import SCHEME, MilvusEngine
from .records import (
    Appearance,
    FramePlace,
    GalleryError,
    GalleryInfo,
    Hit,
    IndexedFrame,
    ModelTag,
    Value,
    Where,
    check_description,
)
from .rows import (
    NOBODY,
    Found,
    Search,
    appearances_of,
    check_model,
    column,
    described,
    embeddings_in,
    hits_of,
    hits_of_each,
    of_people,
    rows_of,
    texts,
    without_people,
)
from .tracklets import Grouping, Recurring, group, recurring_people

if TYPE_CHECKING:
    import pyarrow as pa

RIGHT, WRONG = 0.75, 0.15
"""Weights of the mean right and the mean wrong hit, that of the mean query being 1: what the
textbook recommends (Manning et al., Introduction to Information Retrieval, section 9.1.1)."""
DESCRIBED = 1000
"""Appearances whose people are read at a time, about."""
UNCHANGED: object = object()
"""Stands for what is left as it is, where None would mean unknown."""
SPREAD = 8
"""Detections looked at for each appearance wanted, and so many times as many where that is not
enough."""


class Gallery:
    """People found in images and videos, to be searched. Made by :meth:`open`.

    Any number of threads may read it at once. Any number of processes, and machines where the
    engine allows it, may append to the same gallery.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> gallery = tiny_gallery()  # or Gallery.open('people.lance')
        >>> (hits,) = gallery.search(np.float32([1, 0]), top_k=1, where=Where(cameras=['yard']))
        >>> hits[0].source, hits[0].bbox, round(hits[0].similarity, 2)
        ('yard.mp4', (10.0, 20.0, 60.0, 170.0), 0.98)

    Attributes:
        model: Which model made the embeddings.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model = engine.model
        self._calibration: Calibration | None = None

    @classmethod
    def open(
        cls, address: str | os.PathLike, model: ModelTag | None = None, *, create: bool = True
    ) -> Gallery:
        """Open a gallery, or make it.

        Args:
            address: ``memory:``; a directory ``DIR/NAME.lance`` or the address of one in an object
                store, e.g. ``s3://BUCKET/NAME.lance`` (LanceDB); or
                ``milvus://HOST:PORT/COLLECTION``.
            model: The model whose embeddings will be searched for and added. None: open what is
                there, whichever model made it.
            create: Whether to make it if it is missing.

        Raises:
            ModelMismatchError: Another model made it.
            DamagedGalleryError: It is not what was written.
            GalleryError: It is missing, or is no gallery, or the engine is not there.
        """
        address = os.fspath(address)
        kind = MilvusEngine if address.startswith(SCHEME) else LanceEngine
        engine = kind(address, model, create=create)
        if model is not None:
            check_model(address, engine.model, model, 'use that model, or index into a new gallery')
        return cls(engine)

    def append(self, frames: Sequence[IndexedFrame]) -> None:
        """Add frames. When this returns they are stored; if it does not, all of them or none are.

        A frame that is there already is replaced.

        Raises:
            ValueError: A frame does not fit, or two are the same.
        """
        if not frames:
            return
        rows = rows_of(frames, self.model)
        (name, frame), times = Counter((one.source, one.frame) for one in frames).most_common(1)[0]
        if times > 1:
            raise ValueError(f'{name!r}, frame {frame}, is given twice')
        self._engine.replace(rows)

    def known(self, source: str | None = None) -> set[tuple[str, int]]:
        """Source and number of the frames (of one source) that are there, also empty ones."""
        rows = self._engine.select(None if source is None else Where(sources=[source]))
        sources = rows.column('source').to_pylist()
        return set(zip(sources, column(rows, 'frame').tolist(), strict=True))

    def frames(self) -> list[FramePlace]:
        """The images and frames that are there, those included in which nobody was found."""
        rows = self._engine.select(None)
        rows = rows.take(np.unique(column(rows, 'frame_id'), return_index=True)[1])
        parts = [rows.column(name).to_pylist() for name in FramePlace._fields]
        return [FramePlace(*place) for place in zip(*parts, strict=True)]

    def fingerprint(self) -> str:
        """Digest of what is there: the same rows, in any order and engine, give the same."""
        checksums = np.sort(column(self._engine.select(None), 'checksum'))
        return hashlib.sha256(self.model.fingerprint.encode() + checksums.tobytes()).hexdigest()

    def search(
        self,
        embeddings: np.ndarray,
        top_k: int = 20,
        where: Where | None = None,
        approximate: bool = False,
        scene_filters: np.ndarray | None = None,
    ) -> list[list[Hit]]:
        """Find the people that look most like some others.

        Args:
            embeddings: (q, D) float32 queries.
            top_k: How many to find for each.
            where: Search only among those that pass.
            approximate: Search with an index, where there is one: in LanceDB once
                :meth:`build_index` was called, in Milvus always. Without one the search is exact.
            scene_filters: (q, 3 * S + 2) float32, what each query looks for in scenes, or
                (q, p, 3 * S + 2) of several pictures of it: similarities are multiplied by
                :func:`~mmps.evaluation.functional.scene_factors`, the mean of those of several,
                and searches are exact. None, or a gallery without scenes: all weigh alike.

        Returns:
            For each query at most ``top_k`` people, best first; of equally similar ones first the
            one with the lower source, frame and number in it.

        Raises:
            ValueError: Embeddings of another length, or not finite; ``top_k`` below 1.
        """
        asked = Search(embeddings, top_k, where, approximate, scene_filters)
        return hits_of_each(self._engine.search(asked.checked(self.model)))

    def appearances(
        self,
        embeddings: np.ndarray,
        top_k: int = 20,
        where: Where | None = None,
        approximate: bool = False,
        scene_filters: np.ndarray | None = None,
    ) -> list[list[Appearance]]:
        """As :meth:`search`, but of everybody who appears for a while only the most similar
        detection counts, so that ``top_k`` is the number of appearances.
        """
        asked = Search(embeddings, top_k, where, approximate, scene_filters)
        found = self._of_each_tracklet(asked.checked(self.model))
        step = max(1, DESCRIBED // top_k)
        parts = [found[start : start + step] for start in range(0, len(found), step)]
        return [ones for part in parts for ones in self._appearances(hits_of_each(part))]

    def appearances_of(self, ids: Sequence[int]) -> list[Appearance]:
        """The appearances that people belong to, in that order, with similarities of NaN.

        Raises:
            KeyError: Nobody has such an id.
        """
        return self._appearances([self.hits_of(ids)])[0]

    def group(self, sources: Collection[str] | None = None, *, again: bool = False) -> int:
        """Join people that have no tracklets yet, as in a gallery of an earlier version.

        Pictures are not needed. Indexing does this by itself. Gives how many people got another
        tracklet than they had.

        Args:
            sources: Only of these, and of images beside them; None: all.
            again: Also those that have tracklets.
        """
        return group(self._engine, sources, again=again)

    def recurring(self, least: int = 3, where: Where | None = None) -> list[Recurring]:
        """People who appear often, whoever they are, by HDBSCAN over mean embeddings.

        Nothing is kept. Appearances that are like too few others are in no group. Source: Campello
        et al., Density-Based Clustering Based on Hierarchical Density Estimates, PAKDD 2013.

        Args:
            least: Appearances that make a group, at least 2.
            where: Only of people that pass.

        Raises:
            GalleryError: There are too many appearances.
        """
        return recurring_people(self._engine, least, where)

    def grouping(self, *, shared: bool = False) -> Grouping:
        """Finds the tracklets of frames that are about to be appended, in the order of time.

        ``shared`` says whether other processes append frames of the same sources.
        """
        return Grouping(self._engine, shared=shared)

    def _of_each_tracklet(self, asked: Search) -> list[Found]:
        """What the engine finds, of each tracklet only the best."""
        done: dict[int, Found] = {}
        many = asked.top_k
        while left := [number for number in range(len(asked.queries)) if number not in done]:
            many *= SPREAD
            found = self._engine.search(asked.of(left, many))
            for number, one in zip(left, found, strict=True):
                each = one.of_each_tracklet(asked.top_k)
                if len(each.places) == asked.top_k or len(one.places) < many:
                    done[number] = each
        return [done[number] for number in range(len(asked.queries))]

    def _appearances(self, found: Sequence[Sequence[Hit]]) -> list[list[Appearance]]:
        """Of each search the appearances of its hits, all read at once."""
        every = [hit for hits in found for hit in hits]
        alone = np.unique(np.array([hit.id for hit in every if not hit.tracklet], np.int64))
        tracklets = np.unique(np.array([hit.tracklet for hit in every if hit.tracklet], np.int64))
        parts = [self._engine.having('tracklet', tracklets)] if len(tracklets) else []
        parts += [self._people(alone)] if len(alone) else []
        ones = {one.id: one for part in parts for one in appearances_of(part)}
        # whoever was deleted meanwhile is in none
        return [
            [_of_hit(ones[one], hit) for hit in hits if (one := hit.tracklet or hit.id) in ones]
            for hits in found
        ]

    @property
    def has_index(self) -> bool:
        """Whether a search can be approximate."""
        return self._engine.indexed

    def build_index(self, above: int = 0) -> bool:
        """Prepare approximate searches of a gallery on disk; see :meth:`recall` for what they miss.

        What is added later is found all the same. Once there is an index, what is looked up by id,
        tracklet or filter is read from disk, as long as no exact search has read everything.

        Gives whether it was done: only for more people than ``above``. Milvus keeps an index
        without being told.
        """
        if len(self) <= above:
            return False
        self._engine.build_index()
        return True

    def recall(self, sample: int = 100, top_k: int = 20) -> float:
        """Share of what exact searches find that approximate ones find too.

        Args:
            sample: People of the gallery to search for, about so many, spread over it evenly.
            top_k: How many to find for each.

        Raises:
            GalleryError: The gallery is empty.
        """
        rows = self._engine.select(None)
        ids = column(rows, 'id')[column(rows, 'detection') != NOBODY]
        if not len(ids):
            raise GalleryError(f'{self._engine.address}: nobody is there to search for')
        some = np.linspace(0, len(ids) - 1, min(sample, len(ids))).astype(np.int64)
        queries = self.embeddings_of(ids[some])
        found = self.search(queries, top_k, approximate=True)
        levels, there = self._engine.levels(queries, top_k), min(top_k, len(ids))
        right = [
            sum(hit.similarity >= level for hit in hits)
            for hits, level in zip(found, levels, strict=True)
        ]
        return float(np.mean(right)) / there

    def embeddings_of(self, ids: Sequence[int]) -> np.ndarray:
        """Embeddings (m, D) float32 of people, e.g. of hits to search for next.

        Raises:
            KeyError: Nobody has such an id.
        """
        return embeddings_in(self._people(ids))

    def hits_of(self, ids: Sequence[int]) -> list[Hit]:
        """People by id, with a similarity of NaN.

        Raises:
            KeyError: Nobody has such an id.
        """
        return hits_of(self._people(ids))

    def people_in(self, source: str, frame: int = 0) -> list[Hit]:
        """Everybody in one image, or in one frame of a video, with a similarity of NaN."""
        rows = self._engine.select(Where(sources=[source]))
        here = (column(rows, 'frame') == frame) & (column(rows, 'detection') != NOBODY)
        return hits_of(rows.take(np.flatnonzero(here)))

    def count(self, where: Where | None = None) -> int:
        """How many people pass a filter."""
        return self._engine.count(where)

    def __len__(self) -> int:
        return self.count()

    def info(self) -> GalleryInfo:
        """What is there."""
        rows = self._engine.select(None)
        times, frame_ids = column(rows, 'time'), column(rows, 'frame_id')
        timed, in_video = ~np.isnan(times), ~np.isnan(column(rows, 'offset'))
        someone = column(rows, 'detection') != NOBODY
        tracklets = column(rows, 'tracklet')[someone]
        colours, different = texts(rows, 'colours')
        worn = np.array([*map(bool, different.to_pylist())], bool)
        return GalleryInfo(
            address=self._engine.address,
            model=self.model,
            people=int(np.count_nonzero(someone)),
            timed=int(np.count_nonzero(someone & timed)),
            frames=len(np.unique(frame_ids)),
            video_frames=len(np.unique(frame_ids[in_video])),
            sources=len(rows.column('source').unique()),
            cameras=tuple(sorted(rows.column('camera').unique().drop_null().to_pylist())),
            first=float(times[timed].min()) if timed.any() else None,
            last=float(times[timed].max()) if timed.any() else None,
            bytes=self._engine.size(),
            appearances=int(
                len(np.unique(tracklets[tracklets != 0])) + np.count_nonzero(tracklets == 0)
            ),
            coloured=int(np.count_nonzero(worn[colours])),
        )

    def update(
        self,
        where_or_ids: Where | Sequence[int],
        *,
        camera: str | None | object = UNCHANGED,
        time: float | None | object = UNCHANGED,
        metadata: Mapping[str, Value | None] | object = UNCHANGED,
    ) -> int:
        """Describe people, given by a filter or ids, differently, and say how many.

        Args:
            camera: Name of the camera; None: unknown.
            time: Seconds since the epoch (UTC); None: unknown.
            metadata: Entries to set; those whose value is None are removed.

        Raises:
            KeyError: Nobody has such an id.
            ValueError: A value does not fit.
        """
        given = dict(camera=camera, time=time, metadata=metadata)
        changes = {name: value for name, value in given.items() if value is not UNCHANGED}
        check_description('update', **changes)
        if isinstance(where_or_ids, Where):
            selected = self._engine.select(where_or_ids)
        else:
            selected = self._people(where_or_ids)
        ids = column(selected, 'id')
        for rows in self._engine.frames(np.unique(column(selected, 'frame_id'))):
            chosen = np.isin(column(rows, 'id'), ids)
            self._engine.replace(described(rows, chosen, changes))
        return np.count_nonzero(column(selected, 'detection') != NOBODY)

    def delete(self, where_or_ids: Where | Sequence[int]) -> int:
        """Delete people, and say how many. Traces stay in the engine's files until :meth:`compact`.

        Args:
            where_or_ids: A filter: a frame of which everything passes is forgotten, so that it may
                be indexed again. Or ids of people: their frames stay known.

        Raises:
            KeyError: Nobody has such an id.
        """
        if isinstance(where_or_ids, Where):
            count = self.count(where_or_ids)
            self._engine.remove(where_or_ids)
            return count
        selected = self._people(where_or_ids)
        ids = column(selected, 'id')
        for rows in self._engine.frames(np.unique(column(selected, 'frame_id'))):
            left = column(rows, 'frame_id')[~np.isin(column(rows, 'id'), ids)]
            empty = without_people(rows, np.setdiff1d(column(rows, 'frame_id'), left))
            if len(empty):
                self._engine.replace(empty)
        self._engine.remove(ids)
        return len(selected)

    def delete_source(self, source: str) -> int:
        """Delete everything found in an image or a video, and forget that it was indexed."""
        return self.delete(Where(sources=[source]))

    def expire(self, older_than: float) -> int:
        """Delete everything taken before a time, in seconds since the epoch (UTC).

        What has no time stays: give it one when indexing, or with :meth:`update`.

        Raises:
            ValueError: No calendar has that time, as where it is in milliseconds.
        """
        check_time(older_than)
        return self.delete(Where(until=older_than))

    def compact(self) -> str:
        """Erase for good what was deleted or replaced, and make opening fast again.

        Says what an engine that others use leaves all the same, and until when; empty if nothing.
        """
        return self._engine.compact()

    def drop(self) -> None:
        """Erase the gallery."""
        self._engine.drop()

    @property
    def calibration(self) -> Calibration | None:
        """How similar strangers are: what :meth:`use_calibration` was given, else what is kept
        beside the gallery, if anything.

        Raises:
            ModelMismatchError: It is of another model.
            GalleryError: It is damaged.
        """
        if self._calibration is not None:
            return self._calibration
        path = self._calibration_file()
        return load_calibration(path, self.model) if path and path.exists() else None

    def use_calibration(self, calibration: Calibration, model: ModelTag) -> None:
        """Say how similar strangers are, for as long as this object lives; nothing is written.

        Raises:
            ModelMismatchError: These are similarities of another model.
        """
        check_model('the calibration', model, self.model, 'calibrate again')
        self._calibration = calibration

    def keep_calibration(self, calibration: Calibration) -> bool:
        """Say how similar strangers are, from now on and for everybody who opens the gallery.

        Gives whether it was written, as a file in the gallery's folder. What is in memory, in an
        object store or on a server has none; it is used by this object only.
        """
        path = self._calibration_file()
        if path is None:
            self._calibration = calibration
            return False
        save_calibration(path, calibration, self.model)
        self._calibration = None
        return True

    def calibrate(self, marks: Sequence[str | os.PathLike] = ()) -> Calibration:
        """Count how similar strangers are; nothing is kept.

        Args:
            marks: Files ``hits.json`` that the page has saved, each with the marks of a search for
                another person. None: people in one frame are strangers.

        Raises:
            GalleryError: There is too little to count, or a file cannot be used.
        """
        try:
            if marks:
                return calibrate_saved_marks(marks, self.model)
            return calibrate_frames(self._engine)
        except ValueError as error:
            raise GalleryError(f'{self._engine.address}: {error}') from error

    def _calibration_file(self) -> Path | None:
        return self._engine.folder and self._engine.folder / CALIBRATION

    def _people(self, ids: Sequence[int] | np.ndarray) -> pa.Table:
        """Some people in that order, with their embeddings."""
        ids = np.array(ids, np.int64).reshape(-1)
        return of_people(self._engine.having('id', np.unique(ids)), ids)


def _of_hit(one: Appearance, hit: Hit) -> Appearance:
    """An appearance of which a search found this detection."""
    best = hit if hit.id == one.best.id else one.best
    # dataclasses.replace takes ten times as long, which a timeline of 10,000 shows.
    found = object.__new__(Appearance)
    vars(found).update(vars(one), similarity=hit.similarity, hit=hit, best=best)
    return found


def refined_query(
    queries: np.ndarray, right: np.ndarray | None = None, wrong: np.ndarray | None = None
) -> np.ndarray:
    """One embedding to search with, for several pictures of a person and marked hits.

    The rule is Rocchio's: the mean of the queries, plus 0.75 times that of the right hits, minus
    0.15 times that of the wrong ones, scaled to unit norm.

    Args:
        queries: (q, D) embeddings of the person, q at least 1.
        right: (r, D) of hits that are the person.
        wrong: (w, D) of hits that are not.

    Returns:
        (D,) float32 of unit norm; for one query without marks that query itself, to the last bit.

    Raises:
        ValueError: There is no query, or nothing is left of the sum.
    """
    queries = np.asarray(queries, np.float32)
    if queries.ndim != 2 or not len(queries):
        raise ValueError('refined_query: queries must be (q, D) with at least one row')
    marked = [
        (weight, np.asarray(rows, np.float32))
        for weight, rows in ((RIGHT, right), (-WRONG, wrong))
        if rows is not None and len(rows)
    ]
    if len(queries) == 1 and not marked:
        return queries[0]
    total = queries.mean(0, dtype=np.float64)
    for weight, rows in marked:
        total = total + weight * rows.mean(0, dtype=np.float64)
    norm = np.linalg.norm(total)
    if norm < 1e-6:
        raise ValueError('the queries and marks cancel out; take some of them back')
    return (total / norm).astype(np.float32)


def why_nobody(gallery: Gallery, where: Where | None) -> str:
    """Why nobody passes a filter, as far as one part of it is enough to say so."""
    info = gallery.info()
    if not info.people:
        return 'the gallery is empty'
    reasons = ['nobody in the gallery passes the filter']
    where = where or Where()
    if where.cameras is not None and not set(where.cameras) & set(info.cameras):
        known = ', '.join(info.cameras) or 'none'
        reasons.append(f'cameras in the gallery: {known}')
    if where.sources is not None and not gallery.count(Where(sources=where.sources)):
        reasons.append('nobody was found in these files, or they have not been indexed')
    untimed = info.people - info.timed
    if (where.since is not None or where.until is not None) and untimed:
        reasons.append(f'of {untimed} of its {info.people} people the time is not known')
    uncoloured = info.people - info.coloured
    if (where.upper is not None or where.lower is not None) and uncoloured:
        reasons.append(
            f'of {uncoloured} of its {info.people} people the colours of clothes are not known, as '
            'in galleries of before: index their sources into a new one'
        )
    return '; '.join(reasons)
