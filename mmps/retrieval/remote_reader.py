"""Reading an engine that searches by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .engines.expressions import IDS, among, to_milvus
from .engines.milvus import MOST, MilvusEngine
from .exact_search import margin_of
from .filtering import latest_frames
from .reader import places_of, ranked
from .records import Hit, Where
from .rows import Rows, concatenate, rows_of

SPARE = 32
"""People asked for beyond those wanted, for what does not count and for ties."""


class RemoteReader:
    """Reads an engine that searches by itself, and of it no more than is asked for."""

    def __init__(self, engine: MilvusEngine) -> None:
        self._engine = engine

    def select(self, where: Where | None) -> Rows:
        conditions = to_milvus(where)
        rows, _ = self._engine.query(conditions, embeddings=False)
        if not conditions:
            counting, _ = latest_frames(rows)
            return rows if counting is None else rows.take(counting)
        return rows.take(np.isin(rows['row'], self._counting(rows['frame_id'])))

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[tuple[Rows, np.ndarray]]:
        for condition in among('frame_id', frame_ids, '[]', step):
            rows, embeddings = self._engine.query([condition], embeddings=True)
            counting, _ = latest_frames(rows)
            if counting is not None:
                rows, embeddings = rows.take(counting), embeddings[counting]
            if len(rows):
                yield rows, embeddings

    def people(self, ids: np.ndarray) -> tuple[Rows, np.ndarray]:
        frames = [self._engine.query([c], embeddings=False)[0] for c in among('id', ids, '[]')]
        frame_ids = np.unique(concatenate(frames)['frame_id']) if frames else ids
        parts = list(self.frames(frame_ids, IDS))
        if not parts:
            parts = [rows_of([], 0, self._engine.model.embed_dim)]
        rows = concatenate([part for part, _ in parts])
        places = places_of(ids, rows['id'])
        return rows.take(places), np.concatenate([vectors for _, vectors in parts])[places]

    def search(
        self, queries: np.ndarray, top_k: int, where: Where | None, *, approximate: bool
    ) -> list[list[Hit]]:
        limit = min(MOST, top_k + SPARE)
        hits: dict[int, list[Hit]] = {}
        open_queries = np.arange(len(queries))
        while len(open_queries):
            found = self._engine.nearest(
                queries[open_queries], limit, where, approximate=approximate
            )
            counting = self._counting(np.concatenate([rows['frame_id'] for rows, _ in found]))
            for number, (rows, embeddings) in zip(open_queries, found, strict=True):
                query, kept = queries[number], np.isin(rows['row'], counting)
                complete = approximate or len(rows) < limit or limit == MOST
                if complete or _settled(query, embeddings, kept, top_k):
                    hits[number] = ranked(query, rows.take(kept), embeddings[kept], top_k)
            open_queries = np.array([n for n in open_queries if n not in hits], np.int64)
            limit = min(MOST, 4 * limit)
        return [hits[number] for number in range(len(queries))]

    def _counting(self, frame_ids: np.ndarray) -> np.ndarray:
        """Row ids (m,) of the rows of some frames that count."""
        found = [np.zeros(0, np.int64)]
        for condition in among('frame_id', np.unique(frame_ids), '[]'):
            rows, _ = self._engine.query([condition], embeddings=False)
            counting, _ = latest_frames(rows)
            found.append(rows['row'] if counting is None else rows['row'][counting])
        return np.concatenate(found)


def _settled(query: np.ndarray, embeddings: np.ndarray, kept: np.ndarray, top_k: int) -> bool:
    """Whether nobody who was not found can be among the best.

    Args:
        query: (D,).
        embeddings: (n, D) of those who were found.
        kept: (n,) bool who of them counts.
        top_k: How many are wanted.
    """
    similarities = embeddings @ query
    best = np.sort(similarities[kept])[::-1][:top_k]
    return len(best) == top_k and best[-1] - similarities.min() > margin_of(query[None])
