import json
import math
from base64 import urlsafe_b64encode
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmps.formats.converters.annotated_images import ROTATED, Annotations
from mmps.formats.converters.label_studio import (
    NOT_ANNOTATED,
    OTHER_LABELS,
    OTHER_REGIONS,
    OTHER_SIZES,
    OUTLINES,
    SEVERAL,
    TaskImages,
    read_label_studio,
)
from mmps.utils.image_folder import ImageFolder


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
        annotations = Annotations(tmp_path / 'images')
        read_label_studio(path, annotations, person_from, **options)
        return list(annotations.images.values()), annotations.tally

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


def test_plain_rectangles_and_other_regions(read, tmp_path):
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
    images, tally = read(content)
    found = [((20, 20, 80, 60), 'anna'), ((2, 2, 6, 4), None)]
    assert people(images) == [('c.jpg', None, found)]
    assert tally.lines() == [
        f'1 {OUTLINES} (first: {tmp_path}/export.json: [0].annotations[0].result[2])'
    ]


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
    with pytest.raises(ValueError, match=r'\[0\].data.image: Expected `str`, got `null`'):
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
        (edit(0, to=7), r'export.json: \[0\]: Expected `object`, got `int`'),
        (edit(0, 'annotations', to=None), r'\[0\].annotations: missing; export as "JSON", not'),
        (edit(0, 'data', to=None), r'\[0\].data.image: Expected `str`, got `null`'),
        (
            edit(0, 'annotations', 0, 'result', to='x'),
            r'\[0\].annotations\[0\].result: Expected `arr',
        ),
        (edit(*RESULT, 'original_width', to='x'), r'result\[0\].original_width: Expected `int'),
        (edit(*RESULT, 'image_rotation', to=90), r'result\[0\].image_rotation: the image was tu'),
        (edit(*RESULT, 'value', 'x', to='?'), r'result\[0\].value.x: Expected `float`, got `str`'),
        (edit(*RESULT, 'value', 'x', to=5000), r'result\[0\].value.x: Expected `float` <= 1000'),
        (edit(*RESULT, 'value', 'x', to=None), r'result\[0\].value: .* missing required field `x`'),
        (edit(*RESULT, 'value', to=5), r'result\[0\].value: Expected `object`, got `int`'),
        (edit(*RESULT, 'id', to=None), r'result\[0\].id: missing'),
        (edit(*TEXT, 'value', 'text', to=['a', 'b']), r'result\[1\]: .*names several people'),
        (edit(*TEXT, 'value', 'text', to=[[1]]), r'result\[1\]: \[1\] does not name a person'),
        (edit(1, 'data', 'image', to='hall/a b.jpg'), r"\[1\]: image 'hall/a b.jpg' occurs.*\[0\]"),
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
    with pytest.raises(ValueError, match=r'did you mean person\?'):
        read(export(), 'persons')
    with pytest.raises(ValueError, match="no control is called 'person'; there are none"):
        read([])


def test_another_kind_of_export(read):
    with pytest.raises(
        ValueError, match='export.json: an object is not a list of tasks; export as "JSON"'
    ):
        read({'images': []})


def test_a_missing_image(read):
    content = export()
    content[1]['data']['image'] = 'd.jpg'
    with pytest.raises(FileNotFoundError, match=r"\[1\].data.image: no image of 'd.jpg' in"):
        read(content)


def shape(kind, **value):
    """A region of another form than a rectangle, labelled by the person it shows."""
    region = result('r', f'{kind}labels', 'who', **value)
    region['value'] = value | {f'{kind}labels': ['anna']}
    return region


def test_a_polygon_becomes_the_box_around_it(read):
    region = shape('polygon', points=[[50, 20], [62.5, 20], [40, 80], [50, 90]], closed=True)
    images, tally = read([task(1, 'c.jpg', region)], 'who')
    assert people(images) == [('c.jpg', None, [((80, 20, 125, 90), 'anna')])]
    assert tally.count(OUTLINES) == 1


@pytest.mark.parametrize('degrees', [0, 30, 90, 200])
def test_an_ellipse_becomes_the_box_around_it(read, degrees):
    """Compared with the extremes of a thousand points of its edge; radii are 40 and 10 pixels."""
    region = shape('ellipse', x=50, y=50, radiusX=20, radiusY=10, rotation=degrees)
    images, tally = read([task(1, 'c.jpg', region)], 'who')
    turn = math.radians(degrees)
    xs, ys = [], []
    for step in range(1000):
        a, b = 40 * math.cos(step * math.pi / 500), 10 * math.sin(step * math.pi / 500)
        xs.append(100 + a * math.cos(turn) - b * math.sin(turn))
        ys.append(50 + a * math.sin(turn) + b * math.cos(turn))
    box = images[0].boxes[0]
    assert box.bbox == pytest.approx((min(xs), min(ys), max(xs), max(ys)), abs=1e-3)
    assert (box.person, tally.count(OUTLINES)) == ('anna', 1)


@pytest.mark.parametrize(
    'kind', ['brushlabels', 'brush', 'keypointlabels', 'bitmasklabels', 'vectorlabels', 'new thing']
)
def test_regions_that_are_no_boxes_are_counted(read, kind):
    region = result('r9', kind, 'label') | dict(value={'points': [[1, 2]], 'x': 1})
    said = [result('r9', kind, 'rating', rating=3) for kind in ('rating', 'taxonomy', 'datetime')]
    content = export()
    content[0]['annotations'][0]['result'] += [region, *said]
    images, tally = read(content)
    assert sum(len(image.boxes) for image in images) == 4
    assert [tally.count(line.partition(' ')[2].split(' (')[0]) for line in tally.lines()] == [1]
    assert tally.count(OTHER_REGIONS.format(kind)) == 1


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (dict(points=[]), 'value.points: Expected `array` of length >= 1'),
        (dict(points=[[1, 2], [3]]), r'value.points\[1\]: Expected `array` of length 2'),
        (dict(points=[[1, 'x']]), r'value.points\[0\]\[1\]: Expected `float`, got `str`'),
        (dict(points=[[1, 2000]]), r'value.points\[0\]\[1\]: Expected `float` <= 1000'),
    ],
)
def test_polygons_that_are_none(read, value, message):
    with pytest.raises(ValueError, match=message):
        read([task(1, 'c.jpg', shape('polygon', **value))], 'who')


def labelled_as(region, label, kind='rectanglelabels', **value):
    return result(region, kind, 'label', **{kind: [label]}, **value)


def test_other_labels_are_no_people(read, tmp_path):
    content = [
        task(
            1,
            'c.jpg',
            labelled_as('r1', 'Person'),
            result('r1', 'textarea', 'person', text=['anna']),
            labelled_as('r2', 'Car', x=50),
            result('r3', 'rectangle', 'box', x=60),
            result('r3', 'labels', 'label', labels=['Dog']),
            labelled_as('r4', 'Car', 'ellipselabels'),
        )
    ]
    images, tally = read(content)
    assert people(images) == [('c.jpg', None, [((20, 20, 80, 60), 'anna')])]
    where = f'{tmp_path}/export.json: [0].annotations[0].result'
    assert tally.lines() == [f'3 {OTHER_LABELS} (first: {where}[2])']


def test_which_labels_are_people(read):
    def count(*labels, person_from='person'):
        regions = [labelled_as(f'r{n}', label) for n, label in enumerate(labels)]
        named = result('r0', 'textarea', 'person', text=['anna'])
        images, _ = read([task(1, 'c.jpg', *regions, named)], person_from)
        return len(images[0].boxes)

    assert count('human', 'human') == 2  # the only label there is
    assert count('Person ', 'PERSON', 'human') == 2
    assert count('anna', 'bert', person_from='label') == 2  # the labels are the people
    with pytest.raises(ValueError, match='none of the labels human, pet is called "person"; ren'):
        count('pet', 'human')


def test_labels_of_another_control_beside_people_by_label(read):
    content = [
        task(
            1,
            'c.jpg',
            result('r1', 'rectanglelabels', 'who', rectanglelabels=['anna']),
            result('r2', 'rectanglelabels', 'what', rectanglelabels=['Car']),
        )
    ]
    images, tally = read(content, 'who')
    assert [box.person for box in images[0].boxes] == ['anna']
    assert tally.count(OTHER_LABELS) == 1


@pytest.mark.parametrize(
    'stated', [(100, 200), (400, 200), (200, 101), (201, 100), (200, 100), (None, None)]
)
def test_per_cent_of_the_file_whatever_size_is_stated(read, stated):
    content = export()
    for entry in content[1]['annotations'][0]['result']:
        entry |= dict(original_width=stated[0], original_height=stated[1])
    images, tally = read(content)
    assert images[1].boxes[0].bbox == (20, 20, 80, 60)
    assert tally.count(OTHER_SIZES) == (stated not in ((200, 100), (None, None)))


def test_per_cent_of_a_picture_as_it_is_displayed(read, tmp_path):
    """A quarter turn in the EXIF data; the export states the sides as they are stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (200, 100)).save(tmp_path / 'images' / 'c.jpg', exif=exif)
    images, _ = read(export())
    assert images[1].size == (100, 200)
    assert images[1].boxes[0].bbox == (10, 40, 40, 120)


def images_of(root, *names):
    for name in names:
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return TaskImages(ImageFolder(root))


@pytest.mark.parametrize(
    ('address', 'name'),
    [
        ('/data/local-files/?d=hall/cam+1.png', 'hall/cam+1.png'),
        ('/data/local-files/?d=hall/cam%2B1.png', 'hall/cam+1.png'),
        ('/data/local-files/?d=hall/cam%201.png', 'hall/cam 1.png'),
        ('/data/local-files/?d=hall/cam+1.png', 'hall/cam 1.png'),
        ('/data/local-files/?d=hall/cam 1.png', 'hall/cam 1.png'),
        ('/data/local-files/?d=hall/100%25.png', 'hall/100%.png'),
        ('/data/local-files/?d=hall/100%.png', 'hall/100%.png'),
        ('/data/local-files/?d=hall/cam%25201.png', 'hall/cam%201.png'),
        ('/data/local-files/?d=hall/cam%201.png', 'hall/cam%201.png'),
        ('/data/local-files/?d=a/hall/one&two.png', 'hall/one&two.png'),
        ('/data/local-files/?d=a/hall/what?.png', 'hall/what?.png'),
        ('/data/local-files/?d=a/hall/no#1.png', 'hall/no#1.png'),
        ('/data/local-files/?project=3&d=hall/a.png&x=y', 'hall/a.png'),
        ('/data/local-files/?id=7&d=hall/a.png', 'hall/a.png'),
        ('/data/local-files/?d=C:\\pictures\\hall\\a.png', 'hall/a.png'),
        ('http://127.0.0.1:8080/data/local-files/?d=hall/a.png', 'hall/a.png'),
        ('/data/upload/1/0123abcd-no#1.png', 'no#1.png'),
        ('/data/upload/1/0123abcd-what?.png', 'what?.png'),
        ('/data/upload/1/0123abcd-100%25.png', '100%25.png'),
        ('/data/upload/1/0123abcd-a%20b.png', 'a b.png'),
        ('/data/upload/1/0123abcd-a.png', '0123abcd-a.png'),
        ('/data/upload/1/0123abcd-cam_1.png', 'hall/cam 1.png'),
        ('/data/upload/1/0123abcd-cam1.png', 'cam#1.png'),
        ('https://host/files/hall/a.png?token=5', 'hall/a.png'),
        ('https://host/files/hall/a%20b.png', 'hall/a b.png'),
        ('https://host/files/hall/a.png?d=200x200#top', 'hall/a.png'),
        ('https://host/get?file=hall%2Fa.png&size=5', 'hall/a.png'),
        ('s3://bucket/hall/no#1+2%3.png', 'hall/no#1+2%3.png'),
        ('gs://bucket/hall/a?b.png', 'hall/a?b.png'),
        ('azure-blob://box/hall/a.png', 'hall/a.png'),
        ('C:\\Users\\me\\hall\\a b#1.png', 'hall/a b#1.png'),
        ('file:///C:/hall/a%20b.png', 'hall/a b.png'),
        ('hall/a;b=c.png', 'hall/a;b=c.png'),
        ('//server/share/hall/a.png', 'hall/a.png'),
        (
            f'/tasks/5/resolve/?fileuri={urlsafe_b64encode(b"s3://bucket/hall/a.png").decode()}',
            'hall/a.png',
        ),
    ],
)
def test_what_an_address_means(tmp_path, address, name):
    assert images_of(tmp_path, name, 'b.png').find(address) == name


def test_the_likelier_of_two_files(tmp_path):
    images = images_of(tmp_path, 'a b.png', 'a%20b.png', 'a+b.png')
    for start, name in (
        ('/data/local-files/?d=', 'a b.png'),  # Label Studio escapes it
        ('https://host/', 'a b.png'),
        ('/data/upload/1/', 'a%20b.png'),  # which it does not do here
        ('s3://bucket/', 'a%20b.png'),
    ):
        assert images.find(f'{start}a%20b.png') == name
        assert images.find(f'{start}a+b.png') == 'a+b.png'


def test_the_longest_end_of_all_readings(tmp_path):
    images = images_of(tmp_path, 'a.png', 'hall/a.png')
    assert images.find('/data/local-files/?d=hall/a.png') == 'hall/a.png'
    assert images.find('/data/local-files/?d=hall%2Fa.png') == 'hall/a.png'
    assert images.find('https://host/hall/a.png?x=y/a.png') == 'hall/a.png'


def test_what_is_no_address_of_a_file(tmp_path):
    images = images_of(tmp_path, 'cam 1.png', 'cam_1.png.bak', 'lift/cam#1.png', 'lift/cam+1.png')
    for address in (
        '',
        '?',
        '?d',
        '?d=',
        '/data/local-files/?d=x',
        'x?fileuri=%%%',
        'x?fileuri=aaa',
    ):
        assert images.find(address) is None
    assert images.find('/data/upload/1/0123abcd-cam1.png') is None  # two files may be meant


NAMES = st.text(
    st.characters(exclude_categories=('Cs', 'Cc'), exclude_characters='/\\'), min_size=1, max_size=8
).map(lambda name: f'{name}.png')
ADDRESSES = {
    'upload': lambda name: f'/data/upload/12/0123abcd-{name}',
    'local': lambda name: f'/data/local-files/?d=up/hall/{quote(name)}',
    'local, not escaped': lambda name: f'/data/local-files/?d=up/hall/{name}',
    'local, of a form': lambda name: f'/data/local-files/?d={quote_plus(f"up/hall/{name}")}',
    'web': lambda name: f'https://host/up/hall/{quote(name)}?token=5&d=3',
    'cloud': lambda name: f's3://bucket/up/hall/{name}',
    'windows': lambda name: f'C:\\up\\hall\\{name}',
    'path': lambda name: f'/up/hall/{name}',
}


@settings(max_examples=200, deadline=None)
@given(name=NAMES, kind=st.sampled_from(sorted(ADDRESSES)))
@example('%41#?&+ =;d=.png', 'upload')
@example('%41#?&+ =;d=.png', 'local')
@example('a&d=b.png', 'local, not escaped')
@example('%2541.png', 'web')
@example('%41?x=y#z.png', 'cloud')
def test_any_name_in_any_kind_of_address(tmp_path_factory, name, kind):
    assume(len(name.encode()) < 100)
    root = tmp_path_factory.mktemp('a')
    images = images_of(root, f'hall/{name}', 'other.png')
    if kind == 'upload':
        images = images_of(root / 'hall')
        assert images.find(ADDRESSES[kind](name)) == name
    else:
        assert images.find(ADDRESSES[kind](name)) == f'hall/{name}'
