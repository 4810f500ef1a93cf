"""Similarities of queries and detections, such that no ranking depends on how they were computed.

A matrix product in float32 rounds, and which way depends on the library, on the number of threads
and on the place of a row in the matrix: two detections with the same embedding may come out as
different. A ranking is only ever compared with its right answers, though. So the similarities of
those, and of whatever is within rounding of one of them, are computed once more, as sums in float64
in one fixed order that are then rounded to float32; for all others the rounding cannot matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from .annotations import owners_of
from .predictions import SearchPredictions

CHUNK_VALUES = 2**23
"""Similarities held at a time: 32 MiB of float32."""


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
