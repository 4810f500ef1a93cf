from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import one_image, random_annotations, random_predictions

from mmps.evaluation.functional import evaluate_coco
from mmps.evaluation.functional.ragged import gather_slices

A, B, FAR = [0, 0, 10, 20], [100, 0, 110, 20], [300, 0, 310, 20]


def test_hand_computed(capsys):
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
def test_nothing_found_or_nobody_there_is_zero(case):
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
