import numpy as np

from mmps.formats.scene_index import (
    Frame,
    Query,
    SceneIndex,
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
