"""The most similar rows of a matrix, exactly.

A matrix product in float32 finds the rows that may be among them: all that are within rounding of
the k-th best. Their similarities are then computed as the evaluation computes them, so that a
ranking does not depend on the library, the number of threads or the place of a row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmps.evaluation.functional.similarities import exact_similarities, rounding_error

from .records import UNIT

CHUNK_VALUES = 2**20
"""Similarities computed at a time: 4 MiB of float32, which stay in the processor's cache."""
CHUNK_ROWS = 2**17
"""Rows multiplied at a time, at most."""
GATHER = {1: 0.2, 2: 0.4, 32: 0.6}
"""Share of the rows of a chunk up to which copying those that pass a filter takes less than
multiplying all of them, from so many queries on. Measured.
"""
_GROUP = 64
_SAMPLED = 8
"""One in so many rows decides which are looked at."""


def nearest_rows(
    queries: np.ndarray,
    matrix: np.ndarray,
    top_k: int,
    allowed: np.ndarray | None,
    tie_keys: Callable[[np.ndarray], list[np.ndarray]],
    weights: tuple[np.ndarray, np.ndarray] | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each query the ``top_k`` rows with the largest inner product, best first.

    Args:
        queries: (q, D) float32.
        matrix: (N, D) float32 of unit norm.
        top_k: How many.
        allowed: (N,) bool rows that take part; None: all.
        tie_keys: Gives arrays (m,) by which rows (m,) of equal similarity are sorted, the first
            one first.
        weights: Factors (q, I) float32 in 0..1 of the similarities of rows, and which of them is
            that of each row, (N,); None: 1.

    Returns:
        Indices (m,) and similarities (m,) float32, m being ``top_k`` or the number of rows.
    """
    near = _Candidates(len(queries), top_k, margin_of(queries))
    gather = max(share for least, share in GATHER.items() if len(queries) >= least)
    step = min(CHUNK_ROWS, max(_GROUP, CHUNK_VALUES // max(1, len(queries))))
    for start in range(0, len(matrix), step):
        chunk = matrix[start : start + step]
        mask = None if allowed is None else allowed[start : start + step]
        count = len(chunk) if mask is None else np.count_nonzero(mask)
        if not count:
            continue
        if weights is not None:
            rows = start + (np.arange(len(chunk)) if mask is None else np.flatnonzero(mask))
            near.add(queries @ matrix[rows].T * weights[0][:, weights[1][rows]], rows)
        elif count == len(chunk):
            near.add(queries @ chunk.T, start)
        elif count < gather * len(chunk):
            rows = np.flatnonzero(mask)
            near.add(queries @ chunk[rows].T, start + rows)
        else:
            near.add(queries @ chunk.T, start, mask)
    return [
        sorted_exactly(
            query, matrix, rows, top_k, tie_keys, weights and weights[0][number, weights[1][rows]]
        )
        for number, (query, rows) in enumerate(zip(queries, near.rows(), strict=True))
    ]


def margin_of(queries: np.ndarray) -> np.float32:
    """More than rounding can move two similarities of a query of (q, D) against each other."""
    norm = float(np.linalg.norm(queries, axis=1).max(initial=0)) * (1 + UNIT)
    return np.float32(2 * rounding_error(queries.shape[1]) * max(norm, 1.0))


class _Candidates:
    """Rows that may be among the ``top_k`` best of some queries.

    ``margin`` is more than rounding can move two similarities against each other.
    """

    def __init__(self, queries: int, top_k: int, margin: np.float32) -> None:
        self._best = np.full((queries, top_k), -np.inf, np.float32)
        self._margin = margin
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(
        self, similarities: np.ndarray, rows: int | np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Look through a block (q, n) of similarities to ``rows`` (n,), or from a first one on.

        ``mask`` (n,) bool tells which of them count; None: all. The others' similarities stay in
        the block: dropping the few that pass later is faster than overwriting them.
        """
        self._raise_levels(similarities[:, self._sample(similarities.shape[1], mask)])
        places = np.flatnonzero(similarities >= self._levels()[:, None])
        query, column = np.divmod(places, similarities.shape[1])
        if mask is not None:
            counts = mask[column]
            places, query, column = places[counts], query[counts], column[counts]
        row = column + rows if isinstance(rows, int) else rows[column]
        self._found.append((query, row, similarities.reshape(-1)[places]))

    def rows(self) -> list[np.ndarray]:
        """Of each query."""
        if not self._found:
            return [np.zeros(0, np.int64)] * len(self._best)
        query, row, found = map(np.concatenate, zip(*self._found, strict=True))
        order = np.argsort(query, kind='stable')
        splits = np.searchsorted(query[order], np.arange(1, len(self._best)))
        of_queries = zip(np.split(row[order], splits), np.split(found[order], splits), strict=True)
        return [rows[self._may_be_best(values)] for rows, values in of_queries]

    def _may_be_best(self, found: np.ndarray) -> np.ndarray:
        """(n,) bool which of all similarities (n,) that one query found on the way still may."""
        top_k = self._best.shape[1]
        if len(found) <= top_k:
            return np.ones(len(found), bool)
        return found >= np.partition(found, -top_k)[-top_k] - self._margin

    def _sample(self, count: int, mask: np.ndarray | None) -> slice | np.ndarray:
        """Some of the columns that count; the k best of some rows are no more than those of all."""
        columns = None if mask is None else np.flatnonzero(mask)
        count = count if columns is None else len(columns)
        every = slice(None, None, max(1, min(_SAMPLED, count // (_SAMPLED * self._best.shape[1]))))
        return every if columns is None else columns[every]

    def _levels(self) -> np.ndarray:
        return self._best.min(1, initial=np.inf) - self._margin

    def _raise_levels(self, similarities: np.ndarray) -> None:
        """The k best of the maxima of groups of rows: no more than the k best of all rows."""
        count, top_k = similarities.shape[1], self._best.shape[1]
        size = min(_GROUP, count // (2 * top_k))
        if size > 1:
            groups = count // size
            whole = similarities[:, : groups * size]
            similarities = whole.reshape(len(whole), size, groups).max(1)
        values = np.concatenate([self._best, similarities], 1)
        self._best = np.partition(values, -top_k, axis=1)[:, -top_k:]


def sorted_exactly(
    query: np.ndarray,
    matrix: np.ndarray,
    rows: np.ndarray,
    top_k: int,
    tie_keys: Callable[[np.ndarray], list[np.ndarray]],
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`nearest_rows`, of one query (D,) and some rows (n,) with weights (n,) only."""
    parts = range(0, len(rows), CHUNK_ROWS // 8)
    exact = [exact_similarities(query, matrix, rows[i : i + CHUNK_ROWS // 8]) for i in parts]
    similarities = np.concatenate(exact) if exact else np.zeros(0, np.float32)
    if weights is not None:
        similarities *= weights
    if len(rows) > 2 * top_k + _GROUP:  # many ties: their names are the costly part
        level = np.partition(similarities, -top_k)[-top_k]
        kept = similarities >= level
        rows, similarities = rows[kept], similarities[kept]
    order = np.lexsort([*reversed(tie_keys(rows)), -similarities])[:top_k]
    return rows[order], similarities[order]
