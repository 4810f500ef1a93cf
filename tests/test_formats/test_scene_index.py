import numpy as np
import pytest

from mmps.formats.scene_index import (
    Frame,
    Query,
    SceneIndex,
    first_per_camera,
    has_area,
    to_search_annotations,
    training_index,
)

BOX = [1, 2, 3, 4]


def frame(name, boxes, ids, camera=-1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Frame(name, bboxes, np.array(ids, np.int64), f'{name}.mat', camera)


def query(name, box, person_id=1):
    return Query(name, np.array(box, np.float32), person_id, 'queries.txt, line 5')


def test_has_area():
    boxes = np.array([[0, 0, 1, 1], [3, 0, 3, 9], [0, 5, 9, 4]], np.float32)
    assert has_area(boxes).tolist() == [True, False, False]
    assert has_area(np.empty((0, 4), np.float32)).shape == (0,)


def test_training_ids_become_ranks():
    frames = [frame('a.jpg', [BOX, BOX], [70, -1]), frame('b.jpg', [BOX, BOX], [9, 70])]
    index = training_index([*frames, frame('c.jpg', [], [])])
    assert [f.person_ids.tolist() for f in index.frames] == [[1, -1], [0, 1], []]
    assert (index.num_ids, index.raw_ids.tolist()) == (2, [9, 70])
    assert training_index(frames, [100, 9, 70]).num_ids == 3
    for listed, row, person in (([70], 0, 9), ([9], 0, 70)):
        name = 'b' if person == 9 else 'a'
        message = rf'{name}\.jpg\.mat: row {row} .* has the id {person}, .* the 1 of ids\.mat; add'
        with pytest.raises(ValueError, match=message):
            training_index(frames, listed, 'ids.mat')
    assert training_index([]).num_ids == 0


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


def seen(name, ids, camera, bboxes=None):
    boxes = np.array(bboxes or [BOX] * len(ids), np.float32).reshape(-1, 4)
    return Frame(name, boxes, np.array(ids, np.int64), f'{name}.json', camera)


def test_the_first_of_each_person_in_each_camera():
    frames = [
        seen('a', [5, -1, 6], 1),
        seen('b', [7, 5], 2),
        seen('c', [5, 6], 1),
        seen('d', [], 3),
        seen('e', [5, 5], 2),
    ]
    queries = first_per_camera(frames)
    # 7 is in one image only, and 5 of frames c and e was in camera 1 and 2 before
    assert [(q.image_name, q.person_id) for q in queries] == [('a', 5), ('a', 6), ('b', 5)]
    assert queries[2].bbox.tolist() == BOX
    assert queries[2].source == 'b.json (row 1)'


def test_twice_in_one_image_is_not_twice():
    assert first_per_camera([seen('a', [5, 5], 1), seen('b', [], 1)]) == []


def test_unknown_cameras_are_one():
    queries = first_per_camera([seen('a', [5], -1), seen('b', [5], -1)])
    assert [query.image_name for query in queries] == ['a']


def test_boxes_without_area_are_no_queries():
    flat = [1, 2, 1, 4]
    frames = [seen('a', [5, 5], 1, [flat, BOX]), seen('b', [5], 1)]
    assert first_per_camera(frames)[0].bbox.tolist() == BOX
    assert first_per_camera([seen('a', [5], 1, [flat]), seen('b', [5], 1)]) == []
