import numpy as np
import pytest

from mmps.datasets.scene_index import (
    Frame,
    Query,
    SceneIndex,
    check_finite,
    check_queries,
    drop_boxes_without_area,
    has_area,
    to_search_annotations,
)


def frame(name, boxes, ids, camera=-1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Frame(name, bboxes, np.array(ids, np.int64), f'{name}.mat', camera)


def query(name, box, person_id=1):
    return Query(name, np.array(box, np.float32), person_id, 'queries.txt, line 5')


def test_has_area():
    boxes = np.array([[0, 0, 1, 1], [3, 0, 3, 9], [0, 5, 9, 4]], np.float32)
    assert has_area(boxes).tolist() == [True, False, False]
    assert has_area(np.empty((0, 4), np.float32)).shape == (0,)


def test_check_finite_names_file_and_row():
    good = frame('a.jpg', [[0, 0, 1, 1]], [1])
    check_finite([good], [query('a.jpg', [0, 0, 1, 1])])
    bad = frame('b.jpg', [[0, 0, 1, 1], [0, 0, np.nan, 1]], [1, 2])
    with pytest.raises(ValueError, match=r'b\.jpg\.mat: row 1 '):
        check_finite([good, bad], [])
    with pytest.raises(ValueError, match='line 5'):
        check_finite([good], [query('a.jpg', [0, 0, np.inf, 1])])


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


def test_annotations_by_hand():
    frames = [
        frame('a.jpg', [[0, 0, 1, 1], [1, 1, 3, 3]], [5, -1], camera=2),
        frame('b.jpg', [], []),
        frame('c.jpg', [[4, 4, 6, 6]], [5], camera=1),
    ]
    queries = [query('c.jpg', [4, 4, 6, 6], 5), query('a.jpg', [0, 0, 1, 1], 5)]
    annotations = to_search_annotations(SceneIndex(frames, 0, queries))
    assert annotations.image_names == ('a.jpg', 'b.jpg', 'c.jpg')
    assert annotations.cameras.tolist() == [2, -1, 1]
    assert annotations.box_splits.tolist() == [0, 2, 2, 3]
    assert annotations.bboxes.tolist() == [[0, 0, 1, 1], [1, 1, 3, 3], [4, 4, 6, 6]]
    assert annotations.person_ids.tolist() == [5, -1, 5]
    assert annotations.query_images.tolist() == [2, 0]
    assert annotations.query_bboxes.tolist() == [[4, 4, 6, 6], [0, 0, 1, 1]]
    assert annotations.query_person_ids.tolist() == [5, 5]


def test_annotations_of_nothing_but_empty_frames():
    annotations = to_search_annotations(SceneIndex([frame('a.jpg', [], [])], 0))
    assert annotations.bboxes.shape == (0, 4)
    assert annotations.num_queries == 0
