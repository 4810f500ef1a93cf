"""The colours of clothes in pictures whose colours are known."""

import numpy as np
import pytest

from mmps.retrieval import COLOURS, clothing_colours
from mmps.retrieval.rows import pack_colours, unpack_colours

RGB = {
    'black': (25, 24, 28),
    'white': (230, 230, 226),
    'grey': (125, 127, 130),
    'red': (180, 30, 35),
    'orange': (235, 130, 30),
    'yellow': (230, 205, 50),
    'green': (40, 120, 60),
    'blue': (45, 80, 160),
    'purple': (105, 50, 130),
    'pink': (235, 150, 175),
    'brown': (110, 75, 48),
}
BOX = (20, 10, 60, 110)
"""Of 40 x 100 pixels: rows 32 to 60 are looked at, and 63 to 82, and columns 33 to 47."""


def picture(upper, lower, light=(1, 1, 1)):
    """Somebody before a grey wall, in a light that is RGB times as strong."""
    image = np.full((160, 240, 3), 140.0)
    image[10:61, 20:60], image[61:110, 20:60] = RGB[upper], RGB[lower]
    return np.minimum(image * light, 255).astype(np.uint8)[..., ::-1]


def worn(image, box=BOX):
    return unpack_colours(clothing_colours(image, np.array([box]))[0])


@pytest.mark.parametrize('light', [(1, 1, 1), (1.08, 1, 0.85), (0.92, 0.98, 1.08)])
@pytest.mark.parametrize('name', COLOURS)
def test_each_colour_above_and_below_the_waist_in_any_light(name, light):
    other = 'grey' if name == 'blue' else 'blue'
    assert worn(picture(name, other, light)) == ((name,), (other,))
    assert worn(picture(other, name, light)) == ((other,), (name,))


@pytest.mark.parametrize(('columns', 'counts'), [(1, False), (2, True)])
def test_a_colour_counts_from_a_tenth_on(columns, counts):
    image = picture('white', 'black')
    image[32:60, 40 : 40 + columns] = RGB['red'][::-1]  # 1/14 or 2/14 of what is looked at
    assert worn(image) == (('white', *(['red'] * counts)), ('black',))


def test_what_is_beside_the_body_does_not_count():
    image = picture('green', 'brown')
    image[10:32, 20:60] = image[10:110, 20:33] = image[10:110, 47:60] = RGB['purple'][::-1]
    assert worn(image) == (('green',), ('brown',))


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ((-10, 10, 90, 110), (('red',), ('blue',))),
        ((20.4, 9.8, 59.7, 110.3), (('red',), ('blue',))),
        ((40, 40, 40.4, 40.6), (('red',), ('red',))),  # less than a pixel
        ((300, 10, 340, 110), ((), ())),  # outside
        ((20, -300, 60, 30), ((), ())),
    ],
)
def test_boxes_that_do_not_fit_the_picture(box, expected):
    assert worn(picture('red', 'blue'), box) == expected


def test_a_dark_and_an_empty_picture():
    assert worn(np.zeros((120, 80, 3), np.uint8)) == (('black',), ('black',))
    assert clothing_colours(picture('red', 'blue'), np.zeros((0, 4))) == []


def test_one_text_of_all_colours_and_back():
    assert pack_colours(['red'], ['blue', 'grey']) == ',upper red,lower blue,lower grey,'
    for worn in ((('red', 'white'), ('black',)), ((), COLOURS), (COLOURS, ()), ((), ())):
        assert unpack_colours(pack_colours(*worn)) == worn


@pytest.mark.parametrize(
    ('rgb', 'name'), [((0, 0, 255), 'blue'), ((20, 40, 210), 'blue'), ((138, 43, 226), 'purple')]
)
def test_pure_blue_is_not_purple(rgb, name):
    image = np.full((160, 240, 3), 140, np.uint8)
    image[10:110, 20:60] = rgb[::-1]
    assert worn(image) == ((name,), (name,))
