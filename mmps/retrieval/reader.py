"""What a gallery reads from its engine: only rows that count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from .engines.base import Engine
from .records import Hit, Where
from .rows import Rows
from .snapshot import Snapshots


class Reader(Protocol):
    """Reads rows that count: of each frame what was written last."""

    def select(self, where: Where | None) -> Rows:
        """What passes a filter, empty frames included."""

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[tuple[Rows, np.ndarray]]:
        """All rows of ``step`` frames at a time, with their embeddings (n, D)."""

    def people(self, ids: np.ndarray) -> tuple[Rows, np.ndarray]:
        """Some people (m,) in that order, with their embeddings (m, D).

        Raises:
            KeyError: One is not there.
        """

    def search(self, queries: np.ndarray, top_k: int, where: Where | None) -> list[list[Hit]]:
        """The most similar people of each query (q, D), exactly."""


class SnapshotReader:
    """Reads an engine that does not search: everything into memory, once per change."""

    def __init__(self, engine: Engine) -> None:
        self._snapshots = Snapshots(engine)

    def select(self, where: Where | None) -> Rows:
        snapshot = self._snapshots.get(embeddings=False)
        return snapshot.rows.take(snapshot.select(where))

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[tuple[Rows, np.ndarray]]:
        if not len(frame_ids):
            return
        snapshot = self._snapshots.get(embeddings=True)
        for start in range(0, len(frame_ids), step):
            some = np.isin(snapshot.rows['frame_id'], frame_ids[start : start + step])
            chosen = np.flatnonzero(some & snapshot.select(None))
            if len(chosen):
                yield snapshot.rows.take(chosen), snapshot.embeddings[chosen]

    def people(self, ids: np.ndarray) -> tuple[Rows, np.ndarray]:
        snapshot = self._snapshots.get(embeddings=True)
        rows = snapshot.find(ids)
        return snapshot.rows.take(rows), snapshot.embeddings[rows]

    def search(self, queries: np.ndarray, top_k: int, where: Where | None) -> list[list[Hit]]:
        snapshot = self._snapshots.get(embeddings=True)
        return [
            [
                snapshot.rows.hit(int(row), float(similarity))
                for row, similarity in zip(*found, strict=True)
            ]
            for found in snapshot.search(queries, top_k, where)
        ]
