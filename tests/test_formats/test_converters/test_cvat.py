import json

import pytest
from PIL import Image

from mmps.formats.converters.annotated_images import ROTATED, Annotations
from mmps.formats.converters.cvat import CROWDS, OTHER_LABELS, export_images, read_cvat


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
        annotations = Annotations(tmp_path / 'images')
        read_cvat(paths, annotations, **options)
        return list(annotations.images.values()), annotations.tally

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
        (('annotations', 0, 'bbox'), [1, 2], r'annotations\[0\].bbox: Expected `array` of le'),
        (
            ('annotations', 0, 'attributes', 'person_id'),
            True,
            r'annotations\[0\]: True does not na',
        ),
        (
            ('images', 1, 'file_name'),
            'hall/a.jpg',
            r"images\[1\]: image 'hall/a.jpg' occurs twice",
        ),
        (('images', 1, 'id'), 1, r'images\[1\].id: the id 1 occurs twice'),
        (('categories', 0, 'name'), 'man', 'categories: none of man, car is called "person"'),
        (('annotations',), None, 'annotations: Expected `array`, got `null`'),
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
    with pytest.raises(ValueError, match=r'--person-attribute; did you mean number\?'):
        read(export(), attribute='Number_')
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


def cvat_export(root, subset, names, *, at=None, person='anna', **attributes):
    """``root/annotations/instances_SUBSET.json`` and images where CVAT puts them, or at ``at``."""
    entries = []
    for number, name in enumerate(names):
        path = root / ('images' if at is None else at) / (subset if at is None else '') / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (100, 100)).save(path)
        entries.append(box(number, number, 1, {'person_id': person} | attributes))
    images = [dict(id=number, file_name=name) for number, name in enumerate(names)]
    path = root / 'annotations' / f'instances_{subset}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{'id': 1, 'name': 'person'}]
    path.write_text(json.dumps(dict(images=images, annotations=entries, categories=categories)))
    return path


def names_and_cameras(paths, root=None, **options):
    annotations = Annotations(root or export_images(paths), **options)
    read_cvat(paths, annotations)
    return [(image.name, image.camera, image.split) for image in annotations.images.values()]


@pytest.mark.parametrize('subset', ['default', 'Train', 'my subset'])
def test_pictures_of_a_subset_are_in_its_folder(tmp_path, subset):
    """CVAT's ``file_name`` leaves the subset out; one subset alone says nothing about a split."""
    paths = [cvat_export(tmp_path, subset, ['hall/1.png', 'lift/1.png'])]
    found = [(f'{subset}/hall/1.png', 'hall', None), (f'{subset}/lift/1.png', 'lift', None)]
    assert names_and_cameras(paths) == found
    outside = [(f'images/{name}', camera, split) for name, camera, split in found]
    assert names_and_cameras(paths, tmp_path) == outside
    flat = [(name.partition('/')[2], camera, split) for name, camera, split in found]
    assert names_and_cameras(paths, tmp_path / 'images' / subset) == flat


def test_pictures_without_a_folder_for_the_subset(tmp_path):
    paths = [cvat_export(tmp_path, 'default', ['hall/1.png', '2.png'], at='images')]
    assert names_and_cameras(paths) == [('hall/1.png', 'hall', None), ('2.png', None, None)]


def test_several_subsets_of_one_task(tmp_path):
    """Frames of videos have the same names in each; the subset is the only camera there is."""
    paths = [cvat_export(tmp_path, name, ['frame_000000.PNG']) for name in ('hall', 'lift')]
    assert names_and_cameras(paths) == [
        ('hall/frame_000000.PNG', 'hall', None),
        ('lift/frame_000000.PNG', 'lift', None),
    ]


@pytest.mark.parametrize('tested', ['Test', 'Validation', 'val'])
def test_subsets_that_are_splits(tmp_path, tested):
    paths = [cvat_export(tmp_path, name, ['hall/1.png', '2.png']) for name in ('Train', tested)]
    assert names_and_cameras(paths) == [
        ('Train/hall/1.png', 'hall', 'train'),
        ('Train/2.png', None, 'train'),
        (f'{tested}/hall/1.png', 'hall', 'test'),
        (f'{tested}/2.png', None, 'test'),
    ]


def test_two_tasks_are_two_cameras(tmp_path):
    frames = ['frame_000000.PNG', 'frame_000001.PNG']
    paths = [cvat_export(tmp_path / c, 'default', frames) for c in ('hall', 'lift')]
    found = [(f'{c}/images/default/{name}', c, None) for c in ('hall', 'lift') for name in frames]
    assert names_and_cameras(paths) == found
    assert names_and_cameras(paths, tmp_path) == found
    assert names_and_cameras(paths, camera_pattern='^(.)') == [
        (name, camera[0], split) for name, camera, split in found
    ]
    with pytest.raises(
        ValueError, match=r"images\[0\]: image 'default/frame_000000.PNG' occurs tw"
    ):
        names_and_cameras(paths, tmp_path / 'hall' / 'images')


@pytest.mark.parametrize('folder', ['', 'hall', 'hall/annotations'])
def test_paths_relative_to_any_folder(tmp_path, monkeypatch, folder):
    path = cvat_export(tmp_path / 'hall', 'default', ['lift/1.png'])
    monkeypatch.chdir(tmp_path / folder)
    paths = [path.relative_to(tmp_path / folder)]
    assert names_and_cameras(paths) == [('default/lift/1.png', 'lift', None)]


def test_two_tasks_whose_pictures_were_moved(tmp_path):
    paths = []
    for camera in ('hall', 'lift'):
        export = cvat_export(tmp_path / camera, 'default', ['1.png'], at=f'../pictures/{camera}')
        paths.append(export)
    assert names_and_cameras(paths, tmp_path / 'pictures') == [
        ('hall/1.png', 'hall', None),
        ('lift/1.png', 'lift', None),
    ]


@pytest.mark.parametrize(
    ('degrees', 'corners'),
    [
        (0, (40, 20, 60, 80)),
        (90, (20, 40, 80, 60)),
        (-90, (20, 40, 80, 60)),
        (180, (40, 20, 60, 80)),
        (360, (40, 20, 60, 80)),
        (45, (50 - 40 / 2**0.5, 50 - 40 / 2**0.5, 50 + 40 / 2**0.5, 50 + 40 / 2**0.5)),
        # 20 x 60: half of 20 cos 30 + 60 sin 30, and of 20 sin 30 + 60 cos 30
        (30, (50 - 23.6603, 50 - 30.9808, 50 + 23.6603, 50 + 30.9808)),
        (330, (50 - 23.6603, 50 - 30.9808, 50 + 23.6603, 50 + 30.9808)),
    ],
)
def test_a_rotated_box_is_turned_around_its_centre(read, degrees, corners):
    content = export()
    first = content['annotations'][0]
    first['bbox'] = [40, 20, 20, 60]
    first['attributes']['rotation'] = float(degrees)
    images, tally = read(content)
    assert images[0].boxes[0].bbox == pytest.approx(corners, abs=1e-4)
    assert tally.count(ROTATED) == (degrees % 360 != 0)


def test_an_outline_is_not_turned_again(read):
    content = export()
    outline = [[40, 20, 60, 20, 50, 80]]
    content['annotations'][0] |= dict(bbox=[40, 20, 20, 60], segmentation=outline)
    content['annotations'][0]['attributes']['rotation'] = 30.0
    content['annotations'][1]['attributes']['rotation'] = 'left'  # an attribute of one's own
    images, tally = read(content)
    assert images[0].boxes[0].bbox == (40, 20, 60, 80)
    assert tally.count(ROTATED) == 0
