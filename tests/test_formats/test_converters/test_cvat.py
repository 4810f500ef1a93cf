import json

import pytest
from PIL import Image

from mmps.formats.converters.cvat import CROWDS, OTHER_LABELS, read_cvat
from mmps.formats.converters.tally import Tally


def export():
    """What CVAT writes: every attribute of the label, numbers as floats, texts as texts."""
    return {
        'licenses': [{'name': '', 'id': 0, 'url': ''}],
        'info': {'contributor': '', 'version': ''},
        'categories': [
            {'id': 1, 'name': 'person', 'supercategory': ''},
            {'id': 2, 'name': 'car', 'supercategory': ''},
        ],
        'images': [
            {'id': 1, 'width': 60, 'height': 30, 'file_name': 'hall/a.jpg', 'license': 0},
            {'id': 2, 'width': 60, 'height': 30, 'file_name': 'data/lift/b.jpg'},
        ],
        'annotations': [
            box(1, 1, 1, {'person_id': 'anna', 'number': 3.0, 'occluded': False, 'track_id': 0}),
            box(2, 1, 1, {'person_id': '', 'number': -1.0, 'occluded': True}),
            box(3, 2, 2, {'occluded': False}),
            box(4, 2, 1, {'person_id': 'carl', 'number': 4.0}) | {'iscrowd': 1},
            box(5, 2, 1, {'person_id': ' carl ', 'number': 4.0}),
        ],
    }


def box(number, image, label, attributes):
    bbox = [number, 2.0, 8.5, 20.0]
    common = dict(segmentation=[], area=170.0, iscrowd=0)
    return dict(
        id=number, image_id=image, category_id=label, bbox=bbox, attributes=attributes, **common
    )


@pytest.fixture
def read(tmp_path):
    for name in ('images/hall/a.jpg', 'images/lift/b.jpg'):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        Image.new('RGB', (60, 30)).save(path)

    def read(*contents, names=('instances_default', 'instances_more'), **options):
        paths = []
        for name, content in zip(names, contents, strict=False):
            paths.append(tmp_path / f'{name}.json')
            paths[-1].write_text(json.dumps(content))
        tally = Tally()
        return read_cvat(paths, tmp_path / 'images', tally=tally, **options), tally

    return read


def people(images):
    return [(i.name, i.camera, [(b.bbox, b.person) for b in i.boxes]) for i in images]


def test_an_export_by_hand(read, tmp_path):
    images, tally = read(export())
    assert people(images) == [
        ('hall/a.jpg', 'hall', [((1, 2, 9.5, 22), 'anna'), ((2, 2, 10.5, 22), None)]),
        ('lift/b.jpg', 'lift', [((5, 2, 13.5, 22), 'carl')]),
    ]
    where = f'{tmp_path}/instances_default.json: annotations'
    assert images[0].boxes[1].source == f'{where}[1]'
    assert tally.lines() == [
        f'1 {OTHER_LABELS} (first: {where}[2])',
        f'1 {CROWDS} (first: {where}[3])',
    ]
    assert {image.split for image in images} == {None}


def test_numbers(read):
    images, _ = read(export(), attribute='number')
    assert [[b.person for b in i.boxes] for i in images] == [['3', None], ['4']]


def test_numbers_beside_texts(read):
    content = export()
    content['annotations'][0]['attributes']['person_id'] = 7
    images, _ = read(content)
    assert [[b.person for b in i.boxes] for i in images] == [['7', None], ['carl']]


def test_a_single_label_of_any_name(read):
    content = export()
    content['categories'] = [{'id': 1, 'name': 'pedestrian'}]
    del content['annotations'][2]
    assert len(people(read(content)[0])) == 2


def test_several_exports_and_their_splits(read):
    first, second = export(), export()
    del first['images'][1], second['images'][0]
    first['annotations'] = [e for e in first['annotations'] if e['image_id'] == 1]
    second['annotations'] = [e for e in second['annotations'] if e['image_id'] == 2]
    images, _ = read(first, second, names=('instances_Train', 'instances_test'))
    assert [(i.name, i.split) for i in images] == [('hall/a.jpg', 'train'), ('lift/b.jpg', 'test')]


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('annotations', 0, 'image_id'), 9, r'annotations\[0\].image_id: there is no such image'),
        (('annotations', 0, 'bbox'), [1, 2], r'annotations\[0\].bbox: \[1, 2\] is not \[x'),
        (
            ('annotations', 0, 'attributes', 'person_id'),
            True,
            r'annotations\[0\]: true does not na',
        ),
        (('images', 1, 'file_name'), 'hall/a.jpg', r"images\[1\]: image 'hall/a.jpg' or its id 2"),
        (('images', 1, 'id'), 1, r'images\[1\]: .* id 1 occurs twice'),
        (('categories', 0, 'name'), 'man', 'categories: none of man, car is called "person"'),
        (('annotations',), None, 'annotations: missing'),
    ],
)
def test_errors_name_position_and_fix(read, place, value, message):
    content = export()
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    with pytest.raises(ValueError, match=f'instances_default.json: {message}'):
        read(content)


def test_the_attributes_there_are_are_named(read):
    with pytest.raises(ValueError, match="no box has an attribute 'name', but number, occluded, p"):
        read(export(), attribute='name')
    content = export()
    for entry in content['annotations']:
        entry['attributes'] = None
    with pytest.raises(ValueError, match="no box has an attribute 'person_id', but none at all"):
        read(content)


def test_a_missing_image(read):
    content = export()
    content['images'][1]['file_name'] = 'c.jpg'
    with pytest.raises(FileNotFoundError, match=r"images\[1\].file_name: no image 'c.jpg' in"):
        read(content)
