"""What searches lose, by cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .galleries import Positives


class Part(IntEnum):
    """What a share of the loss is due to; the columns of :attr:`SearchLoss.parts`."""

    REPEATED = 0
    MISSED = 1
    CUT = 2
    LOCALISED = 3
    OTHER_IDENTITY = 4
    UNLABELLED = 5
    BACKGROUND = 6
    SAME_PERSON = 7

    @property
    def label(self) -> str:
        """A few words for tables and pictures."""
        return _LABELS[self]


_LABELS = {
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
    """What each search with somebody to find loses, and at which appearance of its person.

    ``average_precision + parts.sum(1)`` is 1 for every search, to rounding. The parts of a search
    are those of its appearances and, at no appearance, ``REPEATED``.

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
        """The queries by ascending average precision; of the searches of one the first counts."""
        queries, first = np.unique(self.queries, return_index=True)
        order = np.argsort(self.average_precision[first], kind='stable')
        return queries[order].tolist()

    @property
    def search_of_appearance(self) -> np.ndarray:
        """(R,) int64 search of each appearance."""
        return np.repeat(np.arange(len(self.queries)), np.diff(self.appearances.splits))

    @property
    def not_found(self) -> np.ndarray:
        """(R,) bool: whether no detection stands for the appearance."""
        return self.appearance_parts[:, Part.MISSED : Part.LOCALISED + 1].any(1)
