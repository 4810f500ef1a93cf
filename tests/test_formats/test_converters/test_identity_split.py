import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.converters.identity_split import split_by_identity


def test_people_seen_together_stay_together():
    """Two groups of five who never meet: each goes to one side as a whole."""
    rng = np.random.default_rng(0)
    groups = [list(range(5)), list(range(5, 10))]
    people = [rng.choice(groups[k % 2], 3, replace=False).tolist() for k in range(40)]
    for seed in range(5):
        test_ids, is_test = split_by_identity(people, 0.5, seed)
        assert sorted(test_ids) in groups
        assert is_test == [set(image) <= test_ids for image in people]


def test_the_same_seed_gives_the_same_split_and_another_another():
    people = [[k, (k + 1) % 20] for k in range(20)]
    splits = [split_by_identity(people, 0.3, seed) for seed in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len({frozenset(ids) for ids, _ in splits}) > 1
    assert all(len(ids) == 6 for ids, _ in splits)


def test_an_image_goes_to_the_side_most_of_its_people_are_on():
    people = [[1, 2, 3], [1, 2], [3, 3, 1], [2]]
    test_ids, is_test = split_by_identity(people, 0.34, 0, tested=[3])
    assert test_ids == {3}
    # 1 of 3; none; 1 of 2, a draw, for nobody counts twice, and a third of 4 is to be tested; none
    assert is_test == [False, False, True, False]


def test_people_to_be_tested_are():
    people = [[k] for k in range(10)]
    test_ids, _ = split_by_identity(people, 0.3, 0, tested=[9, 2, 9])
    assert {2, 9} < test_ids
    assert len(test_ids) == 3
    test_ids, _ = split_by_identity(people, 0.1, 0, tested=[1, 2, 3])
    assert test_ids == {1, 2, 3}


def test_images_of_nobody_known_and_draws_make_the_test_set_as_large_as_asked():
    people = [[1], [1], [2], *([] for _ in range(500)), *([1, 2] for _ in range(497))]
    _, is_test = split_by_identity(people, 0.3, 0, tested=[2])
    assert is_test[:3] == [False, False, True]
    assert sum(is_test) == 300
    # drawn, not taken in order: about 150 on each side
    assert 100 < sum(is_test[3:503]) < 200


@pytest.mark.parametrize(
    ('people', 'share'), [([[1], [1]], 0.5), ([[], []], 0.5), ([[1], [2]], 0.0), ([[1], [2]], 1.0)]
)
def test_what_cannot_be_split(people, share):
    with pytest.raises(ValueError, match='labelled people cannot be split with a test share of'):
        split_by_identity(people, share, 0)


@settings(max_examples=50, deadline=None)
@given(
    people=st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=12),
    share=st.floats(0.2, 0.8),
    seed=st.integers(0, 100),
)
def test_any_images(people, share, seed):
    ids = {person for image in people for person in image}
    wanted = round(share * len(ids))
    if not 0 < wanted < len(ids):
        return
    test_ids, is_test = split_by_identity(people, share, seed)
    assert test_ids < ids and len(test_ids) == wanted
    for image, tested in zip(people, is_test, strict=True):
        there, elsewhere = len(set(image) & test_ids), len(set(image) - test_ids)
        assert there == elsewhere or tested == (there > elsewhere)


def test_no_side_is_left_without_an_image():
    """The split with fewest people on the wrong side would be {0, 1}, who are in every image."""
    people = [[0, 1, 2], [0, 1], [0, 1], [0, 1]]
    for seed in range(10):
        tested, is_test = split_by_identity(people, 0.5, seed)
        assert len(tested) == 2
        assert sum(is_test) == 2
