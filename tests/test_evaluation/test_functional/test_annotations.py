import dataclasses

import numpy as np
import pytest

from mmps.evaluation.functional import SearchAnnotations, SearchGalleries
from mmps.evaluation.functional.annotations import gather_slices, splits_of


def annotations(**changes):
    values = dict(
        image_names=('a.jpg', 'b.jpg'),
        cameras=[1, 2],
        box_splits=[0, 1, 2],
        bboxes=[[0, 0, 10, 20], [5, 5, 15, 25]],
        person_ids=[7, -1],
        query_images=[0],
        query_bboxes=[[0, 0, 10, 20]],
        query_person_ids=[7],
    )
    return SearchAnnotations(**{**values, **changes})


def test_arrays_get_their_dtypes():
    given = annotations()
    assert given.image_names == ('a.jpg', 'b.jpg')
    assert given.bboxes.dtype == given.query_bboxes.dtype == np.float32
    for name in ('cameras', 'box_splits', 'person_ids', 'query_images', 'query_person_ids'):
        assert getattr(given, name).dtype == np.int64
    assert (given.num_images, given.num_queries) == (2, 1)
    assert given.galleries == {}


def test_a_test_set_without_people_or_queries_is_valid():
    empty = annotations(
        box_splits=[0, 0, 0],
        bboxes=[],
        person_ids=[],
        query_images=[],
        query_bboxes=[],
        query_person_ids=[],
    )
    assert empty.bboxes.shape == empty.query_bboxes.shape == (0, 4)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(image_names=('a.jpg', 'a.jpg')), "image_names: 'a.jpg' occurs more than once"),
        (dict(cameras=[1]), r'cameras: 1 rows given, 2 expected'),
        (dict(cameras=[1.5, 2.0]), 'cameras: cannot be read as int64'),
        (dict(box_splits=[0, 1]), 'box_splits: 2 rows given, 3 expected'),
        (dict(box_splits=[0, 1, 3]), r'box_splits: must start at 0.*number of rows \(2\)'),
        (dict(box_splits=[0, 3, 2]), 'box_splits: must start at 0, never decrease'),
        (dict(bboxes=[[0, 0, 10], [1, 1, 2]]), r'bboxes: shape \(2, 3\) given, \(n, 4\) expected'),
        (dict(bboxes=[[0, 0, 10, 20], [5, 5, 5, 25]]), 'bboxes: row 1 .*x1 < x2'),
        (dict(bboxes=[[0, 0, np.nan, 20], [5, 5, 6, 25]]), 'bboxes: row 0 .*nan'),
        (dict(bboxes=[[0, 0, 'x', 20], [5, 5, 6, 25]]), 'bboxes: cannot be read as float32'),
        (dict(person_ids=[7]), 'person_ids: 1 rows given, 2 expected'),
        (dict(person_ids=[7, -2]), 'person_ids: row 1 is -2; use -1 for an unlabelled person'),
        (dict(query_images=[2]), 'query_images: row 0 is 2, but there are 2 images'),
        (dict(query_bboxes=[[0, 0, 10, 20]] * 2), 'query_bboxes: 2 rows given, 1 expected'),
        (dict(query_person_ids=[-1]), 'query_person_ids: row 0 is negative'),
    ],
)
def test_bad_annotations_name_array_row_and_fix(changes, message):
    with pytest.raises(ValueError, match=message):
        annotations(**changes)


def test_annotations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        annotations().cameras = np.zeros(2)


def test_galleries_search_each_query_once_unless_told_otherwise():
    galleries = SearchGalleries([0, 2, 3], [0, 1, 1], [0], [[1, 2, 3, 4]])
    assert galleries.queries.tolist() == [0, 1]
    assert len(galleries) == 2


BOX = [1, 2, 3, 4]


@pytest.mark.parametrize(
    ('arrays', 'message'),
    [
        (([0, 3], [0, 1], [0], [BOX]), 'galleries.splits: must start at 0'),
        (([], [0], [0], [BOX]), 'galleries.splits: 0 rows given, 1 expected'),
        (([0, 2], [0, 1], [0, 1], [BOX]), 'galleries.bboxes: 1 rows given, 2 expected'),
        (([0, 2], [0, 1], [2], [BOX]), 'galleries.positives: row 0 is 2, but there are 2'),
        (([0, 2], [0, 1], [1, 0], [BOX] * 2), 'galleries.positives: .* ascending'),
        (([0, 1], [0], [0], [[1, 2, 1, 4]]), 'galleries.bboxes.*row 0'),
        (([0, 1], [0], [0], [[1, np.nan, 3, 4]]), 'galleries.bboxes.*row 0'),
        (([0, 1], [0], [0], [BOX], [0, 1]), 'galleries.queries: 2 rows given, 1 expected'),
    ],
)
def test_bad_galleries_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        SearchGalleries(*arrays)


@pytest.mark.parametrize(
    ('galleries', 'message'),
    [
        (SearchGalleries([0, 1], [5], [0], [BOX]), r'galleries\[50\].images: row 0 is 5'),
        (SearchGalleries([0, 1, 1], [0], [], []), r'galleries\[50\].queries: row 1 is 1'),
    ],
)
def test_galleries_must_fit_the_test_set(galleries, message):
    with pytest.raises(ValueError, match=message):
        annotations(galleries={50: galleries})


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
