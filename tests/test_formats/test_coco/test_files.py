import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from helpers.coco_files import document, galleries, read, refuse

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.loading import read_scenes


def test_a_test_file_by_hand(tmp_path):
    index = read(tmp_path, document())
    first, second = index.frames
    assert (first.name, first.camera) == ('cam1/a.jpg', 1)
    assert first.bboxes.tolist() == [[1.5, 2, 4.5, 6.25], [0, 0, 9, 9], [4, 4, 13, 13]]
    assert first.bboxes.dtype == np.float32
    assert first.person_ids.tolist() == [70, -1, 9]
    assert (second.name, second.person_ids.tolist()) == ('cam2/b.jpg', [70])
    (query,) = index.queries
    assert (query.image_name, query.person_id) == ('cam2/b.jpg', 70)
    assert query.bbox.tolist() == [10, 20, 40, 60]
    assert query.source == f'{tmp_path}/test.json: annotations[0]'
    assert (index.num_ids, index.galleries) == (0, {})


def test_training_ids_are_ranks_of_the_raw_ids(tmp_path):
    index = read(tmp_path, document(), test_mode=False)
    assert index.num_ids == 2
    assert [frame.person_ids.tolist() for frame in index.frames] == [[1, -1, 0], [1]]
    assert index.queries == ()


def test_listed_training_ids_count_even_if_nobody_shows_them(tmp_path):
    content = document() | {'train_ids': [100, 70, 9]}
    index = read(tmp_path, content, test_mode=False)
    assert index.num_ids == 3
    assert index.frames[0].person_ids.tolist() == [1, -1, 0]
    message = r'annotations\[1\]: id 70 is not among the 1 ids of train_ids; add it'
    refuse(tmp_path, content | {'train_ids': [9]}, message, test_mode=False)
    refuse(tmp_path, content | {'train_ids': [9, 9]}, 'train_ids: list each', test_mode=False)
    refuse(tmp_path, content | {'train_ids': [9, '7']}, r'train_ids\[1\]: "7"', test_mode=False)


def test_files_and_folders(tmp_path):
    files = CocoPersonSearchFiles(tmp_path)
    assert files.path == tmp_path / 'train.json'
    assert files.sources() == [files.path]
    assert files.image_root == tmp_path / 'images'
    files = CocoPersonSearchFiles(tmp_path, True, ann_file='a/all.json', image_folder='frames')
    assert files.path == tmp_path / 'a/all.json'
    assert files.image_root == tmp_path / 'frames'
    with pytest.raises(FileNotFoundError, match='all.json: this annotation file is missing'):
        files.read()


def test_one_file_for_both_splits(tmp_path):
    content = document()
    content['images'][0]['split'], content['images'][1]['split'] = 'train', 'test'
    test = read(tmp_path, content)
    assert [frame.name for frame in test.frames] == ['cam2/b.jpg']
    assert [query.person_id for query in test.queries] == [70]
    train = read(tmp_path, content, test_mode=False)
    assert [frame.name for frame in train.frames] == ['cam1/a.jpg']
    assert train.num_ids == 2
    del content['images'][1]['split']
    refuse(tmp_path, content, r'images\[1\].split: either every image has a split or none')
    content['images'][1]['split'] = 'val'
    refuse(tmp_path, content, r'images\[1\].split: "val" is neither "train" nor "test"')


def test_a_query_marked_in_a_training_image_is_no_test_query(tmp_path):
    content = document()
    content['images'][0]['split'], content['images'][1]['split'] = 'test', 'train'
    refuse(tmp_path, content, 'no query in this test file')


def test_the_form_of_alignps_and_pstr(tmp_path):
    """No cameras, no queries; raw ids and -2 for the test."""
    content = document()
    for image in content['images']:
        del image['cam_id']
    for entry in content['annotations']:
        entry.pop('is_query', None)
        entry |= {'area': 1.0, 'iscrowd': 0, 'person_id': {-1: -2}.get(entry['person_id'], 484)}
    refuse(tmp_path, content, "no query in this test file; .*default_queries='first_per_camera'")
    index = read(tmp_path, content, default_queries='first_per_camera')
    assert index.frames[0].person_ids.tolist() == [484, -1, 484]
    assert index.frames[0].camera == -1
    assert [(q.image_name, q.bbox.tolist()) for q in index.queries] == [
        ('cam1/a.jpg', [1.5, 2, 4.5, 6.25])
    ]


def test_the_form_of_haiyang426(tmp_path):
    """Cameras and queries on annotations, instance_id, 5555 for unlabelled people."""
    content = document()
    for image in content['images']:
        del image['cam_id']
    for entry, camera in zip(content['annotations'], (6, 4, 4, 4), strict=True):
        person = entry.pop('person_id')
        entry['instance_id'] = 5555 if person == -1 else person
        entry |= {'cam_id': camera, 'isquery': entry.pop('is_query', False), 'iscrowd': False}
    refuse(tmp_path, content, "none of 4 has 'person_id', but id, .*instance_id.*id_key")
    index = read(tmp_path, content, id_key='instance_id', unlabelled_ids=(5555,))
    assert [frame.camera for frame in index.frames] == [4, 6]
    assert index.frames[0].person_ids.tolist() == [70, -1, 9]
    assert [query.person_id for query in index.queries] == [70]


@pytest.mark.parametrize('key', ['iscrowd', 'ignore'])
def test_crowds_and_what_is_to_be_ignored_are_left_out(tmp_path, key):
    content = document()
    content['annotations'][1][key] = 1
    index = read(tmp_path, content)
    assert index.frames[0].person_ids.tolist() == [-1, 9]


def test_other_categories_are_left_out(tmp_path):
    content = document()
    content['categories'] = [{'id': 7, 'name': 'dog'}, {'id': 1, 'name': 'Person'}]
    content['annotations'][1]['category_id'] = 7
    assert read(tmp_path, content).frames[0].person_ids.tolist() == [-1, 9]
    content['categories'][1]['name'] = 'pedestrian'
    refuse(tmp_path, content, 'categories: none of dog, pedestrian is called "person"')
    content['categories'] = [{'id': 1, 'name': 'pedestrian'}]
    refuse(tmp_path, content, r'annotations\[1\].category_id: 7 is not among the categories')
    del content['categories']
    assert len(read(tmp_path, content).frames[0].bboxes) == 3


def test_nobody_without_an_id(tmp_path):
    content = document()
    del content['annotations'][1]['person_id']
    content['annotations'][3]['person_id'] = None
    assert read(tmp_path, content).frames[0].person_ids.tolist() == [-1, -1, -1]


def test_boxes_without_area_are_removed_by_name(tmp_path):
    content = document()
    content['annotations'][2]['bbox'] = [3, 3, 0, 5]
    (tmp_path / 'test.json').write_text(json.dumps(content))
    index, removed = read_scenes(CocoPersonSearchFiles(tmp_path, True))
    assert removed == [f'{tmp_path}/test.json, image cam1/a.jpg (row 1)']
    assert index.frames[0].person_ids.tolist() == [70, 9]


def test_queries_of_their_own_list(tmp_path):
    content = document()
    content['queries'] = [
        {'image_id': 5, 'bbox': [1, 2, 3, 4], 'person_id': 9},
        {'image_id': 3, 'bbox': [10, 20, 30, 40], 'person_id': 70},
    ]
    refuse(tmp_path, content, r'queries: .*annotations\[0\] is marked as a query as well')
    del content['annotations'][0]['is_query']
    queries = read(tmp_path, content).queries
    assert [(q.image_name, q.person_id) for q in queries] == [('cam1/a.jpg', 9), ('cam2/b.jpg', 70)]
    assert queries[0].bbox.tolist() == [1, 2, 4, 6]
    content['queries'] = []
    assert read(tmp_path, content).queries == []
    content['queries'] = [{'image_id': 5, 'bbox': [1, 2, 3, 4], 'person_id': -1}]
    refuse(tmp_path, content, r'queries\[0\].person_id: -1 is not the id of somebody')
    content['queries'] = [{'image_id': 8, 'bbox': [1, 2, 3, 4], 'person_id': 1}]
    refuse(tmp_path, content, r'queries\[0\].image_id: no image has the id 8')
    content['queries'][0]['image_id'] = 5
    content['images'][0]['split'], content['images'][1]['split'] = 'train', 'test'
    refuse(tmp_path, content, "image 'cam1/a.jpg' is for training")


def test_galleries_by_hand(tmp_path):
    index = read(tmp_path, document() | {'galleries': galleries()})
    assert list(index.galleries) == [2, 'hard']
    gallery = index.galleries[2]
    assert gallery.splits.tolist() == [0, 3, 3]
    assert gallery.images.tolist() == [0, 1, 0]
    assert gallery.positives.tolist() == [2]
    assert gallery.bboxes.tolist() == [[1, 2, 4, 6]]
    assert gallery.queries.tolist() == [0, 0]
    assert len(index.galleries['hard']) == 0


DOCS = Path(__file__).parents[3] / 'docs' / 'own_data.md'


def test_the_example_of_the_documentation(tmp_path):
    (example,) = re.findall(r'```json\n(.*?)```', DOCS.read_text(), re.DOTALL)
    index = read(tmp_path, example)
    assert [frame.name for frame in index.frames] == ['entrance/0001.jpg', 'hall/0001.jpg']
    assert [frame.person_ids.tolist() for frame in index.frames] == [[7], [7]]
    assert [query.image_name for query in index.queries] == ['entrance/0001.jpg']


def test_every_option_is_documented():
    text = DOCS.read_text()
    options = {field.name for field in fields(CocoPersonSearchFiles)} - {'root', 'test_mode'}
    assert options == set(re.findall(r'^\| `(\w+)` \| [`(].*\|.*\|$', text, re.MULTILINE))
