"""What searches lose, by cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .galleries import Positives


class Part(IntEnum):
    """What a share of the loss is due to; the columns of :attr:`SearchLoss.parts`."""

    NO_POSITIVE = 0
    REPEATED = 1
    MISSED = 2
    CUT = 3
    LOCALISED = 4
    OTHER_IDENTITY = 5
    UNLABELLED = 6
    BACKGROUND = 7
    SAME_PERSON = 8

    @property
    def label(self) -> str:
        """A few words for tables and pictures."""
        return _LABELS[self]


_LABELS = {
    Part.NO_POSITIVE: 'nobody to find in the gallery',
    Part.REPEATED: 'gallery lists an image twice',
    Part.MISSED: 'not detected',
    Part.CUT: 'cut by the score threshold',
    Part.LOCALISED: 'localised badly',
    Part.OTHER_IDENTITY: 'outranked by another identity',
    Part.UNLABELLED: 'outranked by an unlabelled person',
    Part.BACKGROUND: 'outranked by background',
    Part.SAME_PERSON: 'outranked by the same person again',
}


@dataclass(frozen=True)
class SearchLoss:
    """What each search loses, and at which appearance of its person.

    ``average_precision + parts.sum(1)`` is 1 for every search, to rounding. The parts of a search
    are those of its appearances and, at no appearance, ``NO_POSITIVE`` and ``REPEATED``.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        average_precision: (S,) float64.
        counts: (S,) int64 appearances that should have been found, P.
        parts: (S, K) float64 share of 1 that is lost for each :class:`Part`.
        appearances: What should have been found. An image that an explicit gallery repeats counts
            in ``counts`` each time and has one row here.
        appearance_parts: (R, K) float64, what its search loses at each row of ``appearances``.
    """

    queries: np.ndarray
    average_precision: np.ndarray
    counts: np.ndarray
    parts: np.ndarray
    appearances: Positives
    appearance_parts: np.ndarray

    @property
    def mean_average_precision(self) -> float:
        """mAP, 0..1."""
        return float(self.average_precision.mean())

    @property
    def mean_parts(self) -> np.ndarray:
        """(K,) float64: what each part takes from mAP. Sums to ``1 - mAP``."""
        return self.parts.mean(0)

    @property
    def worst_queries(self) -> list[int]:
        """The queries that have somebody to find, by ascending average precision.

        Of the searches of one query the first counts.
        """
        queries, first = np.unique(self.queries, return_index=True)
        order = np.argsort(self.average_precision[first], kind='stable')
        return queries[order][self.counts[first][order] > 0].tolist()

    @property
    def search_of_appearance(self) -> np.ndarray:
        """(R,) int64 search of each appearance."""
        return np.repeat(np.arange(len(self.queries)), np.diff(self.appearances.splits))

    @property
    def not_found(self) -> np.ndarray:
        """(R,) bool: whether no detection stands for the appearance."""
        return self.appearance_parts[:, Part.MISSED : Part.LOCALISED + 1].any(1)
