"""What each protocol searches and for whom, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from mmps.evaluation.functional import SearchAnnotations, SearchGalleries
from mmps.evaluation.functional.galleries import make_gallery

PEOPLE = [[7], [7, 8], [-1], [7, 7], []]
"""Ids annotated in each of five images; the cameras are 1, 1, 2, 2, 2."""


def box(row):
    return [row, 0, row + 10, 20]


@pytest.fixture
def annotations():
    ids = [person for image in PEOPLE for person in image]
    return SearchAnnotations(
        image_names=[f'{i}.jpg' for i in range(5)],
        cameras=[1, 1, 2, 2, 2],
        box_splits=np.cumsum([0, *map(len, PEOPLE)]),
        bboxes=[box(row) for row in range(len(ids))],
        person_ids=ids,
        query_images=[0, 1, 1],
        query_bboxes=[box(0), box(1), box(2)],
        query_person_ids=[7, 7, 8],
    )


def describe(gallery):
    """For each search: query, images searched, positive images, first x of their boxes, count."""
    positives = gallery.positives
    return [
        (
            int(query),
            np.flatnonzero(gallery.searched(search)).tolist(),
            positives.images[positives.splits[search] : positives.splits[search + 1]].tolist(),
            positives.bboxes[positives.splits[search] : positives.splits[search + 1], 0].tolist(),
            int(positives.counts[search]),
        )
        for search, query in enumerate(gallery.queries)
    ]


def test_without_galleries_every_other_image_is_searched(annotations):
    assert describe(make_gallery(annotations)) == [
        (0, [1, 2, 3, 4], [1, 3], [1, 4], 2),
        (1, [0, 2, 3, 4], [0, 3], [0, 4], 2),
        (2, [0, 2, 3, 4], [], [], 0),
    ]


def test_across_cameras_and_in_one_camera(annotations):
    assert describe(make_gallery(annotations, cross_camera=True)) == [
        (0, [2, 3, 4], [3], [4], 1),
        (1, [2, 3, 4], [3], [4], 1),
        (2, [2, 3, 4], [], [], 0),
    ]
    assert describe(make_gallery(annotations, camera=1)) == [
        (0, [1], [1], [1], 1),
        (1, [0], [0], [0], 1),
        (2, [0], [], [], 0),
    ]


@pytest.fixture
def listed(annotations):
    """Query 1 is searched twice, 0 once and 2 not at all; images repeat in the last search."""
    galleries = SearchGalleries(
        splits=[0, 2, 4, 9],
        images=[3, 4, 0, 2, 2, 3, 3, 2, 1],
        positives=[0, 2, 6, 7, 8],
        bboxes=[box(4), box(0), box(5), box(50), box(1)],
        queries=[1, 1, 0],
    )
    return replace(annotations, galleries={5: galleries})


def test_listed_searches_come_in_the_order_of_their_queries(listed):
    # a repeated image is searched once, for the box of its first entry, and counts each time
    assert describe(make_gallery(listed, gallery_size=5)) == [
        (0, [1, 2, 3], [1], [1], 3),
        (1, [3, 4], [3], [4], 1),
        (1, [0, 2], [0], [0], 1),
    ]


def test_listed_images_of_one_camera(listed):
    assert describe(make_gallery(listed, gallery_size=5, camera=1)) == [
        (0, [1], [1], [1], 1),
        (1, [], [], [], 0),
        (1, [0], [0], [0], 1),
    ]
    assert describe(make_gallery(listed, gallery_size=5, cross_camera=True)) == [
        (0, [2, 3], [], [], 2),
        (1, [3, 4], [3], [4], 1),
        (1, [2], [], [], 0),
    ]


def test_all_images_for_the_people_of_the_largest_gallery(listed):
    """The own image stays only where it is listed."""
    own = SearchGalleries([0, 2], [1, 0], [0, 1], [box(1), box(0)], [0])
    both = replace(listed, galleries={**listed.galleries, 9: own, 'occlusion': own})
    assert describe(make_gallery(both, gallery_size='all')) == [
        (0, [0, 1, 2, 3, 4], [1, 0], [1, 0], 2)
    ]
    assert describe(make_gallery(listed, gallery_size='all'))[1] == (1, [0, 2, 3, 4], [3], [4], 1)
    assert describe(make_gallery(both, gallery_size='all', cross_camera=True)) == [
        (0, [2, 3, 4], [], [], 0)
    ]


def test_a_gallery_that_is_called_all_is_taken(listed):
    named = replace(listed, galleries={**listed.galleries, 'all': listed.galleries[5]})
    assert describe(make_gallery(named, gallery_size='all')) == describe(
        make_gallery(listed, gallery_size=5)
    )


def test_what_cannot_be_searched_is_an_error(annotations, listed):
    with pytest.raises(ValueError, match=r'there is no gallery 100; this test set has \[5\]'):
        make_gallery(listed)
    only_named = replace(listed, galleries={'occlusion': listed.galleries[5]})
    with pytest.raises(ValueError, match="there is no gallery 'all'"):
        make_gallery(only_named, gallery_size='all')
    unknown = replace(annotations, cameras=[1, 1, -1, 2, 2])
    with pytest.raises(ValueError, match="cross_camera: the camera of '2.jpg' is unknown"):
        make_gallery(unknown, cross_camera=True)
    with pytest.raises(ValueError, match="camera_pairs: the camera of '2.jpg' is unknown"):
        make_gallery(unknown, camera=1)
    nobody = replace(annotations, query_images=[], query_bboxes=[], query_person_ids=[])
    with pytest.raises(ValueError, match='this test set has no query'):
        make_gallery(nobody)
