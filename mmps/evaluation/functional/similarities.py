"""Similarities of queries and detections, such that no ranking depends on how they were computed.

A matrix product in float32 rounds, and which way depends on the library, on the number of threads
and on the place of a row in the matrix: two detections with the same embedding may come out as
different. A ranking is only ever compared with its right answers, though. So the similarities of
those, and of whatever is within rounding of one of them, are computed once more, as sums in float64
in one fixed order that are then rounded to float32; for all others the rounding cannot matter.

A gallery ranks in the same way: a product finds the rows that may be among the nearest, those
within rounding of the k-th best, and only their similarities are computed once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from .annotations import owners_of
from .predictions import SearchPredictions

UNIT = 1e-3
"""How far the norm of an embedding may be from 1: half-precision models round that much."""
CHUNK_VALUES = 2**23
"""Similarities held at a time: 32 MiB of float32."""
NEAREST_VALUES = 2**20
"""The same while the nearest rows are looked for: 4 MiB, which stay in the processor's cache."""
NEAREST_ROWS = 2**17
"""Rows multiplied for it at a time, at most."""
GATHER = {1: 0.2, 2: 0.4, 32: 0.6}
"""Share of the rows of a chunk up to which copying those that pass a filter takes less than
multiplying all of them, from so many queries on. Measured.
"""
_GROUP = 64
_SAMPLED = 8
"""One in so many rows decides which are looked at."""


def rounding_error(dim: int) -> float:
    """Bound of the error of an inner product of two unit vectors of ``dim`` values in float32.

    Errors of a sum of n terms grow like the root of n (Higham and Mary, A New Approach to
    Probabilistic Rounding Error Analysis, SIAM J. Sci. Comput. 2019): they exceed 8 times the unit
    roundoff times that root with a probability below 1e-13.
    """
    return 8 * dim**0.5 * 2.0**-24


def exact_similarities(query: np.ndarray, embeddings: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Inner products (n,) float32 of a query (D,) with some rows (n,) of embeddings (N, D).

    Equal for equal embeddings, wherever they stand and whatever computed them.
    """
    products = embeddings[rows].astype(np.float64) * query
    return products.sum(1).astype(np.float32)


def scene_factors(filters: np.ndarray, scenes: np.ndarray) -> np.ndarray:
    """Factors (Q, I) float32 of people's similarities in each scene (Jaffe and Zakhor, WACV 2023).

    The sigmoid of the cosine of two scenes, the person's own and another, both weighted by the
    person's embedding: between .27 and .73. ``SceneHead`` makes the filters (Q, 3 * D + 2) float32
    of people and the embeddings (I, D) of scenes.

    Raises:
        ValueError: They are of different widths.
    """
    width = scenes.shape[1]
    if filters.shape[1] != 3 * width + 2:
        raise ValueError(
            f'scene filters of {filters.shape[1]} values do not fit scenes of {width}: '
            f'{3 * width + 2} expected; both have to be of one model'
        )
    own, squares, mixed, constants = np.split(filters, [width, 2 * width, 3 * width], axis=1)
    product = own @ scenes.T + constants[:, :1]
    length = squares @ np.square(scenes).T + mixed @ scenes.T + constants[:, 1:]
    cosine = product / np.sqrt(np.maximum(length, 1e-24))
    return (1 / (1 + np.exp(-cosine))).astype(np.float32)


class Similarities:
    """Inner products of query embeddings with detections' embeddings.

    Args:
        queries: (Q, D) float32.
        embeddings: (N, D) float32.
        factors: (Q, I) float32 in [0, 1]: of a query's products with the detections of an image;
            None: there are none.
        images: (N,) int64, the image of each detection; needed with ``factors``.

    Attributes:
        margin: More than rounding can move two similarities against each other.
    """

    def __init__(
        self,
        queries: np.ndarray,
        embeddings: np.ndarray,
        factors: np.ndarray | None = None,
        images: np.ndarray | None = None,
    ) -> None:
        dim = queries.shape[1]
        self._queries = queries
        self._factors, self._images = factors, images
        self._embeddings = embeddings.reshape(len(embeddings), dim)
        largest = _largest_norm(queries) * _largest_norm(self._embeddings)
        self.margin = 2 * rounding_error(dim) * max(largest, 1.0)
        # similarities in cells as wide as the margin, to find what is near a level without sorting
        self._zero = int(1.01 * largest / self.margin) + 2
        self._marks = np.zeros(2 * self._zero + 1, bool)
        self._known = np.zeros(len(embeddings), bool)

    @classmethod
    def of(cls, predictions: SearchPredictions, confidence_weighting: bool) -> Similarities:
        """Of all queries and detections, multiplied by the detection's score if that weighs it."""
        embeddings = predictions.weighted_embeddings(confidence_weighting)
        factors = predictions.scene_factors
        images = None if factors is None else owners_of(predictions.image_splits)
        return cls(predictions.query_embeddings, embeddings, factors, images)

    def rows(
        self, queries: np.ndarray, columns: Callable[[int], np.ndarray] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each of ``queries`` (n,) int64 with its row (N,) float32, which may be changed.

        ``columns`` gives the detections that matter to a query; others get minus infinity. Without
        it all do, and many queries are computed at a time.
        """
        with tqdm(queries, 'Searching', delay=2, leave=False, disable=None) as shown:
            if columns is not None:
                for query in shown:
                    row = np.full(len(self._embeddings), -np.inf, np.float32)
                    chosen = columns(query)
                    row[chosen] = self._embeddings[chosen] @ self._queries[query]
                    row[chosen] *= self.factors(query, chosen)
                    yield query, row
                return
            step = max(1, CHUNK_VALUES // max(1, len(self._embeddings)))
            for start in range(0, len(queries), step):
                chunk = queries[start : start + step]
                products = self._queries[chunk] @ self._embeddings.T
                if self._factors is not None:
                    products *= self._factors[chunk][:, self._images]
                yield from zip(chunk, products, strict=True)
                shown.update(len(chunk))

    def exact(self, query: int, columns: np.ndarray) -> np.ndarray:
        """Similarities (n,) float32 of a query to the detections ``columns`` (n,)."""
        products = exact_similarities(self._queries[query], self._embeddings, columns)
        return products * self.factors(query, columns)

    def factors(self, query: int, columns: np.ndarray) -> np.ndarray:
        """By what the products of a query with the detections ``columns`` (n,) are multiplied."""
        if self._factors is None:
            return np.ones(len(columns), np.float32)
        return self._factors[query, self._images[columns]]

    def to_context(self, context: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Similarities (c, n) float32 of other embeddings (c, D) to the detections ``columns``.

        Equal up to chance: in float64 the place of a row matters only if the sum is within its
        rounding error, 1e-16, of where float32 rounds the other way.
        """
        wide = context.astype(np.float64) @ self._embeddings[columns].astype(np.float64).T
        return wide.astype(np.float32)

    def settle(
        self,
        query: int,
        row: np.ndarray,
        levels: np.ndarray,
        among: np.ndarray,
        known: np.ndarray | None = None,
    ) -> None:
        """Make every comparison of ``row[among]`` with ``levels`` exact, in place.

        Args:
            query: The query that ``row`` (N,), as :meth:`rows` gives it, belongs to.
            row: Its similarities.
            levels: (t,) float32 exact similarities.
            among: (n,) int64 detections.
            known: Detections whose value in ``row`` is exact already, or final for another reason.
        """
        cells = self._cells(levels)
        cells = np.concatenate([cells - 1, cells, cells + 1])
        self._marks[cells] = True
        near = among[self._marks[self._cells(row[among])]]
        self._marks[cells] = False
        if known is not None:
            self._known[known] = True
            near = near[~self._known[near]]
            self._known[known] = False
        row[near] = self.exact(query, near)

    def _cells(self, similarities: np.ndarray) -> np.ndarray:
        cells = similarities * np.float32(1 / self.margin)
        cells += np.float32(self._zero)
        # what a caller made of similarities may be larger than any of them
        return np.clip(cells, 1, 2 * self._zero - 1).astype(np.intp)


def _largest_norm(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.einsum('nd,nd->n', vectors, vectors).max(initial=0)))


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
    step = min(NEAREST_ROWS, max(_GROUP, NEAREST_VALUES // max(1, len(queries))))
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
    parts = range(0, len(rows), NEAREST_ROWS // 8)
    exact = [exact_similarities(query, matrix, rows[i : i + NEAREST_ROWS // 8]) for i in parts]
    similarities = np.concatenate(exact) if exact else np.zeros(0, np.float32)
    if weights is not None:
        similarities *= weights
    if len(rows) > 2 * top_k + _GROUP:  # many ties: their names are the costly part
        level = np.partition(similarities, -top_k)[-top_k]
        kept = similarities >= level
        rows, similarities = rows[kept], similarities[kept]
    order = np.lexsort([*reversed(tie_keys(rows)), -similarities])[:top_k]
    return rows[order], similarities[order]
