import numpy as np
import pytest

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats.loading import (
    check_coordinates,
    check_ids,
    check_queries,
    drop_boxes_outside,
    drop_boxes_without_area,
    read_scenes,
)
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import Frame, Query, SceneIndex


def frame(name, boxes, ids, camera=-1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Frame(name, bboxes, np.array(ids, np.int64), f'{name}.mat', camera)


def query(name, box, person_id=1):
    return Query(name, np.array(box, np.float32), person_id, 'queries.txt, line 5')


def files_with(monkeypatch, index, test_mode=True):
    monkeypatch.setattr(PRWFiles, 'read', lambda self: index)
    return PRWFiles('data/here', test_mode)


def test_check_coordinates_names_file_and_row():
    good = frame('a.jpg', [[0, 0, 1, 1]], [1])
    check_coordinates([good], [query('a.jpg', [0, 0, 1, 1])])
    bad = frame('b.jpg', [[0, 0, 1, 1], [0, 0, np.nan, 1]], [1, 2])
    with pytest.raises(ValueError, match=r'b\.jpg\.mat: row 1 '):
        check_coordinates([good, bad], [])
    with pytest.raises(ValueError, match='line 5'):
        check_coordinates([good], [query('a.jpg', [0, 0, np.inf, 1])])


def test_dropping_keeps_ids_beside_their_boxes():
    frames = [
        frame('a.jpg', [[0, 0, 1, 1], [2, 2, 2, 5], [3, 3, 4, 4]], [7, 8, 9]),
        frame('b.jpg', [], []),
    ]
    kept, removed = drop_boxes_without_area(frames)
    assert kept[0].bboxes.tolist() == [[0, 0, 1, 1], [3, 3, 4, 4]]
    assert kept[0].person_ids.tolist() == [7, 9]
    assert kept[1] is frames[1]
    assert removed == ['a.jpg.mat (row 1)']


def test_check_queries():
    frames = [frame('a.jpg', [], [])]
    check_queries(frames, [query('a.jpg', [0, 0, 1, 1])])
    with pytest.raises(ValueError, match="line 5: image 'b.jpg'"):
        check_queries(frames, [query('b.jpg', [0, 0, 1, 1])])
    with pytest.raises(ValueError, match='line 5: the box .* has no area'):
        check_queries(frames, [query('a.jpg', [0, 0, 0, 1])])


def test_coordinates_that_no_image_has():
    for far in (1e6 + 1, -2e6):
        with pytest.raises(ValueError, match=r'a\.jpg\.mat: row 0 .*beyond 1,000,000 pixels'):
            check_coordinates([frame('a.jpg', [[0, 0, 1, far]], [1])], [])
    check_coordinates([frame('a.jpg', [[-1e6, 0, 1, 1e6]], [1])], [])


def test_ids():
    frames = [frame('a.jpg', [[0, 0, 1, 1], [0, 0, 1, 1]], [-1, 4])]
    check_ids(frames, [], 5)
    check_ids(frames, [query('a.jpg', [0, 0, 1, 1], 0)], None)
    with pytest.raises(ValueError, match=r'a\.jpg\.mat: row 1 .* id 4; ids are from 0 to 3'):
        check_ids(frames, [], 4)
    with pytest.raises(ValueError, match=r'a\.jpg\.mat: row 0 .* has the id -2'):
        check_ids([frame('a.jpg', [[0, 0, 1, 1]], [-2])], [], None)
    with pytest.raises(ValueError, match='line 5: the id -1'):
        check_ids([], [query('a.jpg', [0, 0, 1, 1], -1)], None)


def test_image_listed_twice(monkeypatch):
    frames = [frame('a.jpg', [], []), frame('b.jpg', [], []), frame('a.jpg', [], [])]
    with pytest.raises(ValueError, match="data/here: image 'a.jpg' is listed twice"):
        read_scenes(files_with(monkeypatch, SceneIndex(frames, 0)))


@pytest.mark.parametrize(
    ('images', 'queries', 'message'),
    [([0, 2], [0], 'gallery 100, images: row 1 is 2'), ([0, 1], [3], 'gallery 100, queries')],
)
def test_gallery_of_images_and_queries_that_are_none(monkeypatch, images, queries, message):
    frames = [frame('a.jpg', [[0, 0, 1, 1]], [1]), frame('b.jpg', [], [])]
    gallery = SearchGalleries([0, 2], images, [], np.empty((0, 4)), queries)
    index = SceneIndex(frames, 0, [query('a.jpg', [0, 0, 1, 1])], {100: gallery})
    with pytest.raises(ValueError, match=f'data/here: {message}'):
        read_scenes(files_with(monkeypatch, index))


def test_other_array_types_become_those_of_the_index(monkeypatch):
    box = np.array([[0, 0, 1.5, 1]])
    made = Frame('a.jpg', box, np.array([1], np.uint8), 'a.mat')
    index, _ = read_scenes(files_with(monkeypatch, SceneIndex([made], 0)))
    assert index.frames[0].bboxes.dtype == np.float32
    assert index.frames[0].person_ids.dtype == np.int64
    np.testing.assert_array_equal(index.frames[0].bboxes, box)


INSIDE = [10.0, 10.0, 30.0, 50.0]


@pytest.mark.parametrize(
    ('box', 'inside'),
    [
        ([100, 10, 120, 50], False),
        ([99.5, 10, 120, 50], True),
        ([10, 60, 30, 90], False),
        ([10, 59, 30, 90], True),
        ([-20, 10, 0, 50], False),
        ([-20, 10, 0.5, 50], True),
        ([10, -40, 30, 0], False),
        ([10, -40, 30, 1], True),
        ([-20, -20, 120, 80], True),
        ([500, 500, 600, 600], False),
    ],
)
def test_boxes_outside_their_image(box, inside):
    """In an image of 100 x 60 pixels; to touch an edge from outside is to be outside."""
    frames = [
        Frame('a.jpg', np.array([INSIDE, box], np.float32), np.array([3, 4]), 'x.mat'),
        Frame('b.jpg', np.array([INSIDE], np.float32), np.array([5]), 'y.mat'),
    ]
    kept, removed = drop_boxes_outside(frames, [(100, 60)] * 2)
    assert kept[0].person_ids.tolist() == [3, 4][: 1 + inside]
    assert kept[0].bboxes.tolist() == [INSIDE, box][: 1 + inside]
    assert kept[1] is frames[1]
    text = ', '.join(str(float(value)) for value in box)
    place = f'x.mat: a.jpg, [{text}] (x1, y1, x2, y2) in an image of 100 x 60 pixels'
    assert removed == [place] * (not inside)
    # without its size, only what ends left of the image or above it is known to be outside
    assert len(drop_boxes_outside(frames, [None] * 2)[1]) == (min(box[2:]) <= 0)
