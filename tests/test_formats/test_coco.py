import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.scene_indices import assert_same_index, random_index
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.coco import CocoPersonSearchFiles, coco_document, to_xywh, write_coco
from mmps.formats.loading import read_scenes
from mmps.formats.scene_index import Frame, Query, SceneIndex


def document() -> dict:
    """Two test images, three people, one of them unlabelled, and a query."""
    return {
        'info': {'description': 'anything'},
        'categories': [{'id': 1, 'name': 'person'}],
        'images': [
            {'id': 5, 'file_name': 'cam1/a.jpg', 'width': 640, 'height': 480, 'cam_id': 1},
            {'id': 3, 'file_name': 'cam2/b.jpg', 'cam_id': 2},
        ],
        'annotations': [
            box(11, 3, [10, 20, 30, 40], 70, is_query=True),
            box(12, 5, [1.5, 2, 3, 4.25], 70),
            box(13, 5, [0, 0, 9, 9], -1),
            box(14, 5, [4, 4, 9, 9], 9, iscrowd=0),
        ],
    }


def box(number: int, image_id: int, bbox: list[float], person_id: int, **more: object) -> dict:
    """An annotation."""
    entry = dict(id=number, image_id=image_id, category_id=1, bbox=bbox, person_id=person_id)
    return entry | more


def galleries() -> list[dict]:
    """Searches for the query of :func:`document`."""
    return [
        {
            'name': 2,
            'searches': [
                {
                    'query': 0,
                    'images': [5, 3, 5],
                    'positives': [{'entry': 2, 'bbox': [1, 2, 3, 4]}],
                },
                {'query': 0, 'images': []},
            ],
        },
        {'name': 'hard', 'searches': []},
    ]


def read(folder: Path, content: object, test_mode: bool = True, **options: object) -> SceneIndex:
    """What is read of a file with that content, given as objects or as text."""
    path = folder / ('test.json' if test_mode else 'train.json')
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return CocoPersonSearchFiles(folder, test_mode, **options).read()


def refuse(folder: Path, content: object, message: str, **options: object) -> None:
    """Assert that such a file is refused, by its name and a message that matches."""
    try:
        read(folder, content, **options)
    except ValueError as error:
        said = str(error)
    else:
        raise AssertionError(f'accepted: {content}')
    assert said.startswith(str(folder)) and re.search(message, said), said


def test_a_test_file_by_hand(tmp_path):
    check_the_document(read(tmp_path, document()), tmp_path)


def check_the_document(index, tmp_path):
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
    message = r'image .*: row \d .*has the id 70, which is not among the 1 of train_ids; add it'
    refuse(tmp_path, content | {'train_ids': [9]}, message, test_mode=False)
    refuse(tmp_path, content | {'train_ids': [9, 9]}, 'train_ids: list each', test_mode=False)
    refuse(tmp_path, content | {'train_ids': [9, -7]}, r'train_ids\[1\]: Exp', test_mode=False)


def test_numbers_in_other_spellings(tmp_path):
    content = document()
    content['images'][0] |= {'id': 5.0, 'cam_id': '1'}
    content['annotations'][1] |= {'person_id': '70', 'image_id': '5', 'bbox': ['1.5', 2.0, 3, 4.25]}
    content['annotations'][0]['is_query'] = 1
    check_the_document(read(tmp_path, content), tmp_path)


def test_keys_with_another_meaning_hold_no_person(tmp_path):
    with pytest.raises(ValueError, match="id_key: 'category_id' has another meaning"):
        CocoPersonSearchFiles(tmp_path, id_key='category_id')


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
    refuse(tmp_path, content, r"images\[1\].split: Invalid enum value 'val'")


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
    refuse(tmp_path, content, r'queries\[0\].person_id: Expected `int` >= 0')
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


DOCS = Path(__file__).parents[2] / 'docs' / 'own_data.md'


def test_the_example_of_the_documentation(tmp_path):
    (example,) = re.findall(r'```json\n(.*?)```', DOCS.read_text(), re.DOTALL)
    index = read(tmp_path, example)
    assert [frame.name for frame in index.frames] == ['entrance/0001.jpg', 'hall/0001.jpg']
    assert [frame.person_ids.tolist() for frame in index.frames] == [[7], [7]]
    assert [query.image_name for query in index.queries] == ['entrance/0001.jpg']


def change(*path, to):
    """A change of the document: the value at ``path``, or its absence if ``to`` is None."""

    def apply(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        if to is None:
            del content[last]
        else:
            content[last] = to

    return apply


SEARCH = ('galleries', 0, 'searches', 0)


@pytest.mark.parametrize(
    ('apply', 'message'),
    [
        (change('images', to=None), ': Object missing required field `images`'),
        (change('images', to={}), ': images: Expected `array`, got `object`'),
        (change('images', 1, to=7), r': images\[1\]: Expected `object`, got `int`'),
        (change('images', 1, 'id', to=None), r'images\[1\]: Object missing required field `id`'),
        (change('images', 1, 'id', to='x'), r'images\[1\].id: Expected `int`, got `str`'),
        (change('images', 1, 'id', to=5), r'images\[1\].id: 5 occurs twice, first in images\[0\]'),
        (change('images', 1, 'file_name', to=None), r'images\[1\]: .*missing .*`file_name`'),
        (change('images', 1, 'file_name', to=4), r'images\[1\].file_name: Expected `str`, got `in'),
        (
            change('images', 1, 'file_name', to=''),
            r'images\[1\].file_name: Expected .* length >= 1',
        ),
        (
            change('images', 1, 'file_name', to='a\0'),
            r'images\[1\].file_name: Expected .* matching',
        ),
        (
            change('images', 1, 'file_name', to='cam1/a.jpg'),
            r"images\[1\].file_name: 'cam1/a.jpg' occurs twice, first in images\[0\]",
        ),
        (
            change('images', 1, 'file_name', to='./cam1\\a.jpg'),
            r"images\[1\].file_name: 'cam1/a.jpg' occurs twice, first in images\[0\]",
        ),
        (change('images', 1, 'cam_id', to='hall'), r'images\[1\].cam_id: Expected `int.*got `str`'),
        (change('images', 1, 'cam_id', to=-2), r'images\[1\].cam_id: Expected `int` >= -1'),
        (change('annotations', to=None), ': Object missing required field `annotations`'),
        (
            change('annotations', 1, to=[1, 2, 3, 4]),
            r'annotations\[1\]: Expected `object`, got `arr',
        ),
        (change('annotations', 1, 'image_id', to=8), r'annotations\[1\].image_id: no image has'),
        (
            change('annotations', 1, 'image_id', to=None),
            r'annotations\[1\]: .*missing .*`image_id`',
        ),
        (change('annotations', 1, 'id', to=11), r'annotations\[1\].id: 11 occurs twice, first in'),
        (change('annotations', 1, 'bbox', to=None), r'annotations\[1\]: .*missing .*`bbox`'),
        (
            change('annotations', 1, 'bbox', to='1 2 3 4'),
            r'annotations\[1\].bbox: Expected `array`',
        ),
        (change('annotations', 1, 'bbox', to=[1, 2, 3]), r'annotations\[1\].bbox: .* of length 4'),
        (change('annotations', 1, 'bbox', 2, to='x'), r'annotations\[1\].bbox\[2\]: .*, got `str`'),
        (
            change('annotations', 1, 'bbox', 2, to=-3),
            r': annotations\[1\].bbox\[2\]: Expected `float` >= 0.0$',
        ),
        (
            change('annotations', 1, 'bbox', 2, to=1e30),
            r'annotations\[1\].bbox\[2\]: Expected `float` <= 1000000.0',
        ),
        (change('annotations', 1, 'bbox', 2, to=True), r'annotations\[1\].bbox\[2\]: .*got `bool`'),
        (
            change('annotations', 1, 'person_id', to='x'),
            r'annotations\[1\].person_id: Expected `int',
        ),
        (
            change('annotations', 1, 'person_id', to=7.5),
            r'annotations\[1\].person_id: .*got `float`',
        ),
        (
            change('annotations', 1, 'person_id', to=True),
            r'annotations\[1\].person_id: .*got `bool`',
        ),
        (
            change('annotations', 1, 'person_id', to=2**40),
            r'annotations\[1\].person_id: Expected `int` <= 2147483647',
        ),
        (
            change('annotations', 1, 'person_id', to=-3),
            r'annotations\[1\].person_id: -3 given; ids',
        ),
        (change('annotations', 1, 'cam_id', to=4), r"annotations\[1\].cam_id: 4, but 1 .*'cam1/a"),
        (
            change('annotations', 1, 'is_query', to='yes'),
            r'annotations\[1\].is_query: Expected `bool',
        ),
        (change('annotations', 2, 'is_query', to=True), r'annotations\[2\]: a query of an unlabel'),
        (change('annotations', 1, 'iscrowd', to=3), r'annotations\[1\].iscrowd: Expected `bool'),
        (
            change('annotations', 1, 'category_id', to=None),
            r'annotations\[1\].category_id: None is not among the categories',
        ),
        (change('galleries', 1, 'name', to=2), r'galleries\[1\].name: 2 occurs twice'),
        (
            change('galleries', 1, 'name', to=None),
            r'galleries\[1\]: .*missing required field `name`',
        ),
        (change('galleries', 1, 'searches', to=None), r'galleries\[1\]: .*missing .*`searches`'),
        (change(*SEARCH, 'query', to=1), r'searches\[0\].query: 1 given; there are 1 queries'),
        (change(*SEARCH, 'query', to=-1), r'searches\[0\].query: Expected `int` >= 0'),
        (change(*SEARCH, 'images', 1, to=9), r'searches\[0\].images\[1\]: 9 is not the id of an'),
        (change(*SEARCH, 'images', 1, to=True), r'searches\[0\].images\[1\]: .*got `bool`'),
        (change(*SEARCH, 'images', 1, to=10**30), r'searches\[0\].images\[1\]: .* <= 2147483647'),
        (
            change(*SEARCH, 'positives', 0, 'entry', to=3),
            r'positives\[0\].entry: 3 given; the search lists 3 images',
        ),
        (
            change(*SEARCH, 'positives', 0, 'bbox', to=[1, 2, 0, 4]),
            r'galleries\[0\]: galleries.bboxes: row 0 is',
        ),
    ],
)
def test_errors_name_file_position_and_fix(tmp_path, apply, message):
    content = document() | {'galleries': galleries()}
    apply(content)
    refuse(tmp_path, content, message)


@pytest.mark.parametrize('content', ['[]', '3', '"images"'])
def test_a_file_that_is_something_else(tmp_path, content):
    refuse(tmp_path, content, r'test\.json: Expected `object`, got `')


def test_unknown_rule_for_queries(tmp_path):
    with pytest.raises(ValueError, match="default_queries: 'random' given; None or 'first_per_"):
        CocoPersonSearchFiles(tmp_path, default_queries='random')


def test_every_truncation_is_a_clear_error(tmp_path):
    whole = json.dumps(document() | {'galleries': galleries()})
    for length in range(0, len(whole), 3):
        refuse(tmp_path, whole[:length], r'test\.json, line 1, column \d+: not valid JSON')


def test_no_mutation_crashes(tmp_path):
    """One value at a time becomes something else: the file loads, or the error names it."""
    whole = document() | {'galleries': galleries(), 'train_ids': [70, 9], 'queries': []}
    places = list(_places(whole))
    assert len(places) > 80
    for place in places:
        for value in (None, True, -1, 10**30, 1.5, 'x', [None], {}):
            content = json.loads(json.dumps(whole))
            parent = content
            for key in place[:-1]:
                parent = parent[key]
            parent[place[-1]] = value
            for test_mode in (False, True):
                path = tmp_path / ('test.json' if test_mode else 'train.json')
                path.write_text(json.dumps(content))
                try:
                    CocoPersonSearchFiles(tmp_path, test_mode).read()
                except ValueError as error:
                    assert str(error).startswith(str(path)), error


def _places(value, place=()):
    if place:
        yield place
    pairs = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        yield from _places(inner, (*place, key))


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
