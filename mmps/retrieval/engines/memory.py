"""Rows in the memory of the process, for notebooks and tests."""

from __future__ import annotations

import threading

import numpy as np

from ..errors import GalleryError
from ..records import ModelTag, Where
from ..rows import NUMBERS, Rows, concatenate, rows_of


class MemoryEngine:
    """Keeps rows until the process ends."""

    def __init__(self, address: str, model: ModelTag) -> None:
        self.address = address
        self.model = model
        self._lock = threading.Lock()
        self._version = 0
        self._parts = [rows_of([], 0, model.embed_dim)]

    def version(self) -> int:
        return self._version

    def read(self, *, embeddings: bool) -> tuple[Rows, np.ndarray | None]:
        with self._lock:
            if len(self._parts) > 1:
                rows, vectors = zip(*self._parts, strict=True)
                self._parts = [(concatenate(rows), np.concatenate(vectors))]
            return self._parts[0]

    def add(self, rows: Rows, embeddings: np.ndarray) -> None:
        with self._lock:
            self._parts = [*self._parts, (rows, embeddings)]
            self._version += 1

    def newest(self, frame_ids: np.ndarray) -> int:
        found = [
            rows['batch'][np.isin(rows['frame_id'], frame_ids)].max(initial=0)
            for rows, _ in self._parts
        ]
        return int(max(found))

    def remove(self, frame_ids: np.ndarray, before: int | None = None) -> None:
        with self._lock:
            kept = []
            for rows, embeddings in self._parts:
                stays = ~np.isin(rows['frame_id'], frame_ids)
                if before is not None:
                    stays |= rows['batch'] >= before
                kept.append((rows.take(stays), embeddings[stays]))
            self._parts = kept
            self._version += 1

    def compact(self) -> str:
        self.read(embeddings=True)
        return ''

    def drop(self) -> None:
        with self._lock:
            self._parts = [rows_of([], 0, self.model.embed_dim)]
            self._version += 1

    def size(self) -> int:
        parts = self._parts
        per_row = sum(np.dtype(dtype).itemsize for dtype in NUMBERS.values())
        return sum(len(rows) * per_row + embeddings.nbytes for rows, embeddings in parts)

    def build_index(self) -> None:
        raise GalleryError(f'{self.address} is always searched exactly')

    def indexed(self) -> bool:
        return False

    def nearest(
        self, queries: np.ndarray, limit: int, where: Where | None
    ) -> list[tuple[Rows, np.ndarray]]:
        raise NotImplementedError
