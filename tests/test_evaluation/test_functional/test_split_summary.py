import pytest

from mmps.evaluation.functional import summarise_splits


def test_by_hand():
    splits = {
        0: {'search/mAP': 0.2, 'det/AP': 1.0, 'search/queries': 7.0},
        1: {'search/mAP': 0.4, 'det/AP': 1.0},
        7: {'det/AP': 1.0, 'search/mAP': 0.6, 'search/mAP_gt_boxes': 0.5},
    }
    summary = summarise_splits(splits)
    assert summary.mean == pytest.approx({'search/mAP': 0.4, 'det/AP': 1.0})
    # squares of -0.2, 0 and 0.2, divided by two
    assert summary.deviation == pytest.approx({'search/mAP': 0.2, 'det/AP': 0.0})
    assert list(summary.mean) == ['search/mAP', 'det/AP']


def test_one_split_has_no_deviation():
    with pytest.raises(ValueError, match='1 split given; .* two at least'):
        summarise_splits({3: {'det/AP': 0.5}})
