"""Hand-computed rankings, and the traps of the protocols."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers.search_cases import (
    ABSENT,
    BOX,
    HERE,
    OTHER,
    PERSON,
    SOMEBODY,
    one_query,
    random_annotations,
    random_galleries,
    random_options,
    random_predictions,
)
from helpers.search_oracle import search_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import (
    evaluate_search,
    rank_queries,
)
from mmps.evaluation.functional.search import top_matches

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


def random_case(rng, images=8, searches=None, ties=False):
    """A test set with galleries of 3 and 6 images; ``searches`` of random queries, or all once."""
    annotations = random_annotations(rng, images=images)
    galleries = {size: random_galleries(rng, annotations, size, searches) for size in (3, 6)}
    annotations = replace(annotations, galleries=galleries)
    return annotations, random_predictions(rng, annotations, ties=ties)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    gallery=st.sampled_from([0, 6]),
    ties=st.booleans(),
    iou_thr=st.sampled_from(['adaptive', 0.5, 0.75]),
)
def test_equals_the_oracle(seed, images, gallery, ties, iou_thr):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=images, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=ties)
    options = random_options(rng, gallery)
    (result,) = rank_queries(annotations, predictions, [iou_thr], **options)
    aps, ranks = search_oracle(annotations, predictions, iou_thr=iou_thr, **options)
    np.testing.assert_allclose(result.average_precision, aps, atol=1e-9)
    np.testing.assert_array_equal(result.first_rank, ranks)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    gallery=st.sampled_from([3, 6, 'all']),
    searches=st.sampled_from([None, 1, 3, 12]),
    ties=st.booleans(),
    few=st.booleans(),
)
def test_explicit_searches_equal_the_oracle(seed, gallery, searches, ties, few):
    """Queries that are searched several times, or not at all, in any order."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, searches=searches, ties=ties)
    options = random_options(rng, gallery)
    # the way that galleries of few images are searched, for all or for none
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmps.evaluation.functional.search.FEW', 2 if few else 0)
        (result,) = rank_queries(*case, **options)
    aps, ranks = search_oracle(*case, **options)
    np.testing.assert_allclose(result.average_precision, aps, atol=1e-9)
    np.testing.assert_array_equal(result.first_rank, ranks)
    assert (np.diff(result.queries) >= 0).all()
    assert len(result.queries) == (searches or case[0].num_queries)


FAR = [60.0, 10.0, 90.0, 90.0]


def make_case(detections):
    """The person in images 0 (the query), 1 and 2; nobody known in 3. Detections: image, box,
    similarity to the query."""
    found = [[rest for image, *rest in detections if image == number] for number in range(4)]
    return one_query([HERE, HERE, HERE, []], found, cameras=[1, 1, 2, 3])


def test_hand_computed_top_matches():
    case = make_case(
        [
            (0, BOX, 1.0),  # the query's own image is not searched
            (1, BOX, 0.7),  # right
            (1, FAR, 0.9),  # right person's image, wrong place
            (2, BOX, 0.5),  # the person again, but less similar than the next
            (2, BOX, 0.6),  # right
            (3, FAR, 0.8),  # nobody known
        ]
    )
    (matches,) = top_matches(*case, [0])
    shown = [(match.image, round(match.similarity, 6), match.correct) for match in matches]
    assert shown == [
        (1, 0.9, False),
        (3, 0.8, False),
        (1, 0.7, True),
        (2, 0.6, True),
        (2, 0.5, False),
    ]
    assert [match.again for match in matches] == [False, False, False, False, True]
    np.testing.assert_array_equal(matches[0].bbox, FAR)
    assert [match.image for match in top_matches(*case, [0], top_k=2)[0]] == [1, 3]


def test_wrong_stands_before_right_where_both_are_as_similar():
    (matches,) = top_matches(*make_case([(1, BOX, 0.5), (3, FAR, 0.5)]), [0])
    assert [match.correct for match in matches] == [False, True]


def test_query_that_does_not_exist():
    with pytest.raises(ValueError, match='queries: row 1 is 3, but there are 1 queries'):
        top_matches(*make_case([(1, BOX, 0.9)]), [0, 3])


@pytest.mark.parametrize('seed', range(20))
def test_top_matches_agree_with_the_metric(seed):
    """Whatever the options, first right rank and images found are those of the metric."""
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=12, queries=8, gallery=6 * (seed % 3))
    predictions = random_predictions(rng, annotations, ties=seed % 2 == 0)
    options = random_options(rng, 6 * (seed % 3))
    (metric,) = rank_queries(annotations, predictions, **options)
    rankings = top_matches(annotations, predictions, range(8), top_k=99, **options)
    for query, matches in enumerate(rankings):
        right = [rank for rank, match in enumerate(matches, 1) if match.correct]
        assert len(right) == metric.found[query]
        assert min(right, default=0) == metric.first_rank[query]
        similarities = [match.similarity for match in matches]
        assert similarities == sorted(similarities, reverse=True)
        best = top_matches(annotations, predictions, [query], top_k=3, **options)[0]
        assert [match.similarity for match in best] == similarities[:3]
