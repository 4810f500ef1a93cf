from dataclasses import replace

import numpy as np
import pytest

from mmps.evaluation.functional import (
    SearchAnnotations,
    SearchPredictions,
    SearchProtocols,
    evaluate_search,
    load_predictions,
    save_predictions,
)
from mmps.evaluation.functional.search import top_matches
from mmps.evaluation.functional.similarities import scene_factors


def test_a_factor_is_the_sigmoid_of_a_cosine():
    # Vectors of one person: product with y is (1, 0, 2) y + 3, square of the length 4 y0^2 + 1.
    filters = np.array([[1, 0, 2, 4, 0, 0, 0, 0, 0, 3, 1]], np.float32)
    scenes = np.array([[0, 1, 0], [1, 0, -1]], np.float32)
    cosines = [3 / 1, (1 - 2 + 3) / np.sqrt(5)]
    np.testing.assert_allclose(
        scene_factors(filters, scenes)[0], 1 / (1 + np.exp(-np.array(cosines)))
    )
    with pytest.raises(ValueError, match='11 values do not fit scenes of 4: 14 expected'):
        scene_factors(filters, np.zeros((1, 4), np.float32))


def predicted(factors, names=('a', 'b')):
    """One query in image c; of two detections of the same similarity the right one is in b."""
    rows = np.array([[0.6, 0.8], [0.6, 0.8]], np.float32)
    splits = {'a': 1, 'b': 1, 'c': 0}
    return SearchPredictions(
        image_names=(*names, 'c'),
        image_splits=np.cumsum([0, *(splits[name] for name in names), 0]),
        bboxes=np.array([[0, 0, 10, 20]] * 2, np.float32),
        scores=np.ones(2, np.float32),
        embeddings=rows,
        query_embeddings=np.array([[1, 0]], np.float32),
        scene_factors=factors,
    )


ANNOTATIONS = SearchAnnotations(
    image_names=('a', 'b', 'c'),
    cameras=np.array([1, 2, 3]),
    box_splits=np.array([0, 0, 1, 2]),
    bboxes=np.array([[0, 0, 10, 20]] * 2, np.float32),
    person_ids=np.array([7, 7]),
    query_images=np.array([2]),
    query_bboxes=np.array([[0, 0, 10, 20]], np.float32),
    query_person_ids=np.array([7]),
)


def test_similarities_are_weighted_by_the_scene():
    for factors, top1 in (([[0.3, 0.7, 0.7]], 1.0), ([[0.7, 0.3, 0.7]], 0.0)):
        predictions = predicted(np.array(factors, np.float32))
        assert evaluate_search(ANNOTATIONS, predictions)['top1'] == top1
        ((first, second),) = top_matches(ANNOTATIONS, predictions, [0])
        assert first.similarity == pytest.approx(0.6 * 0.7)
        assert second.similarity == pytest.approx(0.6 * 0.3)
        protocols = SearchProtocols(scene_weighting=False)
        alone = predicted(None)
        assert protocols(ANNOTATIONS, predictions) == protocols(ANNOTATIONS, alone)


def test_so_are_those_of_true_boxes():
    boxes = np.array([[0, 0, 10, 20]] * 3, np.float32)
    splits, people = np.arange(4), np.array([8, 7, 7])
    annotations = replace(ANNOTATIONS, box_splits=splits, bboxes=boxes, person_ids=people)
    embeddings = np.float32([[0.8, 0.6], [0.6, 0.8], [1, 0]])
    predictions = replace(predicted(np.float32([[0.3, 0.7, 0.7]])), gt_embeddings=embeddings)
    for weighted, expected in ((True, 1.0), (False, 0.5)):
        found = SearchProtocols(scene_weighting=weighted)(annotations, predictions)
        assert found['search/mAP_gt_boxes'] == expected


def test_factors_are_kept_and_follow_the_images(tmp_path):
    predictions = predicted(np.array([[0.7, 0.3, 0.5]], np.float32), names=('b', 'a'))
    save_predictions(tmp_path / 'p.npz', predictions)
    aligned = load_predictions(tmp_path / 'p.npz', ANNOTATIONS)
    np.testing.assert_array_equal(aligned.scene_factors, np.array([[0.3, 0.7, 0.5]], np.float32))
    with pytest.raises(ValueError, match=r'of shape \(1, 2\), but there are 1 queries and 3'):
        predicted(np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match='scene_factors: values outside'):
        predicted(np.array([[0, np.nan, 1]], np.float32))
