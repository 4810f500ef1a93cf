import json

import pytest
from helpers.scene_indices import assert_same_index
from PIL import Image

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.converters import own_data
from mmps.formats.converters.own_data import convert_own_data
from mmps.formats.converters.tagged_images import TaggedBox, TaggedImage
from mmps.formats.converters.tally import Tally
from mmps.formats.loading import read_scenes


def tagged(name, people, camera=None, split=None, queries=()):
    """An image in which the people stand side by side; ``None`` is somebody unlabelled."""
    boxes = [
        TaggedBox((10 * k, 5, 10 * k + 8, 25), person, f'{name}, {k}', person in queries)
        for k, person in enumerate(people)
    ]
    return TaggedImage(name, name, camera, split, boxes)


@pytest.fixture
def convert(tmp_path):
    def convert(images, **options):
        for image in images:
            Image.new('RGB', (60, 30)).save(tmp_path / image.name)
        tally = Tally()
        return convert_own_data(images, tmp_path, tmp_path / 'out', tally=tally, **options)

    return convert


def read(conversion, split):
    root = conversion.paths[split].parent
    return read_scenes(CocoPersonSearchFiles(root, split == 'test'))[0]


def test_a_split_and_queries_that_are_given(convert):
    images = [
        tagged('a.jpg', ['anna', None], 'hall', 'train'),
        tagged('b.jpg', ['carl'], 'lift', 'test', queries=['carl']),
        tagged('c.jpg', ['bert', 'anna'], 'lift', 'train'),
        tagged('d.jpg', ['dora', 'carl'], None, 'test', queries=['dora']),
    ]
    conversion = convert(images)
    train, test = read(conversion, 'train'), read(conversion, 'test')
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
    content = json.loads(conversion.paths['test'].read_text())
    assert content['images'][0] == dict(id=1, file_name='b.jpg', width=60, height=30, cam_id=2)
    assert content['people'][2] == {'id': 2, 'name': 'carl'}
    assert content['cameras'] == [{'id': 1, 'name': 'hall'}, {'id': 2, 'name': 'lift'}]
    assert conversion.cameras == {'hall': 1, 'lift': 2}
    assert conversion.tally.lines() == [f'1 {own_data.LONELY} (first: d.jpg, 0)']


def test_numbers_stay_and_the_index_is_what_the_files_hold(convert):
    images = [
        tagged('a.jpg', ['30', '7'], '4', 'train'),
        tagged('b.jpg', ['9'], '4', 'test'),
        tagged('c.jpg', ['9'], '5', 'test'),
    ]
    conversion = convert(images)
    content = json.loads(conversion.paths['train'].read_text())
    assert [entry['person_id'] for entry in content['annotations']] == [30, 7]
    assert content['images'][0]['cam_id'] == 4
    assert 'people' not in content and 'cameras' not in content
    assert read(conversion, 'train').frames[0].person_ids.tolist() == [1, 0]
    assert_same_index(read(conversion, 'test'), conversion.splits['test'])
    # nobody marked a query
    assert len(conversion.splits['test'].queries) == 2
    assert conversion.tally.count(own_data.QUERIES_MADE) == 2


def test_a_split_by_people(convert):
    """Two groups who never meet, and one image in which somebody of each does."""
    images = [tagged(f'{k}.jpg', ['1', '2'] if k % 2 else ['3', '4']) for k in range(8)]
    images.append(tagged('8.jpg', ['1', '2', '3']))
    conversion = convert(images, test_share=0.5, seed=1)
    train, test = conversion.splits['train'], conversion.splits['test']
    seen = [
        {int(p) for frame in index.frames for p in frame.person_ids} - {-1}
        for index in (train, test)
    ]
    assert sorted(map(sorted, seen)) == [[1, 2], [3, 4]]
    assert len(train.frames) + len(test.frames) == 9
    tally = conversion.tally
    assert tally.count(own_data.SPLIT_MADE) == 9
    assert tally.count(own_data.MOVED) == 1
    mixed = next(f for f in [*train.frames, *test.frames] if f.name == '8.jpg')
    assert mixed.person_ids.tolist() == [1, 2, -1]
    again = convert(
        [tagged(i.name, [b.person for b in i.boxes]) for i in images], test_share=0.5, seed=1
    )
    assert again.paths['test'].read_bytes() == conversion.paths['test'].read_bytes()


def test_queries_decide_who_is_tested(convert):
    images = [tagged(f'{k}.jpg', [str(k // 3)], queries=['2'] if k == 7 else ()) for k in range(15)]
    for seed in range(3):
        conversion = convert(images, test_share=0.2, seed=seed)
        assert [frame.name for frame in conversion.splits['test'].frames] == [
            '6.jpg',
            '7.jpg',
            '8.jpg',
        ]
        (query,) = conversion.splits['test'].queries
        assert query.image_name == '7.jpg'
        for image in images:
            image.split = None


def test_remarks_on_what_was_given(convert):
    images = [
        tagged('a.jpg', ['1'], split='train', queries=['1']),
        tagged('b.jpg', ['1'], split='test', queries=['1']),
        tagged('c.jpg', ['1'], split='test'),
    ]
    tally = convert(images).tally
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
    images[1].boxes = [TaggedBox((1, 2, 3, 4), None, 'line 9', is_query=True)]
    with pytest.raises(ValueError, match='line 9: a query of an unlabelled person'):
        convert(images)
