"""Colours of garments around the body: patterns, zips, lapels, straps.

Patterns are functions of the place on the body; unit: body heights.
"""

from collections.abc import Callable

import numpy as np

from mmps.synthetic.appearance import CLOTHES, SKINS, Appearance

Pattern = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def unit(values: np.ndarray) -> np.ndarray:
    """Limits to 0..1; np.clip costs several times as much on arrays this small."""
    return np.minimum(np.maximum(values, 0), 1)


def _band(distance: np.ndarray, pixels: float) -> np.ndarray:
    """1 inside (distance below 0), 0 outside, with an edge of one pixel."""
    return unit(0.5 - distance * pixels)


def _stripes(at: np.ndarray, period: float, duty: float, pixels: float) -> np.ndarray:
    wave = np.abs((at / period) % 1 - 0.5) * period
    return _band(wave - duty * period / 2, pixels)


def _checks(u: np.ndarray, v: np.ndarray, pixels: float) -> np.ndarray:
    rows, columns = _stripes(v, 0.11, 0.5, pixels), _stripes(u, 0.11, 0.5, pixels)
    return rows + columns - 2 * rows * columns


def _plaid(u: np.ndarray, v: np.ndarray, pixels: float) -> np.ndarray:
    return 0.5 * (_stripes(v, 0.075, 0.4, pixels) + _stripes(u, 0.075, 0.4, pixels))


def _dots(u: np.ndarray, v: np.ndarray, pixels: float) -> np.ndarray:
    row = np.floor(v / 0.05)
    du = (u / 0.06 + 0.5 * (row % 2)) % 1 - 0.5
    dv = (v / 0.05) % 1 - 0.5
    return _band(np.hypot(du * 0.06, dv * 0.05) - 0.014, pixels)


def _print(u: np.ndarray, v: np.ndarray, pixels: float) -> np.ndarray:
    disk = np.hypot(u, v - 0.11) - 0.05
    ring = np.abs(disk + 0.018) - 0.007
    return unit(_band(disk, pixels) - _band(ring, pixels))


def _camouflage(u: np.ndarray, v: np.ndarray, pixels: float) -> np.ndarray:
    blobs = np.sin(41 * u + 2 * np.sin(33 * v)) + np.sin(47 * v + 2 * np.sin(29 * u + 1))
    return unit(0.5 + blobs * pixels / 60)


PATTERN_FUNCTIONS: dict[str, Pattern] = {
    'hoops': lambda u, v, px: _stripes(v, 0.07, 0.5, px),
    'pinstripes': lambda u, v, px: _stripes(u, 0.06, 0.4, px),
    'checks': _checks,
    'plaid': _plaid,
    'dots': _dots,
    'print': _print,
    'yoke': lambda u, v, px: _band(v - 0.085, px),
    'band': lambda u, v, px: _band(np.abs(v - 0.15) - 0.032, px),
    'halves': lambda u, v, px: unit(0.5 + u * px),
    'diagonal': lambda u, v, px: _stripes(u + v, 0.1, 0.45, px),
    'camouflage': _camouflage,
}
"""Weight of the accent colour at (u around, v down, pixels per unit); 'plain' is absent."""

ALL_OVER = frozenset({'hoops', 'checks', 'plaid', 'dots', 'diagonal', 'camouflage', 'pinstripes'})
"""Patterns that go on along the sleeves and below the waist."""

RADIUS = 0.1
"""Body radius that turns an angle into a length around the body."""


def plain(colour: np.ndarray) -> np.ndarray:
    """One colour (3,) as a picture (3, 1, 1), which broadcasts to any size."""
    return colour.astype(np.float32)[:, None, None]


def overlay(picture: np.ndarray, accent: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mixes a colour (3,) or picture into a picture (3, h, w) or (3, 1, 1) by a weight (h, w)."""
    if accent.ndim == 1:
        accent = plain(accent)
    return picture + (accent - picture) * weight.astype(np.float32)


Array = np.ndarray
BodyPaint = Callable[[Array, Array], Array]
WHITE = CLOTHES[1]


def wrap(angle: Array) -> Array:
    """An angle within a turn, -pi..pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def cloth(look: Appearance, pixels: float, *, part: str = 'body') -> BodyPaint:
    """The garment's cloth without its trimmings, as a function of the angle around the body and the
    distance below the neck (body heights).

    There are `pixels` to a body height; part is 'body', or 'sleeve', where prints and colour blocks
    do not reach.
    """
    base, accent = CLOTHES[look.top_colour], CLOTHES[look.accent]
    pattern = PATTERN_FUNCTIONS.get(look.pattern)
    if part == 'sleeve' and look.pattern not in ALL_OVER:
        pattern = None
        if look.contrast_sleeves or look.top == 'vest':
            base = CLOTHES[look.inner]
    radius = RADIUS * (0.5 if part == 'sleeve' else 1.0)
    scale = look.pattern_scale

    def paint(theta: Array, v: Array) -> Array:
        theta = wrap(theta)
        colour = plain(base)
        if pattern is not None:
            factor = scale if look.pattern in ALL_OVER else 1.0
            weight = pattern(theta * radius / factor, v / factor, pixels * factor)
            colour = overlay(colour, accent, weight)
        folds = 1 + 0.05 * np.sin(5 * theta + 30 * v) * np.sin(45 * v - 3 * theta)
        return colour * folds

    return paint


def top_paint(look: Appearance, pixels: float) -> BodyPaint:
    """The whole upper garment with what is worn over and under it; arguments as `cloth`."""
    body = cloth(look, pixels)
    trim = _TRIMS.get('dress' if look.is_dress else look.top)

    def paint(theta: Array, v: Array) -> Array:
        colour, theta = body(theta, v), wrap(theta)
        if trim is not None:
            colour = trim(look, colour, theta, v, pixels)
        if look.bag == 'backpack':
            straps = _band(np.abs(np.abs(theta) - 0.62) - 0.13, pixels * RADIUS)
            straps = straps * _band(v - 0.2, pixels)
        elif look.bag in ('messenger', 'tote'):
            straps = _strap(look, theta, v, pixels)
        else:
            return colour
        return overlay(colour, CLOTHES[look.bag_colour] * 0.78, straps)

    return paint


def _strap(look: Appearance, theta: Array, v: Array, pixels: float) -> Array:
    if look.bag == 'tote':
        return _band(np.abs(np.abs(theta - 1.25) - 0.25) - 0.07, pixels * RADIUS)
    front = np.where(np.abs(theta) < np.pi / 2, theta, np.sign(theta) * np.pi - theta)
    return _band(np.abs(front * RADIUS - 1.0 * (0.15 - v)) - 0.016, pixels)


def _open_front(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    gap = np.abs(theta) - 0.42
    lapel = _band(np.abs(gap - 0.07) - 0.06, pixels * RADIUS)
    colour = overlay(colour, colour * 0.7, lapel)
    return overlay(colour, CLOTHES[look.inner], _band(gap, pixels * RADIUS))


def _suit(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    opening = np.abs(theta) * RADIUS - 0.055 * (1 - v / 0.2)
    colour = overlay(colour, colour * 0.72, _band(opening - 0.012, pixels))
    colour = overlay(colour, WHITE, _band(opening, pixels))
    tie = np.maximum(np.abs(theta) * RADIUS - 0.013, v - 0.2)
    return overlay(colour, CLOTHES[look.inner], _band(tie, pixels))


def _zip(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    colour = overlay(colour, colour * 0.55, _band(np.abs(theta) * RADIUS - 0.007, pixels))
    return overlay(colour, colour * 0.7, _band(np.abs(v - 0.33) - 0.014, pixels))


def _hoodie(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    pocket = np.maximum(np.abs(v - 0.26) - 0.045, np.abs(theta) * RADIUS - 0.06)
    colour = overlay(colour, colour * 0.78, _band(pocket, pixels))
    hood = np.hypot((np.pi - np.abs(theta)) * RADIUS * 0.6, v - 0.02) - 0.055
    return overlay(colour, CLOTHES[look.inner] * 0.85, _band(hood, pixels))


def _shirt(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    placket = np.abs(theta) * RADIUS - 0.009
    colour = overlay(colour, colour * 0.7, 0.8 * _band(placket, pixels))
    return overlay(colour, WHITE, _band(v - 0.022, pixels))


def _vest(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    seams = np.abs((v / 0.055) % 1 - 0.5) * 0.055 - 0.006
    return overlay(colour, colour * 0.72, _band(seams, pixels))


def _coat(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    edge = np.abs(theta - 0.15) * RADIUS - 0.007
    colour = overlay(colour, colour * 0.6, _band(edge, pixels))
    belt = np.abs(v - 0.27) - 0.014
    return overlay(colour, CLOTHES[look.inner] * 0.9, _band(belt, pixels))


def _neckline(look: Appearance, colour: Array, theta: Array, v: Array, pixels: float) -> Array:
    neck = np.hypot(theta * RADIUS, v) - 0.045
    return overlay(colour, SKINS[look.skin], _band(neck, pixels) * (np.abs(theta) < 1.5))


_TRIMS = {
    'tshirt': _neckline,
    'dress': _neckline,
    'shirt': _shirt,
    'hoodie': _hoodie,
    'jacket': _zip,
    'open_jacket': _open_front,
    'coat': _coat,
    'vest': _vest,
    'suit': _suit,
}


def leg_paint(look: Appearance, pixels: float) -> BodyPaint:
    """Trousers: seams, and the side stripes of track pants; arguments as `cloth`."""
    base, stripe = CLOTHES[look.bottom_colour], CLOTHES[look.accent]
    half = 0.17 if look.bottom == 'track_pants' else 0.0

    def paint(theta: Array, v: Array) -> Array:
        theta = wrap(theta)
        folds = 1 + 0.05 * np.sin(60 * v + 4 * theta)
        colour = plain(base) * folds
        if half:
            side = np.abs(np.abs(theta) - np.pi / 2) - 2 * half
            colour = overlay(colour, stripe, _band(side, pixels * 0.05))
        return colour

    return paint


def skirt_paint(look: Appearance, pixels: float) -> BodyPaint:
    """A pleated skirt in the colour of the lower garment; arguments as `cloth`."""
    base = CLOTHES[look.bottom_colour]

    def paint(theta: Array, v: Array) -> Array:
        pleats = 1 + 0.12 * np.sin(16 * theta)
        return plain(base) * pleats

    return paint
