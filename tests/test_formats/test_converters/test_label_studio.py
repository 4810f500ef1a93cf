import json
import math

import pytest
from PIL import Image

from mmps.formats.converters.label_studio import (
    NOT_ANNOTATED,
    ROTATED,
    SEVERAL,
    read_label_studio,
)
from mmps.formats.converters.tally import Tally


def result(region, kind, control, **value):
    """One entry of ``result``; what belongs to one region has one id and repeats the box."""
    geometry = dict(x=10.0, y=20.0, width=30.0, height=40.0, rotation=0)
    return dict(
        id=region,
        type=kind,
        from_name=control,
        to_name='image',
        original_width=200,
        original_height=100,
        image_rotation=0,
        value=geometry | value,
    )


def labelled(region, **value):
    return result(region, 'rectanglelabels', 'label', rectanglelabels=['person'], **value)


def task(number, image, *results, **annotation):
    annotations = [dict(id=number, result=list(results), was_cancelled=False) | annotation]
    return dict(id=number, data={'image': image}, annotations=annotations, predictions=[])


def export():
    return [
        task(
            1,
            '/data/local-files/?d=cameras/hall/a%20b.jpg',
            labelled('r1'),
            result('r1', 'textarea', 'person', text=['anna']),
            labelled('r2', x=50, width=12.5),
            result('r2', 'textarea', 'person', text=['']),
            labelled('r3', y=0),
        ),
        task(
            2,
            '/data/upload/3/0f3a9c1e-c.jpg',
            labelled('r1'),
            result('r1', 'textarea', 'person', text='carl'),
        ),
    ]


@pytest.fixture
def read(tmp_path):
    for name in ('images/hall/a b.jpg', 'images/c.jpg'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (200, 100)).save(path)

    def read(content, person_from='person', **options):
        path = tmp_path / 'export.json'
        path.write_text(json.dumps(content))
        tally = Tally()
        images = tmp_path / 'images'
        return read_label_studio(path, images, person_from, tally=tally, **options), tally

    return read


def people(images):
    return [(i.name, i.camera, [(b.bbox, b.person) for b in i.boxes]) for i in images]


def test_an_export_by_hand(read, tmp_path):
    images, tally = read(export())
    assert people(images) == [
        (
            'hall/a b.jpg',
            'hall',
            [((20, 20, 80, 60), 'anna'), ((100, 20, 125, 60), None), ((20, 0, 80, 40), None)],
        ),
        ('c.jpg', None, [((20, 20, 80, 60), 'carl')]),
    ]
    assert images[0].boxes[1].source == f'{tmp_path}/export.json: [0].annotations[0].result[2]'
    assert tally.lines() == []


def test_the_person_from_choices_numbers_or_the_labels_themselves(read):
    content = [
        task(
            1,
            's3://bucket/c.jpg',
            result('r1', 'rectanglelabels', 'who', rectanglelabels=['anna']),
            result('r1', 'choices', 'name', choices=['bert']),
            result('r1', 'number', 'number', number=7),
        )
    ]
    for control, person in (('who', 'anna'), ('name', 'bert'), ('number', '7')):
        images, _ = read(content, control)
        assert [box.person for box in images[0].boxes] == [person]


def test_plain_rectangles_and_other_regions(read):
    content = [
        task(
            1,
            'https://example.org/files/c.jpg?token=5',
            result('r1', 'rectangle', 'box'),
            result('r1', 'choices', 'person', choices=['anna']),
            result('r2', 'polygonlabels', 'label', points=[[1, 2], [3, 4]]),
            dict(id='r3', type='relation', from_id='r1'),
        )
    ]
    images, _ = read(content)
    assert people(images) == [('c.jpg', None, [((20, 20, 80, 60), 'anna')])]


def test_a_rotated_box_becomes_the_upright_one_around_it(read):
    """20 x 10 pixels turned by 30 degrees, clockwise, around the upper left corner."""
    content = export()[1:]
    value = content[0]['annotations'][0]['result'][0]['value']
    value |= dict(x=50, y=50, width=10, height=10, rotation=30)
    images, tally = read(content)
    cos, sin = math.cos(math.radians(30)), 0.5
    expected = (100 - 10 * sin, 50, 100 + 20 * cos, 50 + 20 * sin + 10 * cos)
    assert images[0].boxes[0].bbox == pytest.approx(expected)
    assert tally.count(ROTATED) == 1


def test_which_annotation_of_a_task_counts(read):
    one, two = export()[1]['annotations'][0], export()[1]['annotations'][0]
    two['result'][1]['value']['text'] = ['dora']
    content = export()[1:]
    for annotations, person, several in (
        ([one, two], 'dora', 1),
        ([one | {'ground_truth': True}, two], 'carl', 1),
        ([one, two | {'was_cancelled': True}], 'carl', 0),
    ):
        content[0]['annotations'] = annotations
        images, tally = read(content)
        assert images[0].boxes[0].person == person
        assert tally.count(SEVERAL) == several
    content[0]['annotations'] = [one | {'was_cancelled': True}]
    images, tally = read([*export()[:1], *content])
    assert len(images) == 1
    assert tally.count(NOT_ANNOTATED) == 1


def test_another_key_of_the_image(read):
    content = export()[1:]
    content[0]['data'] = {'photo': 'c.jpg'}
    assert len(read(content, image_key='photo')[0]) == 1
    with pytest.raises(ValueError, match=r'\[0\].data.image: missing; the object has photo'):
        read(content)


def edit(*place, to):
    def apply(content):
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        if to is None:
            del parent[place[-1]]
        else:
            parent[place[-1]] = to

    return apply


RESULT = (0, 'annotations', 0, 'result', 0)
TEXT = (0, 'annotations', 0, 'result', 1)


@pytest.mark.parametrize(
    ('apply', 'message'),
    [
        (edit(0, to=7), r'export.json: \[0\]: 7 is not an object such as {"data"'),
        (edit(0, 'annotations', to=None), r'\[0\].annotations: missing; export as "JSON", not'),
        (edit(0, 'data', to=None), r'\[0\].data: null is not an object'),
        (edit(0, 'annotations', 0, 'result', to='x'), r'\[0\].annotations\[0\].result: "x" is not'),
        (edit(*RESULT, 'original_width', to=None), r'result\[0\].original_width: missing'),
        (edit(*RESULT, 'image_rotation', to=90), r'result\[0\].image_rotation: the image was tu'),
        (edit(*RESULT, 'value', 'x', to='5'), r'result\[0\].value.x: "5" is text'),
        (
            edit(*RESULT, 'value', 'x', to=5000),
            r'result\[0\].value.x: 5000 is not a share of the i',
        ),
        (edit(*RESULT, 'value', to=5), r'result\[0\].value: 5 is not an object'),
        (edit(*RESULT, 'id', to=None), r'result\[0\].id: missing'),
        (edit(*TEXT, 'value', 'text', to=['a', 'b']), r'result\[1\]: .*names several people'),
        (edit(*TEXT, 'value', 'text', to=[[1]]), r'result\[1\]: \[1\] does not name a person'),
        (edit(1, 'data', 'image', to='hall/a b.jpg'), r"\[1\]: image 'hall/a b.jpg' is in .*\[0\]"),
    ],
)
def test_errors_name_position_and_fix(read, apply, message):
    content = export()
    apply(content)
    with pytest.raises(ValueError, match=message):
        read(content)


def test_the_controls_there_are_are_named(read):
    with pytest.raises(ValueError, match="no control is called 'who'; there are label, person"):
        read(export(), 'who')
    with pytest.raises(ValueError, match="no control is called 'person'; there are none"):
        read([])


def test_another_kind_of_export(read):
    with pytest.raises(ValueError, match='is not a list of tasks; export as "JSON"'):
        read({'images': []})


def test_a_missing_image(read):
    content = export()
    content[1]['data']['image'] = 'd.jpg'
    with pytest.raises(FileNotFoundError, match=r"\[1\].data.image: no image of 'd.jpg' in"):
        read(content)
