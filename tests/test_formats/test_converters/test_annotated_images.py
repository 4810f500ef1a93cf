import cv2
import numpy as np
import pytest
from PIL import Image

from mmps.formats.converters.annotated_images import (
    CLIPPED,
    NO_AREA,
    OUTSIDE,
    REPEATED,
    AnnotatedBox,
    AnnotatedImage,
    Annotations,
    Tally,
    fit_boxes,
    measure_images,
    numbered,
)
from mmps.utils.image_folder import ImageFolder


def picture(path, size=(40, 30), turned=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if turned:
        exif[0x0112] = turned
    Image.new('RGB', size).save(path, exif=exif)
    return path


def test_tally():
    tally = Tally()
    tally.add('boxes left out', 'first')
    tally.add('boxes left out', 'second', 3)
    tally.add('nothing', 'x', 0)
    assert tally.lines() == ['4 boxes left out (first: first)']
    assert (tally.count('boxes left out'), tally.count('nothing')) == (4, 0)


@pytest.mark.parametrize(
    ('name', 'pattern', 'camera'),
    [
        ('hall/2024/0001.jpg', None, 'hall'),
        ('0001.jpg', None, None),
        ('/data/hall/0001.jpg', None, None),
        ('c3s1_000151.jpg', r'^c(\d+)s', '3'),
        ('a/cam-12/x.jpg', r'cam-(\w+)', '12'),
    ],
)
def test_camera_of_a_name(name, pattern, camera):
    assert Annotations(None, camera_pattern=pattern).camera_of(name) == camera


@pytest.mark.parametrize(
    ('pattern', 'message'),
    [
        ('(', 'is not a regular expression'),
        ('cam', 'has no group; put the camera into brackets'),
        (r'cam(\d)', "image 'x.jpg': .* does not find a camera"),
        (r'x(\d)?', "image 'x.jpg': .* does not find a camera"),
    ],
)
def test_patterns_that_find_no_camera(pattern, message):
    with pytest.raises(ValueError, match=message):
        Annotations(None, camera_pattern=pattern).camera_of('x.jpg')


def test_numbers_stay_and_names_get_ranks():
    assert numbered(['10', '9', '10', '0']) == {'0': 0, '10': 10, '9': 9}
    assert numbered(['carl', 'anna', 'anna']) == {'anna': 0, 'carl': 1}
    assert numbered(['7', 'anna'], start=1) == {'7': 1, 'anna': 2}
    assert numbered(['7', '07']) == {'07': 0, '7': 1}  # two names of one number are two people
    assert numbered(['7', str(2**31)]) == {'2147483648': 0, '7': 1}
    assert numbered([]) == {}


@pytest.mark.parametrize(
    ('value', 'person'),
    [
        ('anna', 'anna'),
        (' 7 ', '7'),
        (7, '7'),
        (7.0, '7'),
        ('', None),
        (None, None),
        (-1, None),
        (-1.0, None),
        ('?', None),
        ('7.0', '7'),
        ('007', '7'),
        ('+7.', '7'),
        ('0', '0'),
        ('00', '0'),
        ('-0.0', '0'),
        ('-1.0', None),
        ('7.5', '7.5'),
        ('7a', '7a'),
        ('1e3', '1e3'),
        ('nan', None),
        ('NaN', None),
        ('#N/A', None),
        ('<NA>', None),
        (' None ', None),
        ('jose\u0301', 'jos\u00e9'),
    ],
)
def test_person_of_a_value(value, person):
    annotations = Annotations(None, unlabelled=['-1', '?'])
    assert annotations.person_of(value, 'x.json: [3]') == person


@pytest.mark.parametrize('value', [True, [7], {'a': 1}])
def test_values_that_are_no_name(value):
    with pytest.raises(ValueError, match=r'^x\.json: \[3\]: '):
        Annotations(None).person_of(value, 'x.json: [3]')


@pytest.mark.parametrize(('turned', 'size'), [(None, (40, 30)), (3, (40, 30)), (6, (30, 40))])
def test_size_is_that_of_the_image_as_it_is_shown(tmp_path, turned, size):
    path = picture(tmp_path / 'a.jpg', turned=turned)
    assert measure_images(ImageFolder(tmp_path), ['a.jpg']) == [size]
    assert cv2.imread(str(path)).shape[1::-1] == size


def test_missing_and_broken_images_are_named(tmp_path):
    picture(tmp_path / 'a.jpg')
    with pytest.raises(FileNotFoundError, match=r'c\.jpg: .* missing \(2 of 3 are\)'):
        measure_images(ImageFolder(tmp_path), ['a.jpg', 'c.jpg', 'd.jpg'])
    (tmp_path / 'b.jpg').write_text('no image')
    with pytest.raises(ValueError, match=r'b\.jpg: not an image'):
        measure_images(ImageFolder(tmp_path), ['a.jpg', 'b.jpg'])


def test_boxes_are_fitted_and_everything_left_out_is_counted(tmp_path):
    picture(tmp_path / 'a.jpg')
    boxes = [
        AnnotatedBox((1, 2, 3, 4), 'anna', 'line 1'),
        AnnotatedBox((-5, 2, 3, 99), 'anna', 'line 2', is_query=True),
        AnnotatedBox((40, 2, 50, 4), 'anna', 'line 3'),
        AnnotatedBox((5, 5, 5, 9), 'anna', 'line 4'),
        AnnotatedBox((1, 2, 3, 4), 'anna', 'line 5', is_query=True),
        AnnotatedBox((1, 2, 3, 4), None, 'line 6'),
    ]
    image = AnnotatedImage('a.jpg', 'x', boxes=boxes)
    annotations = Annotations(tmp_path, images={'a.jpg': image})
    fit_boxes(annotations)
    assert image.size == (40, 30)
    assert [(box.bbox, box.person, box.is_query) for box in image.boxes] == [
        ((1, 2, 3, 4), 'anna', True),  # marked the second time
        ((0, 2, 3, 30), 'anna', True),
        ((1, 2, 3, 4), None, False),
    ]
    assert annotations.tally.lines() == [
        f'1 {remark} (first: line {line})'
        for remark, line in ((CLIPPED, 2), (OUTSIDE, 3), (NO_AREA, 4), (REPEATED, 5))
    ]


def test_shares_instead_of_pixels_are_noticed(tmp_path):
    picture(tmp_path / 'a.jpg')
    boxes = [AnnotatedBox(tuple(np.array([0.1, 0.2, 0.5, 1.0])), 'anna', 'x.csv, line 2')]
    with pytest.raises(ValueError, match='x.csv, line 2: .* at most 1; give pixels, not shares'):
        fit_boxes(
            Annotations(tmp_path, images={'a.jpg': AnnotatedImage('a.jpg', 'x', boxes=boxes)})
        )
