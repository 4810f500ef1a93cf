"""Average precision of a ranking, from similarities or scores."""

from __future__ import annotations

import numpy as np


def average_precision(hits: np.ndarray, ranked: np.ndarray, positives: int) -> float:
    """Average precision times recall, person search's AP.

    The area under the step-wise precision-recall curve (scikit-learn's definition: one point per
    distinct score, no interpolation) is the mean precision at the t right entries; times the recall
    ``t / positives`` it is the sum of those precisions over ``positives``. Equal scores share a
    threshold, so the order of the input does not matter.

    Args:
        hits: (t,) scores of the right entries.
        ranked: (n,) scores of all entries, the right ones among them, ascending.
        positives: How many entries should have been found, at least t.

    Returns:
        A number in 0..1; 0 where nothing was found.
    """
    if not len(hits):
        return 0.0
    hits = np.sort(hits)
    right = len(hits) - np.searchsorted(hits, hits, side='left')
    entries = len(ranked) - np.searchsorted(ranked, hits, side='left')
    return float(np.sum(right / entries) / positives)


def best_rank(hits: np.ndarray, ranked: np.ndarray) -> int:
    """Rank of the best right entry, from 1, behind all wrong entries of the same score.

    Args:
        hits: (t,) scores of the right entries.
        ranked: (n,) scores of all entries, the right ones among them, ascending.

    Returns:
        The rank; 0 where nothing was found.
    """
    if not len(hits):
        return 0
    best = hits.max()
    entries = len(ranked) - np.searchsorted(ranked, best, side='left')
    return int(entries - np.count_nonzero(hits == best) + 1)
