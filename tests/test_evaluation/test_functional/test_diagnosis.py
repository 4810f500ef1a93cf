"""Hand-computed losses for every part."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import (
    BOX,
    HERE,
    OTHER,
    PERSON,
    SOMEBODY,
    one_query,
    random_annotations,
    random_options,
    random_predictions,
)
from helpers.search_oracle import diagnosis_oracle, positives_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchGalleries,
    SearchPredictions,
    rank_queries,
)
from mmps.evaluation.functional.diagnosis import (
    Part,
    break_down,
    covered_share,
    diagnose_search,
    diagnosis_report,
)

EMPTY = [200, 0, 220, 40]


def make(people, detections, listed=None, **changes):
    """As :func:`one_query`, in whose image nothing is detected, with these further images."""
    return one_query([HERE, *people], [[], *detections], listed, **changes)


def lost(case, **options):
    """What the one search of a case loses, the parts that are not zero; checks the sum."""
    loss = diagnose_search(*case, **options)
    assert loss.average_precision + loss.parts.sum(1) == pytest.approx(1, abs=1e-12)
    (result,) = rank_queries(*case, [options.pop('iou_thr', 'adaptive')], **options)
    assert loss.average_precision == pytest.approx(result.average_precision, abs=1e-12)
    np.testing.assert_array_equal(loss.counts, result.positives)
    np.testing.assert_array_equal(loss.queries, result.queries)
    assert (~loss.not_found).sum() == result.found.sum()
    (parts,) = loss.parts
    return {part: pytest.approx(parts[part], abs=1e-12) for part in Part if parts[part]}


def test_a_perfect_search_loses_exactly_nothing():
    case = make([HERE, HERE, []], [[(BOX, 0.9)], [(BOX, 0.8)], [(OTHER, 0.7)]])
    loss = diagnose_search(*case)
    assert loss.average_precision.tolist() == [1.0]
    assert not loss.parts.any()


def test_a_person_without_any_detection_is_missed():
    assert lost(make([HERE, HERE], [[(BOX, 0.9)], []])) == {Part.MISSED: 1 / 2}


def test_a_detection_of_nobody_near_does_not_localise():
    # IoU 20 * 3 / (2 * 800 - 60) = 0.04
    grazing = [0, 37, 20, 77]
    assert lost(make([HERE], [[(grazing, 0.9)]])) == {Part.MISSED: 1}


def test_a_person_cut_by_the_threshold():
    case = make([HERE, HERE], [[(BOX, 0.9)], [(BOX, 0.8, 0.3)]])
    assert lost(case) == {Part.CUT: 1 / 2}
    assert lost(case, score_thr=0.3) == {}


def test_cut_explains_more_than_localised_badly():
    half = [0, 0, 20, 15]  # IoU 0.375
    assert lost(make([HERE], [[(half, 0.9), (BOX, 0.8, 0.3)]])) == {Part.CUT: 1}


def test_a_person_localised_badly():
    half = [0, 0, 20, 15]  # IoU 0.375; the adaptive threshold is 800 / 1500, so 0.5
    case = make([HERE, HERE], [[(BOX, 0.9)], [(half, 0.8)]])
    assert lost(case) == {Part.LOCALISED: 1 / 2}
    assert lost(case, iou_thr=0.3) == {}


def test_a_bad_detection_below_the_threshold_is_no_detection():
    half = [0, 0, 20, 15]
    assert lost(make([HERE], [[(half, 0.8, 0.3)]])) == {Part.MISSED: 1}


def test_a_detection_of_the_neighbour_does_not_localise_the_person():
    neighbour = [10, 0, 30, 40]  # IoU 1/3 with BOX
    case = make([[(PERSON, BOX), (SOMEBODY, neighbour)]], [[(neighbour, 0.9)]])
    assert lost(case) == {Part.MISSED: 1}


@pytest.mark.parametrize(
    ('people', 'part'),
    [
        ([(SOMEBODY, OTHER)], Part.OTHER_IDENTITY),
        ([(-1, OTHER)], Part.UNLABELLED),
        ([(PERSON, OTHER)], Part.SAME_PERSON),
        ([], Part.BACKGROUND),
        # of two people it covers alike, the one with the larger id
        ([(-1, OTHER), (SOMEBODY, OTHER)], Part.OTHER_IDENTITY),
    ],
)
@pytest.mark.parametrize('box', [OTHER, [100, 0, 110, 20]])  # whole or a quarter
def test_a_wrong_detection_counts_for_whom_it_shows(people, part, box):
    case = make([[(PERSON, BOX), *people]], [[(BOX, 0.5), (box, 0.9)]])
    assert lost(case) == {part: 1 / 2}


def test_a_wrong_detection_shows_the_person_it_overlaps_most():
    left, right = [100, 0, 120, 40], [112, 0, 132, 40]
    between = [105, 0, 125, 40]  # 15 of 20 columns with left, 13 with right
    case = make([HERE, [(-1, left), (SOMEBODY, right)]], [[(BOX, 0.5)], [(between, 0.9)]])
    assert lost(case) == {Part.UNLABELLED: 1 / 2}


def test_a_second_detection_of_the_person_outranks():
    nearly = [1, 1, 20, 40]
    case = make([HERE, HERE], [[(BOX, 0.9), (nearly, 0.8)], [(BOX, 0.7)]])
    # right, double, right: the second right one has precision 2/3
    assert lost(case) == {Part.SAME_PERSON: 1 / 6}


def test_each_wrong_detection_takes_its_share_of_every_appearance_below_it():
    people = [HERE, HERE, HERE, [(SOMEBODY, OTHER)]]
    detections = [
        [(BOX, 0.9), (EMPTY, 0.8)],
        [(BOX, 0.6), (EMPTY, 0.1)],
        [],
        [(OTHER, 0.7)],
    ]
    # right 0.9, background 0.8, other 0.7, right 0.6 (precision 2/4), background 0.1; one missed
    assert lost(make(people, detections)) == {
        Part.MISSED: 1 / 3,
        Part.BACKGROUND: 1 / 4 / 3,
        Part.OTHER_IDENTITY: 1 / 4 / 3,
    }


def test_the_loss_is_known_for_each_appearance():
    case = make([HERE, HERE, HERE], [[(EMPTY, 0.9), (BOX, 0.8)], [], [(BOX, 0.7)]])
    loss = diagnose_search(*case)
    np.testing.assert_array_equal(loss.appearances.images, [1, 2, 3])
    want = np.zeros((3, len(Part)))
    # background, right (1/2), right (2/3)
    want[:, Part.BACKGROUND] = [1 / 2 / 3, 0, 1 / 3 / 3]
    want[1, Part.MISSED] = 1 / 3
    np.testing.assert_allclose(loss.appearance_parts, want, atol=1e-15)
    assert loss.not_found.tolist() == [False, True, False]


def test_equally_similar_detections_share_a_threshold():
    people = [HERE, HERE, [(SOMEBODY, OTHER)]]
    case = make(people, [[(BOX, 0.5)], [(BOX, 0.5), (EMPTY, 0.5)], [(OTHER, 0.5)]])
    # all four at once: both appearances have precision 2/4
    assert lost(case) == {Part.BACKGROUND: 1 / 4, Part.OTHER_IDENTITY: 1 / 4}


def test_the_next_number_is_another_similarity():
    below, above = np.nextafter(np.float32(0.5), np.float32([0, 1]))
    assert lost(make([HERE], [[(BOX, 0.5), (EMPTY, below)]])) == {}
    assert lost(make([HERE], [[(BOX, 0.5), (EMPTY, above)]])) == {Part.BACKGROUND: 1 / 2}


def test_of_equally_similar_candidates_the_one_of_the_person_is_right():
    """Otherwise the order of detections would decide which of them is the wrong one."""
    beside = [4, 0, 24, 40]  # IoU 2/3 with BOX, 0.74 with the neighbour
    people = [[(PERSON, BOX), (SOMEBODY, [7, 0, 27, 40])]]
    for detections in ([(BOX, 0.5), (beside, 0.5)], [(beside, 0.5), (BOX, 0.5)]):
        assert lost(make(people, [detections])) == {Part.OTHER_IDENTITY: 1 / 2}


def test_nobody_to_find():
    for case in (
        make([[(SOMEBODY, OTHER)]], [[(OTHER, 0.9)]]),
        make([HERE], [[(BOX, 0.9)]], listed=[]),
    ):
        with pytest.raises(ValueError, match='no query of this test set has anybody to find'):
            diagnose_search(*case)


def test_an_image_listed_twice_is_found_once():
    listed = [(1, BOX), (1, BOX), (2, BOX)]
    case = make([HERE, HERE], [[(BOX, 0.9)], [(BOX, 0.8)]], listed=listed)
    assert lost(case) == {Part.REPEATED: 1 / 3}


def test_an_image_where_the_gallery_asks_for_nobody():
    case = make([HERE, HERE], [[(BOX, 0.9)], [(BOX, 0.8)]], listed=[(1, None), (2, BOX)])
    assert lost(case) == {Part.SAME_PERSON: 1 / 2}


def test_a_tiny_person_is_shown_from_their_own_threshold_on():
    # the adaptive threshold of 4 x 4 pixels is 16 / 196 = 0.082, and the IoU is 16 / 180 = 0.089
    tiny, around = [0, 0, 4, 4], [0, 0, 12, 15]
    case = make([[(PERSON, tiny)]], [[(around, 0.9), (around, 0.95)]])
    assert lost(case) == {}
    case = make([[(PERSON, tiny)], HERE], [[(around, 0.9), (around, 0.95)], [(BOX, 0.8)]])
    assert lost(case) == {Part.SAME_PERSON: 1 / 6}


def test_options_reach_the_ranking():
    people = [HERE, HERE]
    case = make(people, [[(BOX, 0.8, 1.0)], [(BOX, 0.7), (EMPTY, 0.9, 0.6)]], cameras=[0, 0, 1])
    assert lost(case) == {Part.BACKGROUND: 1 / 2 / 2 + 1 / 3 / 2}
    assert lost(case, confidence_weighting=True) == {}
    assert lost(case, cross_camera=True) == {Part.BACKGROUND: 1 / 2}


def test_a_test_set_without_queries_is_refused():
    annotations, predictions = make([HERE], [[(BOX, 0.9)]])
    nothing = np.zeros((0, 4))
    annotations = replace(annotations, query_images=[], query_bboxes=nothing, query_person_ids=[])
    predictions = replace(predictions, query_embeddings=np.zeros((0, 2)))
    with pytest.raises(ValueError, match='this test set has no query'):
        diagnose_search(annotations, predictions)


def random_case(seed, images=8, gallery=0, ties=True):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=images, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=ties)
    return annotations, predictions, random_options(rng, gallery)


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    gallery=st.sampled_from([0, 6]),
    ties=st.booleans(),
    iou_thr=st.sampled_from(['adaptive', 0.05, 0.5, 0.75]),
)
def test_parts_equal_the_oracle_and_add_up(seed, images, gallery, ties, iou_thr):
    annotations, predictions, options = random_case(seed, images, gallery, ties)
    (result,) = rank_queries(annotations, predictions, [iou_thr], **options)
    result = result.answerable
    if not len(result):
        with pytest.raises(ValueError, match='anybody to find'):
            diagnose_search(annotations, predictions, iou_thr=iou_thr, **options)
        return
    loss = diagnose_search(annotations, predictions, iou_thr=iou_thr, **options)
    np.testing.assert_allclose(loss.average_precision, result.average_precision, atol=1e-12)
    np.testing.assert_allclose(loss.parts.sum(1), 1 - result.average_precision, rtol=0, atol=1e-12)
    assert loss.mean_parts.sum() == pytest.approx(1 - loss.mean_average_precision, abs=1e-12)
    oracle = diagnosis_oracle(annotations, predictions, iou_thr=iou_thr, **options)
    want = [[parts[part] for part in Part] for parts in oracle]
    np.testing.assert_allclose(loss.parts, want, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    gallery=st.sampled_from([0, 6]),
    ties=st.booleans(),
    k1=st.integers(1, 12),
    similarity=st.sampled_from(['max', 'mean']),
)
def test_parts_add_up_with_context_matching(seed, gallery, ties, k1, similarity):
    annotations, predictions, options = random_case(seed, gallery=gallery, ties=ties)
    options['context_matching'] = ContextMatching(k1, 3, similarity)
    (result,) = rank_queries(annotations, predictions, **options)
    result = result.answerable
    if not len(result):
        return
    loss = diagnose_search(annotations, predictions, **options)
    np.testing.assert_allclose(loss.average_precision, result.average_precision, atol=1e-12)
    np.testing.assert_allclose(loss.parts.sum(1), 1 - result.average_precision, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_changes_nothing(seed):
    annotations, predictions, options = random_case(seed)
    rng = np.random.default_rng(seed)

    def shuffle(splits):
        image = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
        return np.lexsort((rng.random(len(image)), image))

    # which of two boxes of one id in an image counts is the protocol's order, so keep that
    people = shuffle(annotations.box_splits)
    image = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
    twice = len(np.unique(np.stack([image, annotations.person_ids]), axis=1).T) < len(image)
    people = np.sort(people) if twice else people
    rows = shuffle(predictions.image_splits)
    moved = replace(
        annotations,
        bboxes=annotations.bboxes[people],
        person_ids=annotations.person_ids[people],
    )
    found = replace(
        predictions,
        bboxes=predictions.bboxes[rows],
        scores=predictions.scores[rows],
        embeddings=predictions.embeddings[rows],
    )
    if not rank_queries(annotations, predictions, **options)[0].positives.any():
        return
    before = diagnose_search(annotations, predictions, **options)
    after = diagnose_search(moved, found, **options)
    np.testing.assert_array_equal(after.parts, before.parts)


@pytest.mark.parametrize('gallery', [0, 6])
def test_a_query_searched_several_times(gallery):
    annotations, predictions, options = random_case(3, gallery=gallery)
    if gallery:
        listed = annotations.galleries[gallery]
        annotations.galleries[gallery] = replace(listed, queries=[2, 0, 2, 4, 0])
    loss = diagnose_search(annotations, predictions, **options)
    (result,) = rank_queries(annotations, predictions, **options)
    result = result.answerable
    np.testing.assert_array_equal(loss.queries, result.queries)
    np.testing.assert_allclose(loss.parts.sum(1), 1 - result.average_precision, atol=1e-12)
    oracle = diagnosis_oracle(annotations, predictions, **options)
    np.testing.assert_allclose(loss.parts, [list(parts.values()) for parts in oracle], atol=1e-12)


def test_worst_queries():
    annotations, predictions, _ = random_case(5, gallery=6)
    loss = diagnose_search(annotations, predictions, gallery_size=6)
    loss = replace(
        loss,
        queries=np.array([0, 1, 1, 3, 4]),
        average_precision=np.array([0.5, 0.3, 0.0, 0.0, 0.3]),
    )
    # of query 1 the first search counts
    assert loss.worst_queries == [3, 1, 4, 0]


SMALL, LARGE = [0, 0, 20, 40], [0, 0, 50, 120]
FRONT = [10, 0, 60, 120]  # covers half of SMALL and 0.8 of LARGE


@pytest.fixture
def case():
    """Two people, a query each, both found in camera 2 and missed in camera 3.

    The first one's gallery boxes are 40 and 120 pixels high, and in camera 3 somebody stands beside
    the person. In camera 2, background stands above the first one.
    """
    names = [f'{i}.jpg' for i in range(6)]
    annotations = SearchAnnotations(
        image_names=names,
        cameras=[1, 2, 3, 1, 2, 3],
        box_splits=[0, 1, 2, 4, 5, 6, 7],
        bboxes=[SMALL, SMALL, LARGE, FRONT, LARGE, LARGE, LARGE],
        person_ids=[5, 5, 5, -1, 6, 6, 6],
        query_images=[0, 3],
        query_bboxes=[SMALL, LARGE],
        query_person_ids=[5, 6],
    )
    predictions = SearchPredictions(
        image_names=names,
        image_splits=[0, 0, 2, 2, 2, 3, 3],
        bboxes=[SMALL, [200, 0, 220, 40], LARGE],
        scores=[1, 1, 1],
        embeddings=[[0.6, 0.8, 0], [0.8, 0.6, 0], [0, 0, 1]],
        query_embeddings=[[1, 0, 0], [0, 0, 1]],
    )
    return annotations, predictions


def rows_of(breakdown, part):
    """``{group: (worth, lost in all, lost by the part)}``."""
    return {
        tuple(group.values()): (
            pytest.approx(breakdown.worth[row]),
            pytest.approx(breakdown.parts[row].sum()),
            pytest.approx(breakdown.parts[row, part]),
        )
        for row, group in enumerate(breakdown.groups)
    }


def test_groups_by_hand(case):
    loss = diagnose_search(*case)
    # each search misses one of two; in the first, background halves the precision of the other
    assert loss.average_precision == pytest.approx([1 / 4, 1 / 2])
    groups = break_down(case[0], loss)
    pairs = {
        (1, 2): (1 / 2, 1 / 8, 0),
        (1, 3): (1 / 2, 1 / 2, 1 / 2),
    }
    assert rows_of(groups['camera_pair'], Part.MISSED) == pairs
    assert groups['camera_pair'].reached == pytest.approx([3 / 4, 0])
    assert groups['camera_pair'].appearances.tolist() == [2, 2]
    assert groups['camera_pair'].searches.tolist() == [2, 2]
    assert rows_of(groups['query_height'], Part.BACKGROUND) == {
        (0, 50): (1 / 2, 3 / 8, 1 / 8),
        (100, 150): (1 / 2, 1 / 4, 0),
    }
    assert groups['query_height'].reached == pytest.approx(loss.average_precision)
    assert rows_of(groups['gallery_height'], Part.MISSED) == {
        (0, 50): (1 / 4, 1 / 8, 0),
        (100, 150): (3 / 4, 1 / 2, 1 / 2),
    }
    assert rows_of(groups['gallery_occlusion'], Part.MISSED) == {
        (0.0, 0.01): (3 / 4, 3 / 8, 1 / 4),
        (0.5, None): (1 / 4, 1 / 4, 1 / 4),
    }
    assert rows_of(groups['query_occlusion'], Part.MISSED) == {
        (0.0, 0.01): (1, 5 / 8, 1 / 2),
    }
    assert groups['query_occlusion'].appearances.tolist() == [4]
    assert rows_of(groups['appearances'], Part.MISSED) == {(2, 4): (1, 5 / 8, 1 / 2)}


def test_what_is_lost_at_no_appearance_has_its_own_group(case):
    annotations, predictions = case
    # the first search lists its person's image twice, the second has nobody to find, left out
    annotations.galleries[2] = SearchGalleries([0, 2, 3], [1, 1, 0], [0, 1], [SMALL, SMALL])
    loss = diagnose_search(annotations, predictions, gallery_size=2)
    groups = break_down(annotations, loss)
    assert rows_of(groups['gallery_height'], Part.REPEATED) == {
        (0, 50): (1 / 2, 1 / 4, 0),
        (None, None): (1 / 2, 1 / 2, 1 / 2),
    }
    assert rows_of(groups['camera_pair'], Part.REPEATED) == {
        (1, 2): (1 / 2, 1 / 4, 0),
        (1, None): (1 / 2, 1 / 2, 1 / 2),
    }
    assert groups['camera_pair'].appearances.tolist() == [1, 0]
    assert groups['camera_pair'].searches.tolist() == [1, 1]
    assert rows_of(groups['appearances'], Part.REPEATED) == {(2, 4): (1, 3 / 4, 1 / 2)}


def test_no_camera_pairs_without_cameras(case):
    annotations, predictions = case
    annotations.cameras[:] = -1
    assert 'camera_pair' not in break_down(annotations, diagnose_search(annotations, predictions))


def test_covered_share(case):
    annotations, _ = case
    images, boxes = np.array([2, 2, 1, 2]), np.array([LARGE, SMALL, LARGE, FRONT], np.float32)
    # the person's own box does not count, the one with another id does
    share = covered_share(annotations, images, boxes, np.array([5, 5, 5, -1]))
    np.testing.assert_allclose(share, [0.8, 0.5, 0, 0.8])
    assert covered_share(annotations, images[:0], boxes[:0], images[:0]).tolist() == []


def test_report(case):
    annotations, predictions = case
    loss = diagnose_search(annotations, predictions)
    report = json.loads(
        json.dumps(diagnosis_report(annotations, loss, break_down(annotations, loss)))
    )
    assert report['mAP'] == pytest.approx(3 / 8)
    assert sum(report['parts'].values()) == pytest.approx(5 / 8)
    assert report['appearances'] == dict(wanted=4, found=2, missed=2, cut=0, localised=0)
    assert report['searches']['image'] == ['0.jpg', '3.jpg']
    assert report['searches']['missed'] == [0.5, 0.5]
    assert {len(column) for column in report['searches'].values()} == {2}
    first = report['breakdowns']['camera_pair'][0]
    assert (first['query_camera'], first['gallery_camera'], first['appearances']) == (1, 2, 2)
    assert first['reached'] == pytest.approx(3 / 4)
    assert first['parts']['background'] == pytest.approx(1 / 8)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    gallery=st.sampled_from([0, 6]),
    cross_camera=st.booleans(),
)
def test_every_breakdown_adds_up(seed, images, gallery, cross_camera):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=images, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=True)
    if not positives_oracle(annotations, cross_camera=cross_camera, gallery_size=gallery).any():
        return  # which is an error, tested beside the diagnosis
    loss = diagnose_search(
        annotations, predictions, cross_camera=cross_camera, gallery_size=gallery
    )
    for breakdown in break_down(annotations, loss).values():
        assert breakdown.worth.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(breakdown.parts.sum(0), loss.mean_parts, atol=1e-12)
        assert breakdown.appearances.sum() == len(loss.appearances.images)
        assert (breakdown.searches <= len(loss.queries)).all()
        assert ((breakdown.reached >= 0) & (breakdown.reached <= 1)).all()
        assert (breakdown.parts.sum(1) <= breakdown.worth + 1e-12).all()
        rows = [len(breakdown.groups), len(breakdown.searches), len(breakdown.parts)]
        assert len(set(rows)) == 1
