"""Hand-computed losses for every part."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.one_query import BOX, HERE, OTHER, PERSON, SOMEBODY, one_query

from mmps.evaluation.functional import rank_queries
from mmps.evaluation.functional.diagnosis import diagnose_search
from mmps.evaluation.functional.search_loss import Part

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
