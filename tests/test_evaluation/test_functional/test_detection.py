"""Detection AP and recall of person search, and COCO's AP beside it."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import one_image, random_annotations, random_predictions
from helpers.search_oracle import detection_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import evaluate_coco, evaluate_detection
from mmps.evaluation.functional.annotations import gather_slices

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


def test_coco_hand_computed(capsys):
    # right, wrong, and an unlabelled person missed: precision 1 up to recall 1/2, 51 of 101 points
    result = evaluate_coco(*one_image([A, B], [A, FAR], [0.9, 0.8], ids=[3, -1]))
    assert result == pytest.approx(dict.fromkeys(('coco_AP', 'coco_AP50', 'coco_AP75'), 51 / 101))
    assert capsys.readouterr().out == ''


def test_each_threshold_counts():
    # IoU 0.7: right at 0.50, 0.55, 0.60, 0.65 and, but for rounding, 0.70; half the thresholds
    result = evaluate_coco(*one_image([A], [[0, 0, 10, 14.2]], [0.9]))
    assert result == pytest.approx({'coco_AP': 0.5, 'coco_AP50': 1.0, 'coco_AP75': 0.0})


def test_low_scores_count():
    assert evaluate_coco(*one_image([A], [A], [0.01]))['coco_AP'] == pytest.approx(1)


@pytest.mark.parametrize('case', [([A], [], []), ([], [A], [1.0]), ([], [], [])])
def test_coco_nothing_found_or_nobody_there_is_zero(case):
    assert set(evaluate_coco(*one_image(*case)).values()) == {0.0}


def test_images_may_be_in_any_order():
    rng = np.random.default_rng(3)
    annotations = random_annotations(rng, images=6)
    predictions = random_predictions(rng, annotations)
    before = evaluate_coco(annotations, predictions)
    assert 0 < before['coco_AP'] < before['coco_AP50'] < 1
    order = rng.permutation(6)
    _, rows = gather_slices(predictions.image_splits, order)
    moved = replace(
        predictions,
        image_names=[predictions.image_names[i] for i in order],
        image_splits=np.cumsum([0, *np.diff(predictions.image_splits)[order]]),
        bboxes=predictions.bboxes[rows],
        scores=predictions.scores[rows],
        embeddings=predictions.embeddings[rows],
    )
    assert evaluate_coco(annotations, moved) == before
