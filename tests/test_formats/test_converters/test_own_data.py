import json

import numpy as np
import pytest
from helpers.scene_indices import assert_same_index
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.converters import own_data
from mmps.formats.converters.annotated_images import AnnotatedBox, AnnotatedImage, Annotations
from mmps.formats.converters.own_data import convert_own_data, split_by_identity
from mmps.formats.loading import read_scenes


def tagged(name, people, camera=None, split=None, queries=()):
    """An image in which the people stand side by side; ``None`` is somebody unlabelled."""
    boxes = [
        AnnotatedBox((10 * k, 5, 10 * k + 8, 25), person, f'{name}, {k}', person in queries)
        for k, person in enumerate(people)
    ]
    return AnnotatedImage(name, name, camera, split, boxes)


@pytest.fixture
def convert(tmp_path):
    def convert(images, **options):
        for image in images:
            Image.new('RGB', (60, 30)).save(tmp_path / image.name)
        annotations = Annotations(tmp_path, images={image.name: image for image in images})
        splits, cameras = convert_own_data(annotations, tmp_path / 'out', **options)
        return annotations.tally, splits, cameras

    return convert


def read(root, split):
    return read_scenes(CocoPersonSearchFiles(root / 'out', split == 'test'))[0]


def test_a_split_and_queries_that_are_given(convert, tmp_path):
    images = [
        tagged('a.jpg', ['anna', None], 'hall', 'train'),
        tagged('b.jpg', ['carl'], 'lift', 'test', queries=['carl']),
        tagged('c.jpg', ['bert', 'anna'], 'lift', 'train'),
        tagged('d.jpg', ['dora', 'carl'], None, 'test', queries=['dora']),
    ]
    tally, _, cameras = convert(images)
    train, test = read(tmp_path, 'train'), read(tmp_path, 'test')
    assert [frame.name for frame in train.frames] == ['a.jpg', 'c.jpg']
    # anna 0, bert 1, carl 2, dora 3 in the file
    assert [frame.person_ids.tolist() for frame in train.frames] == [[0, -1], [1, 0]]
    assert train.num_ids == 2
    assert [frame.person_ids.tolist() for frame in test.frames] == [[2], [3, 2]]
    assert [frame.camera for frame in train.frames] == [1, 2]
    assert [frame.camera for frame in test.frames] == [2, -1]
    assert [(query.image_name, query.person_id) for query in test.queries] == [
        ('b.jpg', 2),
        ('d.jpg', 3),
    ]
    content = json.loads((tmp_path / 'out' / 'test.json').read_text())
    assert content['images'][0] == dict(id=1, file_name='b.jpg', width=60, height=30, cam_id=2)
    assert content['people'][2] == {'id': 2, 'name': 'carl'}
    assert content['cameras'] == [{'id': 1, 'name': 'hall'}, {'id': 2, 'name': 'lift'}]
    assert cameras == {'hall': 1, 'lift': 2}
    assert tally.lines() == [f'1 {own_data.LONELY} (first: d.jpg, 0)']


def test_numbers_stay_and_the_index_is_what_the_files_hold(convert, tmp_path):
    images = [
        tagged('a.jpg', ['30', '7'], '4', 'train'),
        tagged('b.jpg', ['9'], '4', 'test'),
        tagged('c.jpg', ['9'], '5', 'test'),
    ]
    tally, splits, _ = convert(images)
    content = json.loads((tmp_path / 'out' / 'train.json').read_text())
    assert [entry['person_id'] for entry in content['annotations']] == [30, 7]
    assert content['images'][0]['cam_id'] == 4
    assert 'people' not in content and 'cameras' not in content
    assert read(tmp_path, 'train').frames[0].person_ids.tolist() == [1, 0]
    assert_same_index(read(tmp_path, 'test'), splits['test'])
    # nobody marked a query
    assert len(splits['test'].queries) == 2
    assert tally.count(own_data.QUERIES_MADE) == 2


def test_a_split_by_people(convert, tmp_path):
    """Two groups who never meet, and one image in which somebody of each does."""
    images = [tagged(f'{k}.jpg', ['1', '2'] if k % 2 else ['3', '4']) for k in range(8)]
    images.append(tagged('8.jpg', ['1', '2', '3']))
    tally, splits, _ = convert(images, test_share=0.5, seed=1)
    before = (tmp_path / 'out' / 'test.json').read_bytes()
    train, test = splits['train'], splits['test']
    seen = [
        {int(p) for frame in index.frames for p in frame.person_ids} - {-1}
        for index in (train, test)
    ]
    assert sorted(map(sorted, seen)) == [[1, 2], [3, 4]]
    assert len(train.frames) + len(test.frames) == 9
    assert tally.count(own_data.SPLIT_MADE) == 9
    assert tally.count(own_data.MOVED) == 1
    mixed = next(f for f in [*train.frames, *test.frames] if f.name == '8.jpg')
    assert mixed.person_ids.tolist() == [1, 2, -1]
    convert([tagged(i.name, [b.person for b in i.boxes]) for i in images], test_share=0.5, seed=1)
    assert (tmp_path / 'out' / 'test.json').read_bytes() == before


def test_queries_decide_who_is_tested(convert):
    images = [tagged(f'{k}.jpg', [str(k // 3)], queries=['2'] if k == 7 else ()) for k in range(15)]
    for seed in range(3):
        _, splits, _ = convert(images, test_share=0.2, seed=seed)
        assert [frame.name for frame in splits['test'].frames] == [
            '6.jpg',
            '7.jpg',
            '8.jpg',
        ]
        (query,) = splits['test'].queries
        assert query.image_name == '7.jpg'
        for image in images:
            image.split = None


def test_remarks_on_what_was_given(convert):
    images = [
        tagged('a.jpg', ['1'], split='train', queries=['1']),
        tagged('b.jpg', ['1'], split='test', queries=['1']),
        tagged('c.jpg', ['1'], split='test'),
    ]
    tally, *_ = convert(images)
    assert tally.count(own_data.SHARED) == 1
    assert tally.count(own_data.TRAINING_QUERIES) == 1


@pytest.mark.parametrize(
    ('images', 'message'),
    [
        ([], 'the annotations name no image'),
        ([('a', ['1'], 'test')], 'a.jpg: neither this nor another image is for train; name'),
        ([('a', ['1'], 'train')], 'a.jpg: neither this nor another image is for test; name'),
        ([('a', ['1'], 'train'), ('b', ['1'], None)], 'b.jpg: no split, but a.jpg has one'),
        ([('a', ['1'], 'train'), ('b', ['2'], 'test')], 'nobody is in two test images'),
        ([('a', [None], 'train'), ('b', ['2'], 'test')], 'nobody in the training images is label'),
        ([('a', ['1'], None), ('b', ['1'], None)], '1 labelled people cannot be split'),
    ],
)
def test_what_cannot_be_converted(convert, tmp_path, images, message):
    images = [tagged(f'{name}.jpg', people, split=split) for name, people, split in images]
    with pytest.raises(ValueError, match=message):
        convert(images)
    assert not (tmp_path / 'out').exists()


def test_a_query_needs_somebody(convert):
    images = [tagged('a.jpg', ['1'], split='train'), tagged('b.jpg', [None], split='test')]
    images[1].boxes = [AnnotatedBox((1, 2, 3, 4), None, 'line 9', is_query=True)]
    with pytest.raises(ValueError, match='line 9: a query of an unlabelled person'):
        convert(images)


def test_people_seen_together_stay_together():
    """Two groups of five who never meet: each goes to one side as a whole."""
    rng = np.random.default_rng(0)
    groups = [list(range(5)), list(range(5, 10))]
    people = [rng.choice(groups[k % 2], 3, replace=False).tolist() for k in range(40)]
    for seed in range(5):
        test_ids, is_test = split_by_identity(people, 0.5, seed)
        assert sorted(test_ids) in groups
        assert is_test == [set(image) <= test_ids for image in people]


def test_the_same_seed_gives_the_same_split_and_another_another():
    people = [[k, (k + 1) % 20] for k in range(20)]
    splits = [split_by_identity(people, 0.3, seed) for seed in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert len({frozenset(ids) for ids, _ in splits}) > 1
    assert all(len(ids) == 6 for ids, _ in splits)


def test_an_image_goes_to_the_side_most_of_its_people_are_on():
    people = [[1, 2, 3], [1, 2], [3, 3, 1], [2]]
    test_ids, is_test = split_by_identity(people, 0.34, 0, tested=[3])
    assert test_ids == {3}
    # 1 of 3; none; 1 of 2, a draw, for nobody counts twice, and a third of 4 is to be tested; none
    assert is_test == [False, False, True, False]


def test_people_to_be_tested_are():
    people = [[k] for k in range(10)]
    test_ids, _ = split_by_identity(people, 0.3, 0, tested=[9, 2, 9])
    assert {2, 9} < test_ids
    assert len(test_ids) == 3
    test_ids, _ = split_by_identity(people, 0.1, 0, tested=[1, 2, 3])
    assert test_ids == {1, 2, 3}


def test_images_of_nobody_known_and_draws_make_the_test_set_as_large_as_asked():
    people = [[1], [1], [2], *([] for _ in range(500)), *([1, 2] for _ in range(497))]
    _, is_test = split_by_identity(people, 0.3, 0, tested=[2])
    assert is_test[:3] == [False, False, True]
    assert sum(is_test) == 300
    # drawn, not taken in order: about 150 on each side
    assert 100 < sum(is_test[3:503]) < 200


@pytest.mark.parametrize(
    ('people', 'share'), [([[1], [1]], 0.5), ([[], []], 0.5), ([[1], [2]], 0.0), ([[1], [2]], 1.0)]
)
def test_what_cannot_be_split(people, share):
    with pytest.raises(ValueError, match='labelled people cannot be split with a test share of'):
        split_by_identity(people, share, 0)


@settings(max_examples=50, deadline=None)
@given(
    people=st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=12),
    share=st.floats(0.2, 0.8),
    seed=st.integers(0, 100),
)
def test_any_images(people, share, seed):
    ids = {person for image in people for person in image}
    wanted = round(share * len(ids))
    if not 0 < wanted < len(ids):
        return
    test_ids, is_test = split_by_identity(people, share, seed)
    assert test_ids < ids and len(test_ids) == wanted
    for image, tested in zip(people, is_test, strict=True):
        there, elsewhere = len(set(image) & test_ids), len(set(image) - test_ids)
        assert there == elsewhere or tested == (there > elsewhere)


def test_no_side_is_left_without_an_image():
    """The split with fewest people on the wrong side would be {0, 1}, who are in every image."""
    people = [[0, 1, 2], [0, 1], [0, 1], [0, 1]]
    for seed in range(10):
        tested, is_test = split_by_identity(people, 0.5, seed)
        assert len(tested) == 2
        assert sum(is_test) == 2
