from itertools import combinations

import numpy as np
import pytest

from mmps.visualization.labels import place_labels


def places(bboxes, size=(20, 10), frame=(200, 100)):
    return place_labels(np.array(bboxes, float), [size] * len(bboxes), frame)


def test_above_the_box_where_there_is_room():
    (label,) = places([[50, 30, 80, 90]])
    assert (label.place, label.left, label.top) == ('above-left', 50, 20)


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ([50, 5, 80, 60], 'below-left'),  # half of it would be outside of the image
        ([190, 30, 200, 90], 'above-right'),
        ([50, 0, 80, 100], 'beside-left'),
        ([0, 0, 30, 100], 'beside-right'),
        ([0, 0, 200, 100], 'inside-top'),
    ],
)
def test_at_an_edge(box, expected):
    assert places([box])[0].place == expected


def test_of_neighbours_no_label_hides_another_one():
    # the first would hide the second's head, and the second's label the first one's
    first, second = places([[50, 30, 60, 90], [62, 25, 72, 85]])
    assert (first.place, first.left) == ('above-right', 40)
    assert second.place == 'above-left'


def test_far_labels_are_for_those_who_have_no_room_beside_them():
    chosen = [label.place for label in places([[90, 40, 100, 60]] * 7)]
    assert chosen[:5] == [
        'above-left',
        'below-left',
        'beside-left',
        'beside-right',
        'inside-bottom',
    ]
    assert chosen[5:] == ['higher-left', 'lower-left']


def test_a_crowd():
    rng = np.random.default_rng(0)
    left, top, width = rng.uniform([0, 0, 20], [900, 400, 60], (25, 3)).T
    bboxes = np.stack([left, top, left + width, top + 3 * width], 1)
    labels = place_labels(bboxes, [(24, 18)] * 25, (1000, 600))
    for one, other in combinations(labels, 2):
        assert abs(one.left - other.left) >= 24 or abs(one.top - other.top) >= 18
    assert all(0 <= label.left <= 976 and 0 <= label.top <= 582 for label in labels)


def test_nobody():
    assert places(np.zeros((0, 4))) == []
