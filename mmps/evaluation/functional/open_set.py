"""Open-set search: who is not in the gallery should not be found there.

Source: the detection and identification rate at a rate of false alarms, Phillips, Grother and
Micheals, Evaluation Methods in Face Recognition (Handbook of Face Recognition, 2011); NIST's
evaluations report it as the true positive identification rate (Grother and Ngan, NIST IR 8009).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from .bootstrap import Interval, percentile_intervals
from .search import Searches

FALSE_ALARMS = (0.01, 0.1)
"""Shares of searches for people who are not there that may give an alarm."""


@dataclass(frozen=True)
class OpenSetResult:
    """How each search fares if a hit counts from some similarity on.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        genuine: (S,) float32 similarity of the most similar hit where it shows the person; minus
            infinity where somebody else is as similar, or nobody was found.
        stranger: (S,) float32 the largest similarity in the images that do not show the person:
            what the search finds if the person is not there. Minus infinity without a detection.
        positives: (S,) int64 images that show the person. Where there are none, nobody can be
            found, but a stranger may be.
    """

    queries: np.ndarray
    genuine: np.ndarray
    stranger: np.ndarray
    positives: np.ndarray

    def rate(self, false_alarms: float) -> float:
        """Share of the people who are there that come first, above all but some of the strangers.

        The person has to be more similar than the threshold, which is the smallest one that no
        more than the share ``false_alarms`` of the searches exceed without their person.

        Raises:
            ValueError: Nobody is there to be found.
        """
        if not (self.positives > 0).any():
            raise ValueError('nobody is in the gallery')
        searches = len(self.queries)
        # 0.1 * 30 must be 3, whatever the rounding
        allowed = min(math.floor(false_alarms * searches + 1e-9), searches - 1)
        threshold = np.sort(self.stranger)[::-1][allowed]
        return float(np.mean(self.genuine[self.positives > 0] > threshold))

    def __getitem__(self, chosen: np.ndarray) -> OpenSetResult:
        """The searches ``chosen``, a (S,) bool mask or ascending positions."""
        return OpenSetResult(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def metrics(self) -> dict[str, float]:
        """``DIR_fa1`` and ``DIR_fa10``, 0..1; empty if nobody is there to be found."""
        return {_key(s): self.rate(s) for s in FALSE_ALARMS if (self.positives > 0).any()}


def search_open_set(searches: Searches) -> OpenSetResult:
    """Search one gallery by one rule with the person in it, and without the images of them."""
    (gallery,) = searches.galleries
    positives = gallery.positives
    genuine, stranger = np.full((2, len(gallery.queries)), -np.inf, np.float32)
    for query, row, among, found in searches:
        for search in found:
            (levels,) = search.levels or [np.zeros(0)]
            if len(levels):
                first = among[row[among] >= levels.max()]
                if search.images[searches.images[first]].sum() == np.sum(levels == levels.max()):
                    genuine[search.number] = levels.max()
            images = search.images.copy()
            images[positives.images[slice(*positives.splits[search.number :][:2])]] = False
            images[searches.annotations.query_images[query]] = False
            others = np.flatnonzero(images[searches.images])
            if len(others):
                near = others[row[others] >= row[others].max() - searches.similarities.margin]
                stranger[search.number] = searches.similarities.exact(query, near).max()
    return OpenSetResult(gallery.queries, genuine, stranger, positives.counts)


def open_set_intervals(
    result: OpenSetResult,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    units: np.ndarray | None = None,
) -> dict[str, Interval]:
    """Percentile intervals of the rates; the threshold is found anew in each resample.

    Options are those of :func:`.bootstrap.bootstrap_intervals`.

    Raises:
        ValueError: An option out of range, or no search.
    """
    if not (result.positives > 0).any():
        raise ValueError('there is no search to draw from')
    of_query = result.queries if units is None else np.asarray(units)[result.queries]
    # the numbers of what is drawn must not depend on the order of the queries
    order = np.lexsort((result.genuine, -result.stranger))
    _, first, group = np.unique(of_query[order], return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[group.reshape(-1)]
    genuine, stranger = result.genuine[order], result.stranger[order]
    there = result.positives[order] > 0

    def found_and_asked(drawn: np.ndarray) -> np.ndarray:
        weights = drawn[:, group]
        alarms, total = weights.cumsum(1), weights.sum(1)
        counts = np.empty((2, len(FALSE_ALARMS), len(drawn)))
        counts[1] = weights[:, there].sum(1)
        for row, share in enumerate(FALSE_ALARMS):
            allowed = np.floor(share * total + 1e-9)
            # the first search whose stranger would be one alarm too many
            place = (alarms <= allowed[:, None]).sum(1)
            above = genuine[None] > stranger[place][:, None]
            counts[0, row] = (weights * (above & there)).sum(1)
        return counts

    found = percentile_intervals(found_and_asked, group.max() + 1, resamples, confidence, seed)
    return dict(zip(map(_key, FALSE_ALARMS), found, strict=True))


def _key(share: float) -> str:
    return f'DIR_fa{share:.0%}'.rstrip('%')
