"""Average precision of a ranking, from similarities or scores."""

from __future__ import annotations

import numpy as np


def entries_above(hits: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """How many entries score at least as much as each right one.

    Args:
        hits: (t,) scores of the right entries.
        ranked: (n,) scores of all entries, the right ones among them, ascending.

    Returns:
        (t,) int64.
    """
    return len(ranked) - ranked.searchsorted(hits)


def average_precision(hits: np.ndarray, entries: np.ndarray, positives: int) -> float:
    """Average precision times recall, person search's AP.

    The area under the step-wise precision-recall curve (scikit-learn's definition: one point per
    distinct score, no interpolation) is the mean precision at the t right entries; times the recall
    ``t / positives`` it is the sum of those precisions over ``positives``. Equal scores share a
    threshold, so the order of the input does not matter.

    Args:
        hits: (t,) scores of the right entries.
        entries: (t,) how many entries, right or wrong, score at least as much as each of them.
        positives: How many entries should have been found, at least t.

    Returns:
        A number in 0..1; 0 where nothing was found.
    """
    if not len(hits):
        return 0.0
    ordered = hits.copy()
    ordered.sort()
    precisions = entries_above(hits, ordered) / entries
    # in an order that is not the input's, on which the last bit of a sum would depend
    precisions.sort()
    return float(precisions.sum() / positives)


def best_rank(hits: np.ndarray, entries: np.ndarray) -> int:
    """Rank of the best right entry, from 1, behind all wrong entries of the same score.

    Args:
        hits: (t,) scores of the right entries.
        entries: (t,) how many entries, right or wrong, score at least as much as each of them.

    Returns:
        The rank; 0 where nothing was found.
    """
    if not len(hits):
        return 0
    best = hits.argmax()
    return int(entries[best] - np.count_nonzero(hits == hits[best]) + 1)
