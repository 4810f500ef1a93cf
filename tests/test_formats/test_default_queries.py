import numpy as np

from mmps.formats.default_queries import first_per_camera
from mmps.formats.scene_index import Frame

BOX = [1, 2, 3, 4]


def frame(name, ids, camera, bboxes=None):
    boxes = np.array(bboxes or [BOX] * len(ids), np.float32).reshape(-1, 4)
    return Frame(name, boxes, np.array(ids, np.int64), f'{name}.json', camera)


def test_the_first_of_each_person_in_each_camera():
    frames = [
        frame('a', [5, -1, 6], 1),
        frame('b', [7, 5], 2),
        frame('c', [5, 6], 1),
        frame('d', [], 3),
        frame('e', [5, 5], 2),
    ]
    queries = first_per_camera(frames)
    # 7 is in one image only, and 5 of frames c and e was in camera 1 and 2 before
    assert [(q.image_name, q.person_id) for q in queries] == [('a', 5), ('a', 6), ('b', 5)]
    assert queries[2].bbox.tolist() == BOX
    assert queries[2].source == 'b.json (row 1)'


def test_twice_in_one_image_is_not_twice():
    assert first_per_camera([frame('a', [5, 5], 1), frame('b', [], 1)]) == []


def test_unknown_cameras_are_one():
    queries = first_per_camera([frame('a', [5], -1), frame('b', [5], -1)])
    assert [query.image_name for query in queries] == ['a']


def test_boxes_without_area_are_no_queries():
    flat = [1, 2, 1, 4]
    frames = [frame('a', [5, 5], 1, [flat, BOX]), frame('b', [5], 1)]
    assert first_per_camera(frames)[0].bbox.tolist() == BOX
    assert first_per_camera([frame('a', [5], 1, [flat]), frame('b', [5], 1)]) == []
