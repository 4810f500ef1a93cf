"""The chance of a false match: by hand, by brute force, and as often right as it says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import (
    Calibration,
    SearchAnnotations,
    SearchPredictions,
)
from mmps.evaluation.functional.calibration import (
    Pictures,
    StrangerPairs,
    calibrate_marks,
    calibrate_pairs,
    check_calibration,
    labelled_pictures,
    pairs_by_label,
    pairs_in_frames,
)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def world(rng, people, pictures, dim=16, noise=0.3):
    """Embeddings of people some of whom look alike, their ids and images."""
    ids = np.repeat(np.arange(people), pictures)
    people = unit(rng.standard_normal((people, dim)) * np.linspace(2, 0.5, dim))
    embeddings = people[ids] + noise * rng.standard_normal((len(ids), dim)) / dim**0.5
    return pictures_of(unit(embeddings), ids)


def pictures_of(embeddings, ids):
    """Each in a scene of its own."""
    boxes = np.tile(np.float32([[0, 0, 10, 20]]), (len(ids), 1))
    return Pictures(embeddings, ids, boxes, np.arange(len(ids)), np.zeros(len(ids), int))


def couples(similarities, people=40):
    """Pairs of two people who are in no other pair."""
    owners = np.arange(2 * len(similarities)).reshape(-1, 2)
    return StrangerPairs(np.float32(similarities), owners)


def test_shares_are_counted():
    calibration = calibrate_pairs(couples(np.arange(1, 101) / 100), 'by hand')
    assert calibration.pairs == 100 and calibration.people == 200
    # 10 of the 100 are at least 0.91, the smallest share that is stated
    assert calibration.floor == 0.1
    assert calibration.similarities[-1] == pytest.approx(0.91)
    assert calibration.rates[0] == 0.9 and calibration.similarities[0] == pytest.approx(0.11)
    for similarity, rate in zip(calibration.similarities, calibration.rates, strict=True):
        found = calibration.false_match(similarity)
        assert found.rate == pytest.approx(rate) and not found.at_most
        assert found.low < rate < found.high
    beyond = calibration.false_match(0.95)
    assert beyond.rate == pytest.approx(0.1) and beyond.at_most
    assert calibration.similarity_at(0.09) is None
    assert calibration.false_match(calibration.similarity_at(0.3)).rate == pytest.approx(0.3)


def test_independent_pairs_have_the_interval_of_independent_trials():
    from scipy import stats

    calibration = calibrate_pairs(couples(np.random.default_rng(0).random(5000)), 'by hand')
    found = calibration.false_match(calibration.similarity_at(0.01))
    exact = stats.binomtest(50, 5000).proportion_ci(method='exact')
    # leaving out people takes every pair to be shared by two, so that it is wider by a factor
    # of at most the root of two
    width = found.high - found.low
    assert exact.high - exact.low < width < 1.5 * (exact.high - exact.low)


def test_pairs_that_share_people_say_less():
    rng = np.random.default_rng(1)
    values = rng.random(2000)
    one = calibrate_pairs(couples(values), 'apart')
    # the same similarities, but each of them twenty times, of pictures of the same two people
    owners = np.repeat(np.arange(200).reshape(-1, 2), 20, axis=0)
    shared = calibrate_pairs(StrangerPairs(np.repeat(values[:100], 20), owners), 'shared')
    assert shared.pairs == one.pairs
    a, b = (c.false_match(c.similarity_at(0.2)) for c in (one, shared))
    assert b.high - b.low > 3 * (a.high - a.low)
    assert shared.floor == 0.1  # ten of a hundred couples, not ten of 2,000 pairs


def test_ties_are_one_level():
    calibration = calibrate_pairs(couples([0.5] * 90 + [0.25] * 30), 'ties')
    assert calibration.similarities.tolist() == [0.25, 0.5]
    assert calibration.rates.tolist() == [1, 0.75]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), people=st.integers(6, 25), pictures=st.integers(1, 4))
def test_equals_a_count_of_all_pairs(seed, people, pictures):
    everybody = world(np.random.default_rng(seed), people, pictures)
    embeddings, ids = everybody.embeddings, everybody.person_ids
    pairs, same = pairs_by_label(everybody)
    apart, together = [], []
    for i in range(len(ids)):
        for j in range(i):
            (together if ids[i] == ids[j] else apart).append(embeddings[i] @ embeddings[j])
    np.testing.assert_allclose(np.sort(pairs.similarities), np.sort(apart), atol=1e-6)
    np.testing.assert_allclose(np.sort(same), np.sort(together), atol=1e-6)
    calibration = calibrate_pairs(pairs, 'all', same)
    for level, rate in zip(calibration.similarities, calibration.rates, strict=True):
        assert rate == pytest.approx(np.mean(pairs.similarities >= level))
        if len(same):
            assert calibration.found_at(level) == pytest.approx(np.mean(same >= level))
    grid = np.linspace(-1, 1, 200)
    found = [calibration.false_match(similarity) for similarity in grid]
    for name in ('rate', 'low', 'high'):
        assert (np.diff([getattr(match, name) for match in found]) <= 1e-12).all()
    assert all(match.low <= match.rate * (1 + 1e-9) for match in found)
    assert all(match.high >= match.rate * (1 - 1e-9) for match in found)


def test_intervals_hold_as_often_as_they_say():
    """Of 60 samples of 40 people, the intervals hold the true share in 90 % at least."""
    rng = np.random.default_rng(5)
    truth = np.sort(
        np.concatenate([pairs_by_label(world(rng, 900, 1))[0].similarities for _ in range(4)])
    )
    held = []
    for _ in range(60):
        calibration = calibrate_pairs(pairs_by_label(world(rng, 40, 3))[0], 'sample')
        true = 1 - np.searchsorted(truth, calibration.similarities) / len(truth)
        held.append(np.mean((calibration.low <= true) & (true <= calibration.high)))
    assert np.mean(held) > 0.9


def test_people_with_many_pictures_do_not_outweigh_others(monkeypatch):
    monkeypatch.setattr('mmps.evaluation.functional.calibration.MOST_PICTURES', 60)
    ids = np.repeat(np.arange(20), [101] + [3] * 19)
    embeddings = unit(np.random.default_rng(0).standard_normal((len(ids), 4)))
    pairs, _ = pairs_by_label(pictures_of(embeddings, ids))
    assert len(pairs) < 60 * 59 / 2
    assert np.bincount(pairs.owners.ravel()).max() < 5 * np.bincount(pairs.owners.ravel()).min()
    monkeypatch.setattr('mmps.evaluation.functional.calibration.MOST_PICTURES', 10)
    pairs, _ = pairs_by_label(pictures_of(embeddings, ids))
    assert len(pairs) == 45


def test_boxes_that_overlap_in_a_frame_are_no_pair():
    boxes = np.float32(
        [[0, 0, 10, 30], [8, 0, 20, 30], [40, 0, 50, 30], [0, 0, 9, 9], [50, 50, 60, 60]]
    )
    frames = np.array([0, 0, 0, 1, 1])
    embeddings = unit(np.random.default_rng(0).standard_normal((5, 8)))
    pairs = pairs_in_frames(embeddings, boxes, frames, np.zeros(5, int))
    want = [embeddings[a] @ embeddings[b] for a, b in ((0, 2), (1, 2), (3, 4))]
    np.testing.assert_allclose(np.sort(pairs.similarities), np.sort(want), atol=1e-6)


def test_people_in_frames_that_follow_one_another_are_the_same():
    rng = np.random.default_rng(2)
    people = unit(rng.standard_normal((3, 32)))
    embeddings = unit(np.tile(people, (10, 1)) + 0.05 * rng.standard_normal((30, 32)))
    boxes = np.tile(np.float32([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]), (10, 1))
    frames, cut = np.repeat(np.arange(10), 3), np.repeat([0, 1], 15)
    assert len(np.unique(pairs_in_frames(embeddings, boxes, frames, cut * 0).owners)) == 3
    # another camera begins with people of its own
    assert len(np.unique(pairs_in_frames(embeddings, boxes, frames, cut).owners)) == 6


def test_frames_of_single_people_are_refused():
    with pytest.raises(ValueError, match='no frame shows two people apart'):
        pairs_in_frames(np.eye(2, dtype=np.float32), np.ones((2, 4)), np.arange(2), np.zeros(2))
    with pytest.raises(ValueError, match='no frame shows two people apart'):
        pairs_in_frames(np.zeros((0, 2)), np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, int))


def test_detections_show_whom_they_overlap_most():
    annotations = SearchAnnotations(
        image_names=('a.jpg', 'b.jpg'),
        cameras=[0, 1],
        box_splits=[0, 2, 3],
        bboxes=[[0, 0, 10, 20], [50, 0, 60, 20], [0, 0, 10, 20]],
        person_ids=[7, -1, 8],
        query_images=[0],
        query_bboxes=[[0, 0, 10, 20]],
        query_person_ids=[7],
    )
    predictions = SearchPredictions(
        image_names=('b.jpg', 'a.jpg'),
        image_splits=[0, 2, 5],
        bboxes=[[0, 0, 10, 19], [0, 0, 10, 20], [50, 0, 60, 20], [0, 0, 10, 9], [1, 0, 10, 20]],
        scores=[0.9, 0.4, 0.9, 0.9, 0.9],
        embeddings=np.eye(5),
        query_embeddings=np.eye(1, 5),
    )
    found = labelled_pictures(annotations, predictions)
    assert found.person_ids.tolist() == [7, 8] and found.images.tolist() == [0, 1]
    assert found.cameras.tolist() == [0, 1] and found.bboxes[1].tolist() == [0, 0, 10, 19]
    np.testing.assert_array_equal(found.embeddings, np.eye(5)[[4, 0]])


def marked_searches(rng, searches=8, people=400, known=30):
    """Strangers of each search, of whom the most similar ones are marked."""
    everybody = [np.sort(rng.normal(0, 0.2, people))[::-1] for _ in range(searches)]
    wrong = [values[:known] for values in everybody]
    return everybody, wrong, [values[known - 1] for values in everybody]


def test_marks_give_the_share_among_everybody_searched():
    everybody, wrong, complete = marked_searches(np.random.default_rng(0))
    calibration = calibrate_marks(wrong, complete, [400] * 8, 'marks')
    assert calibration.found is None and calibration.people == 8 and calibration.pairs == 3200
    all_of_them = np.concatenate(everybody)
    for level, rate in zip(calibration.similarities, calibration.rates, strict=True):
        assert rate == pytest.approx(np.mean(all_of_them >= level))
    assert calibration.floor == pytest.approx(10 / 3200)
    # below what is known of every search
    assert calibration.similarities[0] >= max(complete)
    below = calibration.false_match(max(complete) - 0.1)
    assert below.at_least and below.rate == calibration.rates[0]
    assert calibration.similarity_at(0.9) is None


def test_hits_below_the_first_one_without_a_mark_tell_nothing():
    _, wrong, complete = marked_searches(np.random.default_rng(1))
    more = [np.append(values, [-0.9, -0.95]) for values in wrong]
    one, other = (calibrate_marks(w, complete, [400] * 8, 'm') for w in (wrong, more))
    np.testing.assert_array_equal(one.rates, other.rates)


def test_too_little_is_an_error():
    with pytest.raises(ValueError, match='4 people, but 5'):
        calibrate_pairs(StrangerPairs(np.zeros(2), np.array([[0, 1], [2, 3]])), 'few')
    with pytest.raises(ValueError, match='9 pairs of different people, but 10'):
        calibrate_pairs(couples(np.zeros(9)), 'few')
    _, wrong, complete = marked_searches(np.random.default_rng(2))
    with pytest.raises(ValueError, match='marks of 4 searches, but of 5'):
        calibrate_marks(wrong[:4], complete[:4], [400] * 4, 'm')
    complete[2] = 0.99
    with pytest.raises(ValueError, match=r'0 hits .* as similar as 0\.990, .* search 3 of 8'):
        calibrate_marks(wrong, complete, [400] * 8, 'm')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(rates=[0.1, 0.2]), 'rates: does not fall'),
        (dict(similarities=[0.2, 0.2]), 'similarities: does not rise'),
        (dict(low=[0.1]), 'low: .* as many'),
        (dict(high=[0.3, float('nan')]), 'high: holds NaN'),
        (dict(high=[1.3, 0.2]), 'high: holds values outside'),
        (dict(rates=[0.1, 0.0]), 'must be positive'),
        (dict(found=[0.1]), 'found: .* as many'),
    ],
)
def test_arrays_that_do_not_fit(change, message):
    good = Calibration([0.1, 0.2], [0.2, 0.1], [0.1, 0.05], [0.3, 0.2], 9, 5, 'x')
    with pytest.raises(ValueError, match=message):
        replace(good, **change)
    with pytest.raises(ValueError, match='similarity: nan'):
        good.false_match(float('nan'))


def test_held_back_people_bear_the_calibration_out():
    """Shares hold on people that were not counted, and wrong ones are found out."""
    everybody = world(np.random.default_rng(3), 120, 4)

    def counted(pictures):
        return calibrate_pairs(pairs_by_label(pictures)[0], 'half')

    def wrong(pictures):
        calibration = counted(pictures)
        return replace(calibration, similarities=calibration.similarities - 0.2)

    rows = check_calibration(everybody, counted, halvings=6)
    assert list(rows.stated)[:2] == [0.1, 0.01]
    for row in rows[:2].itertuples():
        assert row.halvings == 6 and row.held >= 4
        assert row.least <= row.measured <= row.most
        assert row.measured == pytest.approx(row.stated, rel=0.6)
    assert check_calibration(everybody, wrong, halvings=6).held.iloc[0] == 0
    assert check_calibration(everybody, counted, halvings=6).equals(rows)
