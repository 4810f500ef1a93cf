"""A gallery of people: which of them looks most like the one that is searched for?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

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
from .checks import check_description, checked_frame, checked_queries
from .engines import Engine, MilvusEngine, open_engine
from .errors import GalleryError, ModelMismatchError
from .ids import NOBODY, new_batch
from .local_reader import SnapshotReader
from .reader import Reader
from .records import GalleryInfo, Hit, IndexedFrame, ModelTag, Value, Where
from .remote_reader import RemoteReader
from .rewriting import UNCHANGED, count_people, described, whole_frames, without
from .rows import Rows, rows_of
from .summary import summary_of

FRAMES = 10_000
"""Frames rewritten or removed at a time."""


class Gallery:
    """People found in images and videos, to be searched. Made by :meth:`open`.

    Any number of threads may read it at once. Any number of processes, and machines where the
    engine allows it, may append to the same gallery.

    Attributes:
        model: Which model made the embeddings.
    """

    def __init__(self, engine: Engine | MilvusEngine) -> None:
        self._engine = engine
        remote = isinstance(engine, MilvusEngine)
        self._reader: Reader = RemoteReader(engine) if remote else SnapshotReader(engine)
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
        return cls(open_engine(os.fspath(address), model, create=create))

    def append(self, frames: Sequence[IndexedFrame]) -> None:
        """Add frames. When this returns they are stored; if it does not, all of them or none are.

        A frame that is there already is replaced.

        Raises:
            ValueError: A frame does not fit, or two are the same.
        """
        checked = [checked_frame(frame, self.model.embed_dim) for frame in frames]
        if not checked:
            return
        rows, embeddings = rows_of(checked, 0, self.model.embed_dim)
        frame_ids = np.unique(rows['frame_id'])
        if len(frame_ids) < len(checked):
            names = [(frame.source, frame.frame) for frame in checked]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f'{twice[0]!r}, frame {twice[1]}, is given twice')
        newest = self._engine.newest(frame_ids)
        batch = new_batch(after=newest)
        self._engine.add(rows.rewritten(batch), embeddings)
        if newest:
            self._engine.remove(frame_ids, before=batch)

    def known(self, source: str | None = None) -> set[tuple[str, int]]:
        """Source and number of the frames that are there, also those in which nobody was found.

        Args:
            source: Only of this one.
        """
        rows = self._reader.select(None if source is None else Where(sources=[source]))
        return set(zip(rows.texts['source'].to_list(), rows['frame'].tolist(), strict=True))

    def search(
        self,
        embeddings: np.ndarray,
        top_k: int = 20,
        where: Where | None = None,
        approximate: bool = False,
    ) -> list[list[Hit]]:
        """Find the people that look most like some others.

        Args:
            embeddings: (q, D) float32 queries.
            top_k: How many to find for each.
            where: Search only among those that pass.
            approximate: Search with an index, where there is one: in LanceDB once
                :meth:`build_index` was called, in Milvus always, in memory never. Without one the
                search is exact.

        Returns:
            For each query at most ``top_k`` people, best first; of equally similar ones first the
            one with the lower source, frame and number in it.

        Raises:
            ValueError: Embeddings of another length, or not finite; ``top_k`` below 1.
        """
        queries = checked_queries(embeddings, self.model.embed_dim)
        if top_k < 1:
            raise ValueError(f'top_k is {top_k}, but has to be at least 1')
        return self._reader.search(queries, top_k, where, approximate=approximate)

    def build_index(self, above: int = 0) -> bool:
        """Prepare approximate searches of a gallery on disk; see :meth:`recall` for what they miss.

        Args:
            above: Do so only for more people than this.

        Returns:
            Whether it was done. Milvus keeps an index without being told.
        """
        if len(self) <= above:
            return False
        if not isinstance(self._engine, MilvusEngine):
            self._engine.build_index()
        return True

    def recall(self, sample: int = 100, top_k: int = 20) -> float:
        """Share of what exact searches find that approximate ones find too.

        Args:
            sample: People of the gallery to search for, spread over it evenly.
            top_k: How many to find for each.

        Raises:
            GalleryError: The gallery is empty.
        """
        rows = self._reader.select(None)
        ids = rows['id'][rows['detection'] != NOBODY]
        if not len(ids):
            raise GalleryError(f'{self._engine.address}: nobody is there to search for')
        chosen = ids[np.linspace(0, len(ids) - 1, min(sample, len(ids))).astype(np.int64)]
        queries = self.embeddings_of(chosen)
        exact = self.search(queries, top_k)
        found = self.search(queries, top_k, approximate=True)
        shares = [
            len({hit.id for hit in one} & {hit.id for hit in other}) / len(one)
            for one, other in zip(exact, found, strict=True)
        ]
        return float(np.mean(shares))

    def embeddings_of(self, ids: Sequence[int]) -> np.ndarray:
        """Embeddings (m, D) float32 of people, e.g. of hits to search for next.

        Raises:
            KeyError: Nobody has such an id.
        """
        return self._reader.people(np.array(ids, np.int64).reshape(-1))[1]

    def hits_of(self, ids: Sequence[int]) -> list[Hit]:
        """People by id, with a similarity of NaN.

        Raises:
            KeyError: Nobody has such an id.
        """
        rows, _ = self._reader.people(np.array(ids, np.int64).reshape(-1))
        return [rows.hit(row, float('nan')) for row in range(len(rows))]

    def people_in(self, source: str, frame: int = 0) -> list[Hit]:
        """Everybody in one image, or in one frame of a video, with a similarity of NaN."""
        rows = self._reader.select(Where(sources=[source]))
        here = np.flatnonzero((rows['frame'] == frame) & (rows['detection'] != NOBODY))
        return [rows.hit(row, float('nan')) for row in here]

    def count(self, where: Where | None = None) -> int:
        """How many people pass a filter."""
        return count_people(self._reader.select(where))

    def __len__(self) -> int:
        return self.count()

    def info(self) -> GalleryInfo:
        """What is there."""
        rows = self._reader.select(None)
        return summary_of(rows, self.model, self._engine.address, self._engine.size())

    def update(
        self,
        where_or_ids: Where | Sequence[int],
        *,
        camera: str | None | object = UNCHANGED,
        time: float | None | object = UNCHANGED,
        metadata: Mapping[str, Value | None] | object = UNCHANGED,
    ) -> int:
        """Describe people differently.

        Args:
            where_or_ids: A filter, or ids of people.
            camera: Name of the camera; None: unknown.
            time: Seconds since the epoch (UTC); None: unknown.
            metadata: Entries to set; those whose value is None are removed.

        Returns:
            How many people it concerned.

        Raises:
            KeyError: Nobody has such an id.
            ValueError: A value does not fit.
        """
        check_description(
            None if camera is UNCHANGED else camera,
            None if time is UNCHANGED else time,
            {} if metadata is UNCHANGED else metadata,
        )
        selected = self._select(where_or_ids)

        def describe(rows: Rows, embeddings: np.ndarray) -> tuple[Rows, np.ndarray]:
            chosen = np.isin(rows['id'], selected['id'])
            return described(rows, chosen, camera, time, metadata), embeddings

        self._rewrite(np.unique(selected['frame_id']), describe)
        return count_people(selected)

    def delete(self, where_or_ids: Where | Sequence[int]) -> int:
        """Delete people. Their traces stay in the engine's files until :meth:`compact`.

        Args:
            where_or_ids: A filter: a frame of which everything passes is forgotten, so that it may
                be indexed again. Or ids of people: their frames stay known.

        Returns:
            How many people it concerned.

        Raises:
            KeyError: Nobody has such an id.
        """
        selected = self._select(where_or_ids)
        forgotten, rewritten = whole_frames(selected)
        if not isinstance(where_or_ids, Where):
            forgotten, rewritten = forgotten[:0], np.union1d(forgotten, rewritten)
        for start in range(0, len(forgotten), FRAMES):
            self._engine.remove(forgotten[start : start + FRAMES])
        self._rewrite(rewritten, lambda rows, vectors: without(rows, vectors, selected['id']))
        return count_people(selected)

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

        Returns:
            What an engine that others use leaves all the same, and until when; empty if nothing.
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
        if path is None or not os.path.exists(path):
            return None
        return load_calibration(path, self.model)

    def use_calibration(self, calibration: Calibration, model: ModelTag) -> None:
        """Say how similar strangers are, for as long as this object lives; nothing is written.

        Raises:
            ModelMismatchError: These are similarities of another model.
        """
        if model.fingerprint != self.model.fingerprint:
            raise ModelMismatchError(
                f'the similarities of {model.name} were calibrated, but the gallery is of '
                f'{self.model.name}'
            )
        self._calibration = calibration

    def keep_calibration(self, calibration: Calibration) -> bool:
        """Say how similar strangers are, from now on and for everybody who opens the gallery.

        Returns:
            Whether it was written, as a file in the gallery's folder. What is in memory, in an
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
            return calibrate_frames(self._reader)
        except ValueError as error:
            raise GalleryError(f'{self._engine.address}: {error}') from error

    def _calibration_file(self) -> str | None:
        folder = getattr(self._engine, 'folder', None)
        return None if folder is None else os.path.join(folder, CALIBRATION)

    def _select(self, where_or_ids: Where | Sequence[int]) -> Rows:
        if isinstance(where_or_ids, Where):
            return self._reader.select(where_or_ids)
        return self._reader.people(np.array(where_or_ids, np.int64).reshape(-1))[0]

    def _rewrite(
        self,
        frame_ids: np.ndarray,
        change: Callable[[Rows, np.ndarray], tuple[Rows, np.ndarray]],
    ) -> None:
        """Replace frames by what ``change`` makes of their rows and embeddings."""
        for rows, vectors in self._reader.frames(frame_ids, FRAMES):
            changed, embeddings = change(rows, vectors)
            ids, of_row = np.unique(changed['frame_id'], return_inverse=True)
            batch = new_batch(after=int(rows['batch'].max()))
            frame_rows = np.bincount(of_row)[of_row]
            self._engine.add(changed.rewritten(batch, frame_rows), embeddings)
            self._engine.remove(ids, before=batch)
