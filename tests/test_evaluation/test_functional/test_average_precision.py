import numpy as np
import pytest
from helpers.search_oracle import step_average_precision
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional.average_precision import (
    average_precision,
    best_rank,
    entries_above,
)


@pytest.mark.parametrize(
    ('hits', 'misses', 'positives', 'ap', 'rank'),
    [
        # right, wrong, right: precisions 1 and 2/3
        ([0.9, 0.5], [0.7], 2, (1 + 2 / 3) / 2, 1),
        # the same with two more people that nobody found
        ([0.9, 0.5], [0.7], 4, (1 + 2 / 3) / 4, 1),
        # wrong, wrong, right
        ([0.1], [0.9, 0.7], 1, 1 / 3, 3),
        # a tie of one right and one wrong shares a threshold, and the wrong one stands first
        ([0.5], [0.5], 1, 1 / 2, 2),
        # a tie of two right and two wrong below one wrong
        ([0.5, 0.5], [0.5, 0.5, 0.9], 2, 2 / 5, 4),
        ([0.5, 0.4], [], 2, 1, 1),
        ([], [0.9], 3, 0, 0),
        ([], [], 3, 0, 0),
    ],
)
def test_hand_computed(hits, misses, positives, ap, rank):
    hits, ranked = np.array(hits), np.sort([*hits, *misses])
    entries = entries_above(hits, ranked)
    assert average_precision(hits, entries, positives) == pytest.approx(ap)
    assert best_rank(hits, entries) == rank


@settings(deadline=None)
@given(
    labelled=st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=30),
    missed=st.integers(0, 3),
)
def test_equals_the_step_curve_with_ties(labelled, missed):
    labels = [label for label, _ in labelled]
    scores = [score / 8 for _, score in labelled]
    hits = np.array([s for label, s in zip(labels, scores, strict=True) if label], np.float32)
    positives = len(hits) + missed
    got = average_precision(hits, entries_above(hits, np.sort(np.float32(scores))), positives)
    want = step_average_precision(labels, scores) * len(hits) / positives if len(hits) else 0
    assert got == pytest.approx(want, abs=1e-12)
