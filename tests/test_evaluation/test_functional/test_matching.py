import numpy as np
import pytest
from helpers.search_oracle import step_average_precision
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional.matching import (
    average_precision,
    best_rank,
    box_iou,
    entries_above,
    iou_thresholds,
    match_mutually,
    match_people,
)


def test_iou_by_hand():
    a = np.float32([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [3, 3, 3, 9], [5, 5, 1, 1]])
    b = np.float32([[5, 0, 15, 10], [20, 0, 30, 10], [0, 0, 10, 10], [0, 0, 9, 9], [0, 0, 9, 9]])
    np.testing.assert_allclose(box_iou(a, b), [1 / 3, 0, 1, 0, 0])


def test_adaptive_threshold_forgives_small_people():
    boxes = np.float32([[0, 0, 10, 20], [100, 100, 200, 300]])
    np.testing.assert_allclose(iou_thresholds(boxes, 'adaptive'), [200 / (20 * 30), 0.5])
    np.testing.assert_allclose(iou_thresholds(boxes, 0.75), [0.75, 0.75])


@pytest.mark.parametrize('rule', ['strict', 0, 1.5, True, None, float('nan')])
def test_unknown_iou_rules_are_refused(rule):
    with pytest.raises(ValueError, match=r"iou_thr: .* use 'adaptive' or a number in \(0, 1\]"):
        iou_thresholds(np.zeros((1, 4)), rule)


def test_people_are_matched_within_their_image_at_the_threshold_itself():
    splits = np.array([0, 1, 3])
    detections = np.float32([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4]])
    ((people, rows),) = match_people(
        np.array([1]), np.float32([[0, 0, 10, 10]]), splits, detections, [0.5]
    )
    assert (people.tolist(), rows.tolist()) == ([0], [1])


def mutual(gts, detections, scores=None, thr=0.5):
    gts, detections = np.float32(gts).reshape(-1, 4), np.float32(detections).reshape(-1, 4)
    scores = np.ones(len(detections)) if scores is None else np.float32(scores)
    splits = np.array([0, len(detections)])
    return match_mutually(np.array([0, len(gts)]), gts, splits, detections, scores, thr).tolist()


def test_a_person_is_found_once():
    person = [0, 0, 10, 10]
    assert mutual([person], [[0, 0, 10, 8], [0, 0, 10, 9]]) == [False, True]


def test_a_detection_finds_one_person():
    # it overlaps both at 0.5 or more; the second person stays unfound
    assert mutual([[0, 0, 10, 10], [0, 0, 10, 7]], [[0, 0, 10, 9]]) == [True]


def test_a_detection_whose_best_person_prefers_another_finds_nobody():
    # both detections prefer the first person, who prefers the second detection
    people = [[0, 0, 10, 10], [0, 0, 10, 6]]
    assert mutual(people, [[0, 0, 10, 8.5], [0, 0, 10, 9.5]]) == [False, True]


def test_of_equal_overlaps_the_higher_score_wins():
    assert mutual([[0, 0, 10, 10]], [[0, 0, 10, 8]] * 2, [0.6, 0.9]) == [False, True]


def test_nothing_to_match():
    assert mutual([], [[0, 0, 1, 1]]) == [False]
    assert mutual([[0, 0, 1, 1]], []) == []


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
