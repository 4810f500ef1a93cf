import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.scene_indices import assert_same_index, random_index
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.coco.boxes import to_xywh
from mmps.formats.coco.writer import coco_document, write_coco
from mmps.formats.loading import read_scenes
from mmps.formats.scene_index import Frame, Query, SceneIndex


def read_back(folder, index, test_mode):
    path = folder / ('test.json' if test_mode else 'train.json')
    write_coco(path, index, test_mode=test_mode)
    return CocoPersonSearchFiles(folder, test_mode).read()


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), test_mode=st.booleans(), listed=st.booleans())
def test_reading_back_gives_the_same_index(tmp_path_factory, seed, test_mode, listed):
    rng = np.random.default_rng(seed)
    index = random_index(rng, test_mode=test_mode, galleries=(50, 100, 'hard') if listed else ())
    assert_same_index(read_back(tmp_path_factory.mktemp('c'), index, test_mode), index)


SIZES = st.floats(2**-10, 1e4, width=32)
COORDINATES = st.one_of(st.just(0.0), SIZES, SIZES.map(lambda size: -size))


@settings(max_examples=300, deadline=None)
@given(st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES))
def test_boxes_lose_no_bit(values):
    x1, x2 = sorted(values[::2])
    y1, y2 = sorted(values[1::2])
    x, y, width, height = json.loads(json.dumps(to_xywh(np.array([x1, y1, x2, y2], np.float32))))
    corners = np.array([x, y, x + width, y + height], np.float32)
    np.testing.assert_array_equal(corners, np.array([x1, y1, x2, y2], np.float32))


def test_boxes_are_written_as_people_write_them():
    assert to_xywh(np.array([10.3, 2, 40.6, 5.25], np.float32)) == [10.3, 2, 30.3, 3.25]


def frame(name, boxes, ids, camera=-1):
    bboxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Frame(name, bboxes, np.array(ids, np.int64), 'x', camera)


def query(name, box, person_id):
    return Query(name, np.array(box, np.float32), person_id, 'x')


FRAMES = [frame('a', [[0, 0, 2, 3], [1, 1, 4, 4]], [7, -1], 2), frame('b', [[0, 0, 2, 3]], [7])]


def test_the_file_by_hand(tmp_path):
    index = SceneIndex(FRAMES, 0, [query('b', [0, 0, 2, 3], 7)])
    path = tmp_path / 'new' / 'test.json'
    names = {'cameras': [(2, 'hall')]}
    write_coco(path, index, test_mode=True, sizes=[(9, 8), (7, 6)], names=names)
    common = dict(category_id=1, iscrowd=0)
    assert json.loads(path.read_text()) == {
        'images': [
            {'id': 1, 'file_name': 'a', 'width': 9, 'height': 8, 'cam_id': 2},
            {'id': 2, 'file_name': 'b', 'width': 7, 'height': 6},
        ],
        'annotations': [
            dict(id=1, image_id=1, bbox=[0, 0, 2, 3], area=6, person_id=7, **common),
            dict(id=2, image_id=1, bbox=[1, 1, 3, 3], area=9, person_id=-1, **common),
            dict(id=3, image_id=2, bbox=[0, 0, 2, 3], area=6, person_id=7, is_query=True, **common),
        ],
        'categories': [{'id': 1, 'name': 'person'}],
        'cameras': [{'id': 2, 'name': 'hall'}],
    }
    lines = path.read_text().splitlines()
    assert sum(line.startswith('{"id"') for line in lines) == 7
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    'queries',
    [
        [query('b', [0, 0, 2, 3], 7), query('a', [0, 0, 2, 3], 7)],  # another order
        [query('a', [0, 0, 2, 3.5], 7)],  # another box
        [query('a', [0, 0, 2, 3], 8)],  # another person
        [query('a', [0, 0, 2, 3], 7), query('a', [0, 0, 2, 3], 7)],  # twice
        [],
    ],
)
def test_queries_that_marks_cannot_tell_get_a_list(tmp_path, queries):
    index = SceneIndex(FRAMES, 0, queries)
    document = coco_document(index, test_mode=True)
    assert len(document['queries']) == len(queries)
    assert not any('is_query' in entry for entry in document['annotations'])
    assert_same_index(read_back(tmp_path, index, True), index)


def test_two_equal_boxes_can_be_two_queries(tmp_path):
    frames = [frame('a', [[0, 0, 2, 3], [0, 0, 2, 3]], [7, 7])]
    index = SceneIndex(frames, 0, [query('a', [0, 0, 2, 3], 7)] * 2)
    assert 'queries' not in coco_document(index, test_mode=True)
    assert_same_index(read_back(tmp_path, index, True), index)


def test_training_ids_nobody_shows_are_listed(tmp_path):
    index = SceneIndex([frame('a', [[0, 0, 2, 3]], [2])], 4)
    assert coco_document(index, test_mode=False)['train_ids'] == [0, 1, 2, 3]
    assert_same_index(read_back(tmp_path, index, False), index)
    index = replace(index, frames=[frame('a', [[0, 0, 2, 3]], [0])], num_ids=1)
    assert 'train_ids' not in coco_document(index, test_mode=False)


def test_boxes_without_area_survive_the_file_and_are_removed_from_both(tmp_path):
    index = SceneIndex([frame('a', [[5, 5, 5, 9], [0, 0, 2, 3]], [0, 0])], 1)
    read_back(tmp_path, index, False)
    back, removed = read_scenes(CocoPersonSearchFiles(tmp_path))
    assert back.frames[0].bboxes.tolist() == [[0, 0, 2, 3]]
    assert len(removed) == 1


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / 'test.json'
    path.write_text('old')
    index = SceneIndex([frame('a', [[0, 0, 2, np.nan]], [0])], 1)
    with pytest.raises(ValueError):
        write_coco(path, index, test_mode=True)
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]
