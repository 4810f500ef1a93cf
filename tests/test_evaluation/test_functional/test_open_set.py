"""Who is found at how many false alarms: by hand, by brute force, and what has to hold."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import (
    ABSENT,
    BOX,
    HERE,
    OTHER,
    one_query,
    random_annotations,
    random_predictions,
)
from helpers.search_oracle import iou_of, threshold_of
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import SearchProtocols
from mmps.evaluation.functional.galleries import make_gallery
from mmps.evaluation.functional.open_set import (
    OpenSetResult,
    open_set_intervals,
    search_open_set,
)
from mmps.evaluation.functional.search import Searches

KEYS = ('search/DIR_fa1', 'search/DIR_fa10')


def result(genuine, stranger, positives=1):
    queries, positives = np.arange(len(genuine)), np.broadcast_to(positives, len(genuine))
    return OpenSetResult(queries, np.float32(genuine), np.float32(stranger), positives)


def open_set_oracle(annotations, predictions, iou_thr, score_thr, cross_camera):
    """Each search twice, one detection at a time, as the definition says."""
    splits, names = predictions.image_splits, list(predictions.image_names)
    genuine, stranger = [], []
    for query in range(annotations.num_queries):
        person, own = annotations.query_person_ids[query], annotations.query_images[query]
        right, wrong, without = [], [], []
        for image in range(annotations.num_images):
            camera = annotations.cameras[image]
            if image == own or (cross_camera and camera == annotations.cameras[own]):
                continue
            place = names.index(annotations.image_names[image])
            rows = range(splits[place], splits[place + 1])
            a, b = annotations.box_splits[image : image + 2]
            boxes = [
                annotations.bboxes[i] for i in range(a, b) if annotations.person_ids[i] == person
            ]
            fits, others = [], []
            for row in rows:
                if predictions.scores[row] < score_thr:
                    continue
                value = np.float32(
                    np.sum(
                        predictions.embeddings[row].astype(float)
                        * predictions.query_embeddings[query]
                    )
                )
                box = predictions.bboxes[row]
                fit = boxes and iou_of(boxes[0], box) >= threshold_of(boxes[0], iou_thr)
                (fits if fit else others).append(value)
            if not boxes:
                without += others
            fits.sort()
            right += fits[-1:]
            wrong += fits[:-1] + others
        first = bool(right) and max(right) > max(wrong, default=-np.inf)
        genuine.append(max(right) if first else -np.inf)
        stranger.append(max(without, default=-np.inf))
    return np.float32(genuine), np.float32(stranger)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
    iou_thr=st.sampled_from(['adaptive', 0.5]),
    cross_camera=st.booleans(),
)
def test_equals_the_oracle(seed, ties, iou_thr, cross_camera):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=9)
    predictions = random_predictions(rng, annotations, ties=ties)
    want = open_set_oracle(annotations, predictions, iou_thr, 0.5, cross_camera)
    protocols = SearchProtocols(open_set=True, iou_thr=iou_thr, cross_camera=cross_camera)
    found = protocols.search_open_set(annotations, predictions)
    one = found['_cross_camera' if cross_camera else '']
    np.testing.assert_array_equal(one.genuine, want[0])
    np.testing.assert_array_equal(one.stranger, want[1])


def test_listed_galleries_are_searched_without_the_images_of_the_person():
    rng = np.random.default_rng(4)
    annotations = random_annotations(rng, images=9, gallery=6)
    predictions = random_predictions(rng, annotations)
    gallery = make_gallery(annotations, gallery_size=6)
    found = search_open_set(Searches(annotations, predictions, [(gallery, [0.5])]))
    (listed,) = annotations.galleries.values()
    image = np.repeat(np.arange(annotations.num_images), np.diff(predictions.image_splits))
    for search, query in enumerate(gallery.queries):
        rows = range(*listed.splits[search : search + 2])
        shown = {listed.images[row] for row in rows if row in listed.positives}
        there = {listed.images[row] for row in rows} - shown - {annotations.query_images[query]}
        among = predictions.embeddings[np.isin(image, list(there))]
        want = (among @ predictions.query_embeddings[query]).max(initial=-np.inf)
        assert found.stranger[search] == pytest.approx(want, abs=1e-6)


def test_the_own_image_shows_no_strangers_though_it_is_listed():
    people, listed = [HERE, HERE, []], [(0, ABSENT), (1, BOX), (2, ABSENT)]
    detections = [[(OTHER, 0.6)], [(BOX, 0.7), (OTHER, 0.5)], [(OTHER, 0.25)]]
    annotations, predictions = one_query(people, detections, listed)
    found = search_open_set(
        Searches(annotations, predictions, [(make_gallery(annotations), [0.5])])
    )
    assert found.stranger.tolist() == [0.25]
    assert found.genuine == np.float32(0.7)


def test_by_hand():
    stranger = np.arange(10) / 10
    # one of ten may give an alarm: the threshold is the second largest, 0.8
    genuine = [0.85, 0.8, 0.95, 0.1, -np.inf, 0.81, 0, 0, 0, 0]
    assert result(genuine, stranger).rate(0.1) == 0.3
    # none may: above 0.9
    assert result(genuine, stranger).metrics() == {'DIR_fa1': 0.1, 'DIR_fa10': 0.3}
    assert result([], []).metrics() == {}


def test_equal_strangers_are_alarms_together():
    # with any threshold below 0.5 all four alarm, so that nobody at 0.5 is found
    assert result([0.5, 0.6, 0.5, 0.5], [0.5] * 4).rate(0.5) == 0.25


def test_who_cannot_be_found_may_still_be_a_false_alarm():
    # of four people there, three are above the second largest of the ten strangers, 0.8
    there = [1, 1, 2, 1, 0, 0, 0, 0, 0, 0]
    genuine = [0.85, 0.9, 0.81, 0.5, *[-np.inf] * 6]
    one = result(genuine, np.arange(10) / 10, there)
    assert one.rate(0.1) == 0.75
    found = open_set_intervals(one, resamples=500)['DIR_fa10']
    assert 0 <= found.low < 0.75 <= found.high <= 1
    nobody = result(genuine, np.arange(10) / 10, 0)
    assert nobody.metrics() == {}
    with pytest.raises(ValueError, match='nobody is in the gallery'):
        nobody.rate(0.1)


def test_thirty_searches_allow_three_alarms():
    stranger = np.arange(30.0)
    assert result(np.full(30, 26.5), stranger).rate(0.1) == 1
    assert result(np.full(30, 26.0), stranger).rate(0.1) == 0


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), searches=st.integers(1, 60))
def test_bounds(seed, searches):
    rng = np.random.default_rng(seed)
    one = result(rng.normal(1, 1, searches), rng.normal(0, 1, searches))
    rates = [one.rate(share) for share in (0.0, 0.01, 0.1, 0.5)]
    assert rates == sorted(rates) and rates[0] >= 0 and rates[-1] <= 1
    order = rng.permutation(searches)
    shuffled = result(one.genuine[order], one.stranger[order])
    assert shuffled.metrics() == one.metrics()
    assert open_set_intervals(shuffled, resamples=50) == open_set_intervals(one, resamples=50)
    # more similar strangers never help
    harder = result(one.genuine, one.stranger + np.float32(0.5))
    assert harder.rate(0.1) <= one.rate(0.1)


@pytest.mark.parametrize('share', [0.01, 0.1])
def test_intervals_are_those_of_resampled_searches(share):
    rng = np.random.default_rng(3)
    one = result(rng.normal(1.5, 1, 300), rng.normal(0, 1, 300))
    people = rng.permutation(np.arange(300) % 90)
    rates = []
    for _ in range(2000):
        drawn = rng.integers(0, 90, 90)
        rows = np.concatenate([np.flatnonzero(people == one_of) for one_of in drawn])
        rates.append(result(one.genuine[rows], one.stranger[rows]).rate(share))
    found = open_set_intervals(one, resamples=4000, units=people)[f'DIR_fa{share:.0%}'.rstrip('%')]
    low, high = np.quantile(rates, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)
    assert found.low < one.rate(share) < found.high


def test_the_option_adds_keys_and_changes_none():
    rng = np.random.default_rng(0)
    annotations = random_annotations(rng, images=12, queries=8)
    predictions = random_predictions(rng, annotations)
    before = SearchProtocols()(annotations, predictions)
    after = SearchProtocols(open_set=True)(annotations, predictions)
    assert set(after) - set(before) == set(KEYS)
    assert {key: after[key] for key in before} == before


def test_queries_that_nothing_detects_find_nobody_or_are_left_out():
    rng = np.random.default_rng(1)
    annotations = random_annotations(rng, images=10, queries=6)
    predictions = random_predictions(rng, annotations)
    place = predictions.image_names.index(annotations.image_names[annotations.query_images[0]])
    scores = predictions.scores.copy()
    scores[slice(*predictions.image_splits[place : place + 2])] = 0
    predictions = replace(predictions, scores=scores)
    options = dict(open_set=True, query_source='detection')
    zero = SearchProtocols(**options).search_open_set(annotations, predictions)['']
    assert zero.genuine[0] == zero.stranger[0] == -np.inf and len(zero.queries) == 6
    skip = SearchProtocols(**options, undetected_queries='skip')
    assert 0 not in skip.search_open_set(annotations, predictions)[''].queries


def test_bad_options():
    with pytest.raises(ValueError, match='open_set: .* context_matching'):
        SearchProtocols(open_set=True, context_matching=dict(k1=3, k2=2))
    with pytest.raises(ValueError, match='resamples: 0'):
        open_set_intervals(result([1], [0]), resamples=0)
    with pytest.raises(ValueError, match='confidence: 1'):
        open_set_intervals(result([1], [0]), confidence=1)
    with pytest.raises(ValueError, match='no search'):
        open_set_intervals(result([], []))
