"""Hand-computed distributions, coverage against theory, and what must not matter."""

import math

import numpy as np
import pytest

from mmps.evaluation.functional import SearchResult, bootstrap_intervals, compare_results


def result(average_precision, queries=None, first_rank=1):
    aps = np.asarray(average_precision, float)
    searches = len(aps)
    return SearchResult(
        queries=np.arange(searches) if queries is None else np.array(queries),
        average_precision=aps,
        first_rank=np.broadcast_to(first_rank, searches),
        found=np.ones(searches, int),
        positives=np.ones(searches, int),
    )


def interval(results, key='mAP', **options):
    found = bootstrap_intervals({'': results}, **options)[key]
    return found.low, found.high


def test_two_queries_by_hand():
    # the mean of two draws of {0, 1} is 0, 0.5 or 1 with probability 1/4, 1/2 and 1/4
    assert interval(result([0, 1])) == (0, 1)
    assert interval(result([0, 1]), confidence=0.4) == (0.5, 0.5)
    assert interval(result([0, 1]), confidence=0.6) == (0, 1)


def test_equal_queries_leave_no_doubt():
    assert interval(result([0.25] * 9)) == (0.25, 0.25)
    assert interval(result([0.7])) == (0.7, 0.7)


def test_top_k_is_resampled_as_well():
    ranks = np.array([1] * 900 + [7] * 100)
    half = 1.96 * math.sqrt(0.9 * 0.1 / 1000)
    ends = interval(result(np.ones(1000), first_rank=ranks), 'top5')
    assert ends == pytest.approx((0.9 - half, 0.9 + half), abs=0.003)
    assert interval(result(np.ones(1000), first_rank=ranks), 'top10') == (1, 1)


def test_searches_of_a_query_are_drawn_together():
    # both queries have mean 0.5 over their two searches
    assert interval(result([0, 1, 1, 0], queries=[0, 0, 1, 1])) == (0.5, 0.5)
    # one query with AP 0 once, one with AP 1 three times: 0, 3/4 or 1
    lopsided = result([0, 1, 1, 1], queries=[0, 1, 1, 1])
    assert interval(lopsided, confidence=0.4) == (0.75, 0.75)


def test_queries_of_a_person_are_drawn_together():
    aps = [0, 1, 1, 0]
    assert interval(result(aps), units=np.array([5, 5, 9, 9])) == (0.5, 0.5)
    assert interval(result(aps), units=np.array([5, 9, 9, 5])) == (0, 1)


def test_results_over_some_of_the_queries():
    # a resample may leave a mean without any query; it says nothing then
    both = {'': result(np.linspace(0, 1, 50)), '_occlusion': result([0.25, 0.25], queries=[3, 40])}
    found = bootstrap_intervals(both, resamples=200)
    assert found['mAP'].low < 0.5 < found['mAP'].high
    assert (found['mAP_occlusion'].low, found['mAP_occlusion'].high) == (0.25, 0.25)


def test_width_is_that_of_theory():
    aps = np.random.default_rng(0).beta(2, 1, 2900)
    low, high = interval(result(aps))
    half = 1.96 * aps.std() / math.sqrt(len(aps))
    assert low == pytest.approx(aps.mean() - half, abs=0.03 * half)
    assert high == pytest.approx(aps.mean() + half, abs=0.03 * half)


def test_coverage():
    """Of 400 test sets of 120 queries, 95 % intervals hold the true mean in about 95 %."""
    rng = np.random.default_rng(1)
    holds = 0
    for seed in range(400):
        low, high = interval(result(rng.beta(2, 1, 120)), resamples=400, seed=seed)
        holds += low <= 2 / 3 <= high
    # 400 trials: standard deviation 1.1 %
    assert 0.91 <= holds / 400 <= 0.98


def test_order_of_the_queries_does_not_matter():
    rng = np.random.default_rng(2)
    first, second = rng.random(60), rng.random(60)
    order = rng.permutation(60)
    assert interval(result(first)) == interval(result(first[order]))
    before = compare_results({'': result(first)}, {'': result(second)}, resamples=500)
    after = compare_results({'': result(first[order])}, {'': result(second[order])}, resamples=500)
    assert before['mAP'].interval == after['mAP'].interval
    assert before['mAP'].p_value == after['mAP'].p_value


def test_seeds():
    aps = np.random.default_rng(3).random(40)
    one, again, other = (interval(result(aps), resamples=50, seed=s) for s in (0, 0, 1))
    assert one == again != other


def compare(first, second, **options):
    return compare_results({'': result(first)}, {'': result(second)}, **options)['mAP']


def test_comparison_by_hand():
    found = compare([0.5, 0.5, 0.5], [0.75, 0.75, 0.75])
    assert (found.first, found.second, found.difference) == (0.5, 0.75, 0.25)
    assert (found.interval.low, found.interval.high) == (0.25, 0.25)
    assert (found.better, found.worse) == (3, 0)
    # 2 of the 8 exchanges, all or none, give a difference as large
    assert found.p_value == pytest.approx(0.25, abs=0.02)


def test_each_number_has_a_p_value_of_its_own():
    """Large differences of the ranks do not hide small ones of the average precision."""
    before, after = result(np.zeros(30)), result(np.full(30, 0.01), first_rank=2)
    found = compare_results({'': before}, {'': after}, resamples=99)
    assert (found['mAP'].p_value, found['mAP'].better) == (0.01, 30)
    assert (found['top1'].p_value, found['top1'].worse) == (0.01, 30)
    assert (found['top5'].p_value, found['top10'].p_value) == (1, 1)


def test_p_value_counts_the_observed_exchange():
    found = compare(np.zeros(30), np.ones(30), resamples=99)
    assert found.p_value == pytest.approx(1 / 100)
    assert compare([0.3], [0.9], resamples=10).p_value == 1
    assert compare([0.3, 0.4], [0.3, 0.4], resamples=10).p_value == 1


def test_exchanges_of_equal_size_are_as_extreme():
    """The same differences in another order must not fall below the observed sum by rounding."""
    first = np.random.default_rng(0).random(200)
    found = compare(first, first + np.where(np.arange(200) % 2, 0.1, -0.1), resamples=50)
    assert found.p_value == 1


def test_p_values_are_uniform_without_a_difference():
    rng = np.random.default_rng(4)
    pairs = rng.random((300, 2, 40))
    p_values = np.array([compare(*pair, resamples=199).p_value for pair in pairs])
    assert 0.02 <= (p_values < 0.05).mean() <= 0.09
    assert 0.43 <= (p_values < 0.5).mean() <= 0.57


def test_exchanges_of_a_person_as_a_whole():
    first, second = np.zeros(8), np.full(8, 0.5)
    people = np.array([1, 1, 1, 1, 2, 2, 2, 2])
    # 2 of the 4 exchanges of two people
    assert compare(first, second, units=people).p_value == pytest.approx(0.5, abs=0.03)


def test_other_searches_cannot_be_compared():
    with pytest.raises(ValueError, match="2 and 1 searches, of different .*='zero'"):
        compare([0.1, 0.2], [0.1])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(resamples=0), 'resamples: 0 given'),
        (dict(confidence=1.0), 'confidence: 1.0 given'),
        (dict(confidence=95), 'confidence: 95 given'),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        interval(result([0, 1]), **options)
    with pytest.raises(ValueError, match=message):
        compare([0, 1], [1, 1], **options)


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='there is no search to draw from'):
        interval(result([]))


def test_searches_with_nobody_to_find_take_no_part():
    lonely = result([0.25, 0.0, 0.75])
    lonely.positives[1] = 0
    nobody = result([0.0, 0.0])
    nobody.positives[:] = 0
    found = bootstrap_intervals({'': lonely, '_cross_camera': nobody})
    assert (found['mAP'].low, found['mAP'].high) == (0.25, 0.75)
    assert set(found) == {'mAP', 'top1', 'top5', 'top10'}
    better = result([0.5, 1.0, 0.75])
    better.positives[1] = 0
    compared = compare_results({'': lonely, '_c': nobody}, {'': better, '_c': nobody})
    assert set(compared) == set(found)
    assert (compared['mAP'].first, compared['mAP'].second) == (0.5, 0.625)
    assert (compared['mAP'].better, compared['mAP'].worse) == (1, 0)
    with pytest.raises(ValueError, match='no search to draw from'):
        bootstrap_intervals({'': nobody})
