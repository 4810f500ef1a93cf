"""How sure a number is: bootstrap intervals over queries, and a paired test of two predictions.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13 for the percentile
interval, chapter 15 for the permutation test; p-value as in Phipson and Smyth (2010).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .search import SearchResult

_COUNTED = 2**17
"""Draws counted at a time; more counters would not fit into a processor's cache."""
_FLIPPED = 2**20
"""Signs drawn at a time."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, from its lower to its upper end.

    Example:
        >>> from mmps.evaluation.functional import SearchProtocols
        >>> from mmps.testing.search import tiny_test_set
        >>> bootstrap_intervals(SearchProtocols().search(*tiny_test_set()))['top1']
        Interval(low=0.0, high=1.0)
    """

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One number of two predictions for the same test set.

    Example:
        >>> from mmps.evaluation.functional import ContextMatching, SearchProtocols
        >>> from mmps.testing.search import tiny_test_set
        >>> data = tiny_test_set()
        >>> plain = SearchProtocols().search(*data)
        >>> context = SearchProtocols(context_matching=ContextMatching()).search(*data)
        >>> change = compare_results(plain, context)['mAP']
        >>> round(change.difference, 3), change.better, change.worse
        (0.125, 1, 0)

    Attributes:
        first: Of the first predictions; of several, the mean.
        second: Of the second.
        interval: Of the difference, second minus first, for other queries.
        p_value: How likely a difference of at least this size, of either sign, would be if it were
            chance which of the two predictions each query's result came from.
        better: Searches that the second predictions do better.
        worse: Searches that they do worse.
        first_values: Of each of the first predictions.
        second_values: Of each of the second.
    """

    first: float
    second: float
    interval: Interval
    p_value: float
    better: int
    worse: int
    first_values: tuple[float, ...] = ()
    second_values: tuple[float, ...] = ()

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


def bootstrap_intervals(
    results: Mapping[str, SearchResult],
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    units: np.ndarray | None = None,
) -> dict[str, Interval]:
    """Percentile intervals of all means, for other queries of the same kind.

    Each resample draws as many queries as there are, with replacement, and takes all searches of a
    query together. The order of the queries does not matter.

    Args:
        results: By suffix; see :meth:`SearchProtocols.search`.
        resamples: Number of resamples.
        confidence: Coverage, 0..1.
        seed: Seed of the draws.
        units: (Q,) for each query what to draw instead: queries with the same value, such as those
            of one person, are then taken together.

    Returns:
        By key and suffix, e.g. ``'mAP'``, ``'top1_iou75'``; searches with nobody to find do not
        take part.

    Raises:
        ValueError: An option out of range, or no search.
    """
    answerable = {suffix: result.answerable for suffix, result in results.items()}
    scores = {
        f'{key}{suffix}': (result.queries, values)
        for suffix, result in answerable.items()
        if len(result)
        for key, values in result.scores().items()
    }
    totals = _per_unit(scores, units)
    return dict(zip(scores, _intervals(totals, resamples, confidence, seed), strict=True))


Results = Mapping[str, SearchResult] | Sequence[Mapping[str, SearchResult]]


def compare_results(
    first: Results,
    second: Results,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    units: np.ndarray | None = None,
) -> dict[str, Comparison]:
    """Compare two predictions query by query.

    The interval is the bootstrap's, of the mean of the differences. The p-value is that of the
    sign-flip test, ``(1 + k) / (1 + resamples)``, where k counts the random exchanges of the two
    predictions' results that give a difference at least as large.

    Of several trainings a side, each query counts with the mean of its results. Interval and
    p-value then speak of these trainings with other queries, not of other seeds, whose spread the
    values of each side show.

    Args:
        first: Of the first predictions, by suffix, see :meth:`SearchProtocols.search`; or a list of
            such, e.g. of several seeds.
        second: Of the second, with the same options.
        units: What is exchanged as a whole, too. All options: see :func:`bootstrap_intervals`.

    Returns:
        By key and suffix, for suffixes that all have.

    Raises:
        ValueError: An option out of range, or not all made the same searches.
    """
    differences, values = {}, {}
    sides = [[side] if isinstance(side, Mapping) else list(side) for side in (first, second)]
    for suffix in sides[0][0]:
        if not all(suffix in results for side in sides for results in side):
            continue
        one, other = ([results[suffix].answerable for results in side] for side in sides)
        queries = one[0].queries
        for result in (*one, *other):
            if not np.array_equal(queries, result.queries):
                raise ValueError(
                    f'search{suffix}: {len(queries)} and {len(result)} searches, of different '
                    "queries; compare with undetected_queries='zero', which leaves no query out"
                )
        if not len(queries):
            continue
        before, after = _mean_scores(one), _mean_scores(other)
        for key, scores in before.items():
            differences[f'{key}{suffix}'] = queries, after[key] - scores
            values[f'{key}{suffix}'] = [
                tuple(result.metrics()[key] for result in side) for side in (one, other)
            ]
    totals = _per_unit(differences, units)
    intervals = _intervals(totals, resamples, confidence, seed)
    p_values = _sign_flip(totals[0], resamples, seed)
    return {
        name: Comparison(
            *(float(np.mean(side)) for side in values[name]),
            interval,
            p_value,
            int((change > 0).sum()),
            int((change < 0).sum()),
            *values[name],
        )
        for (name, (_, change)), interval, p_value in zip(
            differences.items(), intervals, p_values, strict=True
        )
    }


def _mean_scores(results: Sequence[SearchResult]) -> dict[str, np.ndarray]:
    """The scores of each search, averaged over results of the same searches."""
    several = [result.scores() for result in results]
    return {key: np.mean([scores[key] for scores in several], axis=0) for key in several[0]}


def _per_unit(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]], units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sums (U, K) of scores and numbers (U, K) of searches of what is drawn, in a fixed order."""
    queries = max((of.max(initial=-1) for of, _ in scores.values()), default=-1) + 1
    if queries < 1:
        raise ValueError('there is no search to draw from')
    group = np.arange(queries)
    if units is not None:
        group = np.unique(units[:queries], return_inverse=True)[1].reshape(-1)
    size = group.max() + 1
    sums = np.stack([np.bincount(group[of], values, size) for of, values in scores.values()], 1)
    counts = np.stack([np.bincount(group[of], minlength=size) for of, _ in scores.values()], 1)
    order = np.lexsort((*sums.T, *counts.T))
    order = order[counts[order].any(1)]
    return sums[order], counts[order].astype(float)


def _intervals(
    totals: tuple[np.ndarray, np.ndarray], resamples: int, confidence: float, seed: int
) -> list[Interval]:
    """Percentile intervals of ``sums / counts``, one per column."""
    table, keys = np.concatenate(totals, 1), totals[0].shape[1]

    def of_resamples(drawn: np.ndarray) -> np.ndarray:
        return (drawn @ table).T.reshape(2, keys, len(drawn))

    return percentile_intervals(of_resamples, len(table), resamples, confidence, seed)


def percentile_intervals(
    totals: Callable[[np.ndarray], np.ndarray],
    units: int,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[Interval]:
    """Percentile intervals of K means, over ``resamples`` of so many ``units``.

    Args:
        totals: Given how often (n, units) float64 each unit is drawn, the sums and the counts that
            the means are made of, (2, K, n). A resample whose count is 0 says nothing.

    Raises:
        ValueError: An option out of range.
    """
    if resamples < 1:
        raise ValueError(f'resamples: {resamples} given; draw at least 1')
    if not 0 < confidence < 1:
        raise ValueError(f'confidence: {confidence} given; use a number between 0 and 1')
    from scipy import stats  # takes a while

    def of_draws(drawn: np.ndarray, axis: int) -> np.ndarray:
        cells = drawn + units * np.arange(len(drawn))[:, None]
        counts = np.bincount(cells.ravel(), minlength=units * len(drawn))
        return totals(counts.reshape(len(drawn), units).astype(float))

    found = stats.bootstrap(
        (np.arange(max(units, 2)) % units,),  # scipy wants two at least
        of_draws,
        n_resamples=resamples,
        batch=max(1, _COUNTED // units),
        vectorized=True,
        method='percentile',
        rng=np.random.default_rng(seed),
    )
    sums, counts = found.bootstrap_distribution
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    tail = (1 - confidence) / 2
    ends = np.nanquantile(means, [tail, 1 - tail], axis=1)
    return [Interval(float(low), float(high)) for low, high in ends.T]


def _sign_flip(differences: np.ndarray, flips: int, seed: int) -> list[float]:
    """Two-sided p-values of the sums of ``differences`` (U, K), one per column.

    scipy's permutation_test gives the same in 30 times the time.
    """
    rng, units = np.random.default_rng([seed, 1]), len(differences)
    total = differences.sum(0)
    # rounding must not tell apart sums that differ only in the order of their terms
    least = np.abs(total) - 1e-12 * np.abs(differences).sum(0)
    extreme = np.zeros(len(total), np.int64)
    step = max(1, _FLIPPED // units)
    for start in range(0, flips, step):
        rows = min(step, flips - start)
        bits = rng.integers(0, 256, (rows, -(-units // 8)), dtype=np.uint8)
        kept = np.unpackbits(bits, axis=1)[:, :units].astype(float)
        extreme += (np.abs(2 * (kept @ differences) - total) >= least).sum(0)
    return ((1 + extreme) / (1 + flips)).tolist()
