"""How every search of a protocol fared."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

TOP_K = (1, 5, 10)


@dataclass(frozen=True)
class SearchResult:
    """How each search fared; most protocols search each query once.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        average_precision: (S,) float64, average precision times recall.
        first_rank: (S,) int64 rank of the best right detection, from 1; 0 if none was found. Wrong
            detections that are exactly as similar stand before it.
        found: (S,) int64 images in which the person was found, whatever the rank.
        positives: (S,) int64 images in which the person should have been found.
    """

    queries: np.ndarray
    average_precision: np.ndarray
    first_rank: np.ndarray
    found: np.ndarray
    positives: np.ndarray

    def __len__(self) -> int:
        """Number of searches, S."""
        return len(self.queries)

    def __getitem__(self, chosen: np.ndarray) -> SearchResult:
        """The searches ``chosen``, a (S,) bool mask or ascending positions."""
        return SearchResult(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def scores(self) -> dict[str, np.ndarray]:
        """(S,) float64 of each search, whose means are :meth:`metrics`."""
        rank = self.first_rank
        hits = {f'top{k}': ((rank > 0) & (rank <= k)).astype(float) for k in TOP_K}
        return {'mAP': self.average_precision, **hits}

    @property
    def answerable(self) -> SearchResult:
        """The searches that have somebody to find; nobody can say how the others fared."""
        return self[self.positives > 0]

    def metrics(self) -> dict[str, float]:
        """``mAP``, ``top1``, ``top5`` and ``top10``, plain means over the :attr:`answerable`
        searches; empty if there are none.
        """
        scores = self.answerable.scores()
        # fsum does not depend on the order of the queries
        return {key: math.fsum(v) / len(v) for key, v in scores.items() if len(v)}
