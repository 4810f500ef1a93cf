import numpy as np

from mmps.evaluation.functional.ragged import gather_slices, splits_of


def test_slices_are_listed_in_the_given_order_with_repeats_and_empty_groups():
    splits = np.array([0, 2, 2, 5])
    owners, rows = gather_slices(splits, np.array([2, 1, 0, 2]))
    assert owners.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert rows.tolist() == [2, 3, 4, 0, 1, 2, 3, 4]


def test_no_group_gives_no_row():
    owners, rows = gather_slices(np.array([0, 2]), np.zeros(0, np.int64))
    assert len(owners) == len(rows) == 0


def test_splits_invert_owners():
    assert splits_of(np.array([0, 0, 2]), 4).tolist() == [0, 2, 2, 3, 3]
