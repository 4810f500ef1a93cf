from mmps.evaluation.functional import Comparison, Interval, SplitSummary
from mmps.evaluation.report import comparison_table, means_table, metrics_table, verdict

METRICS = {
    'search/mAP': 0.5,
    'search/top1': 0.75,
    'search/top5': 1.0,
    'search/top10': 1.0,
    'search/mAP_iou75': 0.25,
    'search/mAP_c1_c2': 0.125,
    'search/queries_c1_c2': 7.0,
    'search/mAP_c2_c12': 0.5,
    'search/queries_c2_c12': 9.0,
    'search/queries_occlusion': 3.0,
    'det/AP': 0.9,
    'det/recall': 0.95,
    'det/coco_AP': 0.5,
}


def test_one_line_per_kind_then_cameras_then_the_rest():
    lines = [line.split() for line in metrics_table(METRICS).splitlines()]
    assert lines == [
        ['search/mAP', 'search/top1', 'search/top5', 'search/top10', 'det/AP', 'det/recall'],
        ['50.00%', '75.00%', '100.00%', '100.00%', '90.00%', '95.00%'],
        ['iou75', '25.00%', '-', '-', '-', '-', '-'],
        [],
        ['search/mAP,', 'query', 'camera', 'down,', 'gallery', 'camera', 'across'],
        ['2', '12'],
        ['1', '12.50%', '-'],
        ['2', '-', '50.00%'],
        [],
        ['search/queries,', 'query', 'camera', 'down,', 'gallery', 'camera', 'across'],
        ['2', '12'],
        ['1', '7', '-'],
        ['2', '-', '9'],
        [],
        ['search/queries_occlusion', '3'],
        ['det/coco_AP', '50.00%'],
    ]


def test_intervals_stand_below_their_numbers():
    intervals = {'search/top1': Interval(0.7, 0.8), 'search/mAP_iou75': Interval(0.2, 0.3)}
    lines = metrics_table(METRICS, intervals).splitlines()
    assert lines[2].split() == ['70.00-80.00']
    assert lines[2].index('80.00') + 5 == lines[1].index('75.00%') + 6
    assert lines[4].split() == ['20.00-30.00']


def test_deviations_stand_at_their_means():
    mean = {
        'search/mAP': 0.5,
        'search/top1': 0.75,
        'search/queries_occlusion': 30,
        'det/coco_AP': 0.25,
    }
    deviation = dict(zip(mean, (0.0125, 0.03, 1.25, 0.02), strict=True))
    lines = [line.split() for line in means_table(SplitSummary(mean, deviation)).splitlines()]
    assert lines[1:] == [
        ['50.00%', '75.00%', '-', '-', '-', '-'],
        ['+-', '1.25', '+-', '3.00'],
        [],
        ['search/queries_occlusion', '30', '+-', '1.2'],
        ['det/coco_AP', '25.00%', '+-', '2.00'],
    ]


def comparison(first, second, p_value, better=10, worse=5):
    difference = second - first
    interval = Interval(difference - 0.01, difference + 0.01)
    return Comparison(first, second, interval, p_value, better, worse)


def test_verdicts():
    numbers = (
        'mAP 47.60% against 46.70%, a difference of +0.90 points (95% interval -0.10 to +1.90), '
    )
    say = verdict(comparison(0.467, 0.476, 0.012), 'A.npz', 'B.npz', 0.95)
    assert say == f'B.npz is better than A.npz: {numbers}p = 0.0120.'
    say = verdict(comparison(0.467, 0.476, 0.3), 'A.npz', 'B.npz', 0.95)
    assert say == f'No difference between A.npz and B.npz can be shown: {numbers}p = 0.3000.'
    assert verdict(comparison(0.5, 0.4, 0.001), 'A', 'B', 0.95).startswith('B is worse than A: ')
    same = verdict(comparison(0.5, 0.5, 1.0, 0, 0), 'A', 'B', 0.95)
    assert same == 'A and B do every search equally well.'


def test_comparisons_have_one_line_each():
    found = {'mAP': comparison(0.5, 0.25, 0.5), 'top1_iou75': comparison(0, 1, 0.1)}
    table = comparison_table(found)
    heads, first, second = (line.split() for line in table.splitlines())
    assert heads == ['A', 'B', 'B', '-', 'A', 'interval', 'p', 'better', 'worse']
    assert first == ['mAP', '50.00%', '25.00%', '-25.00', '-26.00', '-24.00', '0.5000', '10', '5']
    assert second[:3] == ['top1_iou75', '0.00%', '100.00%']


def test_nobody_to_find_in_any_search():
    lines = metrics_table({'search/queries': 0.0, 'det/AP': 0.5, 'det/recall': 0.75}).splitlines()
    assert [line.split() for line in lines[-3:]] == [
        ['search/queries', '0'],
        ['det/AP', '50.00%'],
        ['det/recall', '75.00%'],
    ]
