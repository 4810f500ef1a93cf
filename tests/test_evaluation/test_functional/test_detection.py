import numpy as np
import pytest
from helpers.search_cases import one_image, random_annotations, random_predictions
from helpers.search_oracle import detection_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import evaluate_detection

A, B, FAR = [0, 0, 10, 20], [100, 0, 110, 20], [300, 0, 310, 20]


def test_hand_computed():
    # right, wrong, and one person missed: precision 1 at the only hit, recall 1/2
    result = evaluate_detection(*one_image([A, B], [A, FAR], [0.9, 0.8]))
    assert result == {'AP': 0.5, 'recall': 0.5}
    # wrong before right: precision 1/2, recall 1
    result = evaluate_detection(*one_image([A], [FAR, A], [0.9, 0.8]))
    assert result == {'AP': 0.5, 'recall': 1.0}


def test_scores_below_the_threshold_are_dropped():
    result = evaluate_detection(*one_image([A, B], [A, B], [0.5, 0.49]))
    assert result == {'AP': 0.5, 'recall': 0.5}


def test_strict_overlap():
    shifted = [0, 0, 10, 14]
    assert evaluate_detection(*one_image([A], [shifted], [1.0]))['recall'] == 1
    assert evaluate_detection(*one_image([A], [shifted], [1.0]), iou_thr=0.75)['recall'] == 0
    with pytest.raises(ValueError, match='iou_thr: 0 given'):
        evaluate_detection(*one_image([A], [A], [1.0]), iou_thr=0)


def test_unlabelled_people_count_unless_told_otherwise():
    case = one_image([A, B], [A], [0.9], ids=[3, -1])
    assert evaluate_detection(*case) == {'AP': 0.5, 'recall': 0.5}
    assert evaluate_detection(*case, labelled_only=True) == {'AP': 1.0, 'recall': 1.0}


@pytest.mark.parametrize('case', [([A], [], []), ([], [A], [1.0]), ([], [], [])])
def test_nothing_found_or_nobody_there_is_zero(case):
    assert evaluate_detection(*one_image(*case)) == {'AP': 0.0, 'recall': 0.0}


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    labelled_only=st.booleans(),
    iou_thr=st.sampled_from([0.3, 0.5, 0.75]),
)
def test_equals_the_oracle(seed, ties, labelled_only, iou_thr):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng)
    predictions = random_predictions(rng, annotations, ties=ties)
    options = dict(iou_thr=iou_thr, labelled_only=labelled_only)
    got = evaluate_detection(annotations, predictions, **options)
    want = detection_oracle(annotations, predictions, **options)
    assert (got['AP'], got['recall']) == pytest.approx(want, abs=1e-9)
