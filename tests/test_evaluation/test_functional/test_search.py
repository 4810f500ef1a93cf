"""Hand-computed rankings, and the traps of the protocols."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers.one_query import ABSENT, BOX, HERE, OTHER, PERSON, SOMEBODY, one_query

from mmps.evaluation.functional import (
    SearchAnnotations,
    SearchPredictions,
    evaluate_search,
    rank_queries,
    with_ground_truth_boxes,
)

make = partial(one_query, size=2)


def ap_and_rank(case, **options):
    (result,) = rank_queries(*case, **options)
    return pytest.approx(float(result.average_precision[0])), int(result.first_rank[0])


def test_hand_computed_ranking():
    # the ranking is right 0.9, wrong 0.8, right 0.7, wrong 0.6; the third appearance is missed
    case = make(
        [HERE, HERE, HERE, HERE],
        [[], [(BOX, 0.9), (OTHER, 0.8)], [(BOX, 0.7)], [(OTHER, 0.6)]],
    )
    assert ap_and_rank(case) == ((1 + 2 / 3) / 3, 1)
    assert evaluate_search(*case) == {
        'mAP': pytest.approx(5 / 9),
        'top1': 1.0,
        'top5': 1.0,
        'top10': 1.0,
    }


def test_top_k_counts_ranks():
    wrong = [(OTHER, 0.9 - i / 100) for i in range(5)]
    case = make([HERE, HERE], [[], [*wrong, (BOX, 0.1)]])
    metrics = evaluate_search(*case)
    assert metrics == {'mAP': pytest.approx(1 / 6), 'top1': 0.0, 'top5': 0.0, 'top10': 1.0}


def test_the_most_similar_overlapping_detection_is_right_and_further_ones_are_wrong():
    nearly = [1, 1, 20, 40]
    case = make([HERE, HERE, HERE], [[], [(BOX, 0.6), (nearly, 0.9)], [(BOX, 0.5)]])
    # right 0.9, wrong 0.6 (a double), right 0.5
    assert ap_and_rank(case) == ((1 + 2 / 3) / 2, 1)


def test_the_own_image_is_not_searched():
    case = make([HERE, HERE], [[(BOX, 1.0), (OTHER, 0.99)], [(BOX, 0.5)]])
    assert ap_and_rank(case) == (1.0, 1)


def test_an_image_without_detections_costs_recall():
    case = make([HERE, HERE, HERE], [[], [(BOX, 0.9)], []])
    assert ap_and_rank(case) == (0.5, 1)


def test_detections_below_the_score_threshold_are_dropped():
    case = make([HERE, HERE, HERE], [[], [(BOX, 0.5, 0.5)], [(OTHER, 0.9, 0.49)]])
    assert ap_and_rank(case) == (0.5, 1)
    assert ap_and_rank(case, score_thr=0.4) == (0.25, 2)


def test_of_an_id_twice_in_an_image_only_the_first_box_counts():
    twice = [(PERSON, BOX), (PERSON, OTHER)]
    assert ap_and_rank(make([HERE, twice], [[], [(BOX, 0.5), (OTHER, 0.9)]])) == (0.5, 2)
    assert ap_and_rank(make([HERE, twice], [[], [(OTHER, 0.9)]])) == (0.0, 0)


def test_unlabelled_and_other_people_are_wrong_answers():
    people = [HERE, [(PERSON, BOX), (SOMEBODY, OTHER)], [(-1, BOX)]]
    case = make(people, [[], [(BOX, 0.5), (OTHER, 0.6)], [(BOX, 0.7)]])
    assert ap_and_rank(case) == (1 / 3, 3)


def test_no_detections_at_all():
    assert ap_and_rank(make([HERE, HERE], [[], []])) == (0.0, 0)


def test_a_person_who_is_nowhere_else_scores_zero():
    assert ap_and_rank(make([HERE, []], [[(BOX, 1.0)], [(BOX, 0.9)]])) == (0.0, 0)


def test_iou_rules():
    # a small person, whose adaptive threshold is 200 / (20 * 30) = 1/3, found with IoU 0.4
    small, part = [0, 0, 10, 20], [0, 0, 10, 8]
    case = make([HERE, [(PERSON, small)]], [[], [(part, 0.9)]])
    assert ap_and_rank(case) == (1.0, 1)
    assert ap_and_rank(case, iou_thrs=[0.5]) == (0.0, 0)
    adaptive, strict = rank_queries(*case, ['adaptive', 0.75])
    assert (adaptive.found.tolist(), strict.found.tolist()) == ([1], [0])
    assert adaptive.positives.tolist() == [1]


def test_confidence_weighting_demotes_doubtful_detections():
    case = make([HERE, HERE], [[], [(BOX, 0.8, 1.0), (OTHER, 0.9, 0.6)]])
    assert ap_and_rank(case) == (0.5, 2)
    assert ap_and_rank(case, confidence_weighting=True) == (1.0, 1)


def test_cross_camera_restricts_gallery_and_recall():
    people, detections = [HERE, HERE, HERE], [[], [(OTHER, 0.9)], [(BOX, 0.5)]]
    case = make(people, detections, cameras=[1, 1, 2])
    assert ap_and_rank(case) == (0.25, 2)
    assert ap_and_rank(case, cross_camera=True) == (1.0, 1)


def test_cross_camera_needs_cameras():
    case = make([HERE, HERE], [[], []], cameras=[1, -1])
    with pytest.raises(ValueError, match="cross_camera: the camera of '1.jpg' is unknown"):
        evaluate_search(*case, cross_camera=True)


def test_ties_are_shared_in_ap_and_lost_in_top_k():
    case = make([HERE, HERE, HERE], [[], [(OTHER, 0.5), (BOX, 0.5)], [(BOX, 0.5)]])
    assert ap_and_rank(case) == (2 / 3, 2)


def test_a_collapsed_embedding_does_not_score_by_luck():
    people = [HERE, *[HERE] * 3]
    case = make(people, [[], *[[(BOX, 0.5), *[(OTHER, 0.5)] * 4]] * 3])
    metrics = evaluate_search(*case)
    assert metrics == {'mAP': pytest.approx(3 / 15), 'top1': 0.0, 'top5': 0.0, 'top10': 0.0}


def test_explicit_gallery_takes_positives_from_its_own_boxes():
    # image 2 holds the person, but the protocol lists no box for it; image 3 is not listed
    case = make(
        [HERE, HERE, HERE, HERE],
        [[], [(BOX, 0.5)], [(BOX, 0.6)], [(OTHER, 0.9)]],
        listed=[(1, BOX), (2, ABSENT)],
    )
    assert ap_and_rank(case, gallery_size=2) == (0.5, 2)


def test_explicit_gallery_keeps_the_own_image():
    case = make([HERE, HERE], [[(BOX, 0.9)], [(OTHER, 0.5)]], listed=[(0, BOX), (1, ABSENT)])
    assert ap_and_rank(case, gallery_size=2) == (1.0, 1)


def test_a_repeated_image_counts_twice_in_recall_and_once_in_the_ranking():
    detections = [[], [(BOX, 0.5), (OTHER, 0.6)]]
    listed = [(1, BOX), (1, OTHER)]
    # the box of the first entry decides which detection is right
    assert ap_and_rank(make([HERE, HERE], detections, listed=listed), gallery_size=2) == (0.25, 2)
    listed = [(1, OTHER), (1, BOX)]
    assert ap_and_rank(make([HERE, HERE], detections, listed=listed), gallery_size=2) == (0.5, 1)


def test_an_empty_gallery_scores_zero():
    case = make([HERE, HERE], [[], [(BOX, 0.9)]], listed=[])
    assert ap_and_rank(case, gallery_size=2) == (0.0, 0)


def test_explicit_gallery_across_cameras():
    case = make(
        [HERE, HERE, HERE],
        [[], [(OTHER, 0.9)], [(BOX, 0.5)]],
        cameras=[1, 1, 2],
        listed=[(1, BOX), (2, BOX)],
    )
    assert ap_and_rank(case, gallery_size=2) == (0.25, 2)
    assert ap_and_rank(case, gallery_size=2, cross_camera=True) == (1.0, 1)


def test_unknown_gallery_size_and_missing_queries():
    case = make([HERE], [[]], listed=[])
    with pytest.raises(ValueError, match=r'there is no gallery 100; this test set has \[2\]'):
        evaluate_search(*case)
    nobody = dict(query_images=[], query_bboxes=[], query_person_ids=[], galleries={})
    with pytest.raises(ValueError, match='this test set has no query'):
        evaluate_search(replace(case[0], **nobody), case[1])


def perfect(annotations):
    """Predictions that equal the annotation, with one direction per person id."""
    ids = annotations.person_ids
    width = ids.max() + 2
    embeddings = np.eye(width)[np.where(ids < 0, width - 1, ids)]
    return SearchPredictions(
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=annotations.bboxes,
        scores=np.ones(len(ids)),
        embeddings=embeddings,
        query_embeddings=np.eye(width)[annotations.query_person_ids],
        gt_embeddings=embeddings,
    )


def test_a_perfect_ranking_is_exactly_one():
    rng = np.random.default_rng(0)
    people, images = 5, 30
    annotations = SearchAnnotations(
        image_names=tuple(f'{i}.jpg' for i in range(images)),
        cameras=np.arange(images) % 3,
        box_splits=2 * np.arange(images + 1),
        bboxes=[BOX, OTHER] * images,
        person_ids=np.stack([np.arange(images) % people, np.full(images, -1)], 1).ravel(),
        query_images=rng.permutation(images),
        query_bboxes=[BOX] * images,
        query_person_ids=np.zeros(images, int),
    )
    annotations = replace(annotations, query_person_ids=annotations.query_images % people)
    for predictions in (
        perfect(annotations),
        with_ground_truth_boxes(annotations, perfect(annotations)),
    ):
        for options in (dict(), dict(cross_camera=True), dict(iou_thr=0.75)):
            metrics = evaluate_search(annotations, predictions, **options)
            assert metrics == {'mAP': 1.0, 'top1': 1.0, 'top5': 1.0, 'top10': 1.0}
