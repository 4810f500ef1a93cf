"""The rows of an engine as they were at one moment, in memory."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .engines.base import Engine
from .errors import DamagedGalleryError
from .exact_search import nearest_rows
from .filtering import latest_frames, passing
from .ids import NOBODY
from .reader import places_of, tie_keys
from .records import Where
from .rows import Rows


@dataclass(frozen=True)
class Snapshot:
    """Rows that do not change any more, to be read by any number of threads.

    Attributes:
        version: The engine's.
        rows: All rows, those that do not count included.
        embeddings: (n, D) float32, or None if they were not read.
        counting: (n,) bool which rows count; None: all.
    """

    version: Hashable
    rows: Rows
    embeddings: np.ndarray | None
    counting: np.ndarray | None

    @cached_property
    def people(self) -> np.ndarray | None:
        """(n,) bool which rows count and are people; None: all."""
        someone = self.rows['detection'] != NOBODY
        if self.counting is not None:
            someone &= self.counting
        return None if someone.all() else someone

    def select(self, where: Where | None) -> np.ndarray:
        """(n,) bool the rows that count and pass a filter, empty frames included."""
        return _both(self.counting, passing(self.rows, where), len(self.rows))

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Index (m,) of each person of ``ids`` (m,).

        Raises:
            KeyError: One is not there.
        """
        people = self._by_id
        return people[places_of(ids, self.rows['id'][people], np.arange(len(people)))]

    def search(
        self, queries: np.ndarray, top_k: int, where: Where | None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """As :func:`nearest_rows`, of the people that pass a filter."""
        allowed, people = passing(self.rows, where), self.people
        if allowed is None:
            allowed = people
        elif people is not None:
            allowed &= people
        return nearest_rows(
            queries, self.embeddings, top_k, allowed, lambda rows: tie_keys(self.rows.take(rows))
        )

    @cached_property
    def _by_id(self) -> np.ndarray:
        people = np.flatnonzero(_both(self.people, None, len(self.rows)))
        return people[np.argsort(self.rows['id'][people])]


class Snapshots:
    """The latest snapshot of an engine, read again when the engine has changed.

    Args:
        engine: Where rows are read from.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._latest: Snapshot | None = None

    def get(self, *, embeddings: bool) -> Snapshot:
        """The snapshot of now.

        Raises:
            DamagedGalleryError: The rows are not what was written.
        """
        latest, version = self._latest, self._engine.version()
        if _serves(latest, version, embeddings):
            return latest
        with self._lock:
            version = self._engine.version()
            if not _serves(self._latest, version, embeddings):
                self._latest = None  # before the new one takes as much memory again
                rows, vectors = self._engine.read(embeddings=embeddings)
                counting, parts = latest_frames(rows)
                if len(parts):  # it adds all rows or none
                    one = rows.hit(int(parts[0]), float('nan'))
                    raise DamagedGalleryError(
                        f'{self._engine.address}: of {one.source!r}, frame {one.frame}, rows are '
                        'missing; restore the gallery, or drop it and index again'
                    )
                self._latest = Snapshot(version, rows, vectors, counting)
            return self._latest


def _serves(snapshot: Snapshot | None, version: Hashable, embeddings: bool) -> bool:
    return (
        snapshot is not None
        and snapshot.version == version
        and (snapshot.embeddings is not None or not embeddings)
    )


def _both(one: np.ndarray | None, two: np.ndarray | None, count: int) -> np.ndarray:
    masks = [mask for mask in (one, two) if mask is not None]
    return np.logical_and.reduce(masks) if masks else np.ones(count, bool)
