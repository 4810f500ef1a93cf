"""Reading an engine as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .engines.base import Engine
from .reader import hits_of, ranked
from .records import Hit, Where
from .rows import Rows
from .snapshot import Snapshots


class SnapshotReader:
    """Reads an engine that does not search exactly: everything into memory, once per change."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
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

    def search(
        self, queries: np.ndarray, top_k: int, where: Where | None, *, approximate: bool
    ) -> list[list[Hit]]:
        if approximate and self._engine.indexed():
            return self._search_index(queries, top_k, where)
        snapshot = self._snapshots.get(embeddings=True)
        return [hits_of(snapshot.rows, *found) for found in snapshot.search(queries, top_k, where)]

    def _search_index(
        self, queries: np.ndarray, top_k: int, where: Where | None
    ) -> list[list[Hit]]:
        snapshot = self._snapshots.get(embeddings=False)
        counting = snapshot.rows['row'][snapshot.select(None)]
        found = self._engine.nearest(queries, top_k, where)
        hits = []
        for query, (rows, embeddings) in zip(queries, found, strict=True):
            kept = np.isin(rows['row'], counting)
            hits.append(ranked(query, rows.take(kept), embeddings[kept], top_k))
        return hits
