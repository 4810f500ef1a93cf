"""Things that stand about and are not people: cars, bins, signs, posters, mannequins."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike

from mmps.synthetic.appearance import CLOTHES, as_mannequin, sample_appearance, sample_pose
from mmps.synthetic.person import Sprite, draw_person

_FINE = 2
Points = Sequence[tuple[float, float]]


class _Board:
    """A transparent drawing in units of one body height, its origin on the ground."""

    def __init__(self, pixels: float, width: float, height: float) -> None:
        self.unit = pixels * _FINE
        self.origin = np.array([width / 2 * self.unit + 4, height * self.unit + 4])
        shape = int(height * self.unit) + 12, int(width * self.unit) + 8
        self.rgb = np.zeros((*shape, 3), np.float32)
        self.alpha = np.zeros(shape, np.float32)

    def _at(self, points: Points) -> np.ndarray:
        scaled = np.array(points, np.float64) * [self.unit, -self.unit] + self.origin
        return np.round(scaled).astype(np.int32)

    def polygon(self, points: Points, colour: ArrayLike) -> None:
        cv2.fillPoly(self.rgb, [self._at(points)], tuple(float(c) for c in colour))
        cv2.fillPoly(self.alpha, [self._at(points)], 1.0)

    def box(self, x1: float, y1: float, x2: float, y2: float, colour: ArrayLike) -> None:
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], colour)

    def disk(self, x: float, y: float, radius: float, colour: ArrayLike) -> None:
        centre = tuple(int(c) for c in self._at([(x, y)])[0])
        size = max(1, round(radius * self.unit))
        cv2.circle(self.rgb, centre, size, tuple(float(c) for c in colour), -1)
        cv2.circle(self.alpha, centre, size, 1.0, -1)

    def sprite(self, light: float, rounding: float = 0.25) -> Sprite:
        """Shades the drawing from side to side and reduces it to pixels."""
        width, height = self.alpha.shape[1] // _FINE, self.alpha.shape[0] // _FINE
        side = np.linspace(-1, 1, self.alpha.shape[1], dtype=np.float32)[None, :, None]
        drop = np.linspace(1.06, 0.86, self.alpha.shape[0], dtype=np.float32)[:, None, None]
        lit = (1 + rounding * light * side) * drop
        rgb = cv2.resize(self.rgb * lit, (width, height), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self.alpha, (width, height), interpolation=cv2.INTER_AREA)
        return Sprite(rgb, alpha, (float(self.origin[0] / _FINE), float(self.origin[1] / _FINE)))


def _colour(rng: np.random.Generator) -> np.ndarray:
    return CLOTHES[rng.integers(len(CLOTHES))] * rng.uniform(0.75, 1.1)


def _car(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    board, body = _Board(pixels, 2.5, 0.85), _colour(rng)
    shape = [(-1.2, 0.14), (-1.2, 0.42), (-0.75, 0.5), (-0.45, 0.78), (0.4, 0.8)]
    shape += [(0.78, 0.52), (1.15, 0.44), (1.22, 0.3), (1.2, 0.14)]
    flip = rng.choice((-1, 1))
    board.polygon([(flip * x, y) for x, y in shape], body)
    glass = [(-0.63, 0.5), (-0.4, 0.73), (0.36, 0.75), (0.63, 0.5)]
    board.polygon([(flip * x, y) for x, y in glass], (72, 88, 104))
    shine = [(-0.3, 0.5), (-0.2, 0.74), (0.0, 0.74), (-0.1, 0.5)]
    board.polygon([(flip * x, y) for x, y in shine], (134, 154, 170))
    board.box(-0.04, 0.2, -0.01, 0.76, body * 0.8)
    board.box(-1.2, 0.12, 1.2, 0.18, body * 0.5)
    board.box(-1.2, 0.3, 1.2, 0.315, body * 0.75)
    board.box(flip * 1.14, 0.33, flip * 1.21, 0.41, (246, 236, 200))
    board.box(flip * -1.2, 0.33, flip * -1.14, 0.41, (170, 40, 36))
    for x in (-0.75, 0.75):
        board.disk(x, 0.15, 0.17, (26, 26, 28))
        board.disk(x, 0.15, 0.09, (150, 152, 154))
        board.disk(x, 0.15, 0.03, (60, 60, 62))
    return board.sprite(light, 0.1)


def _bin(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    board, body = _Board(pixels, 0.5, 0.68), _colour(rng)
    board.polygon([(-0.17, 0), (-0.21, 0.55), (0.21, 0.55), (0.17, 0)], body)
    for x in (-0.1, 0.0, 0.1):
        board.box(x - 0.012, 0.04, x + 0.012, 0.5, body * 0.75)
    board.polygon([(-0.24, 0.55), (-0.18, 0.64), (0.18, 0.64), (0.24, 0.55)], body * 0.6)
    return board.sprite(light)


def _sign(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    board, face = _Board(pixels, 0.7, 1.6), _colour(rng)
    board.box(-0.022, 0, 0.022, 1.5, (120, 122, 126))
    if rng.random() < 0.5:
        board.disk(0, 1.34, 0.2, (232, 230, 226))
        board.disk(0, 1.34, 0.165, face)
        board.box(-0.1, 1.31, 0.1, 1.37, (240, 238, 234))
    else:
        board.box(-0.28, 1.1, 0.28, 1.52, (232, 230, 226))
        board.box(-0.255, 1.125, 0.255, 1.495, face)
        for row in (1.2, 1.3, 1.4):
            board.box(-0.18, row, rng.uniform(0, 0.2), row + 0.03, (240, 238, 234))
    return board.sprite(light)


def _lamp(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    board = _Board(pixels, 0.5, 2.3)
    board.box(-0.03, 0, 0.03, 2.05, (66, 70, 74))
    board.box(-0.06, 0, 0.06, 0.22, (56, 58, 62))
    board.polygon([(-0.08, 2.02), (-0.13, 2.22), (0.13, 2.22), (0.08, 2.02)], (250, 238, 205))
    board.box(-0.14, 2.21, 0.14, 2.26, (56, 58, 62))
    return board.sprite(light)


def _planter(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    board = _Board(pixels, 0.9, 0.9)
    pot = _colour(rng) * 0.5 + 70
    board.polygon([(-0.22, 0), (-0.3, 0.34), (0.3, 0.34), (0.22, 0)], pot)
    board.box(-0.32, 0.3, 0.32, 0.36, pot * 0.8)
    for number in range(36):
        x, y = rng.uniform(-0.32, 0.32), rng.uniform(0.36, 0.76)
        x *= 1.15 - 0.6 * (y - 0.36)
        leaf = np.array([62, 104, 50]) * (0.6 + 0.016 * number) * rng.uniform(0.8, 1.2)
        board.disk(x, y, rng.uniform(0.045, 0.085), leaf)
    return board.sprite(light)


def _bench(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    board, wood = _Board(pixels, 1.3, 0.55), np.array([140, 100, 66]) * rng.uniform(0.8, 1.2)
    for x in (-0.5, 0.5):
        board.box(x - 0.03, 0, x + 0.03, 0.5, (54, 56, 58))
    for row in (0.22, 0.33, 0.42):
        board.box(-0.6, row, 0.6, row + 0.065, wood * (0.8 + row))
    return board.sprite(light)


def _poster(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    """A board with the picture of a person: looks like one, is none."""
    board, back = _Board(pixels, 0.8, 1.35), _colour(rng)
    board.box(-0.34, 0.06, 0.34, 1.3, (66, 68, 72))
    board.box(-0.3, 0.1, 0.3, 1.26, back * 0.5 + 110)
    board.box(-0.3, 0, -0.24, 0.1, (54, 56, 58))
    board.box(0.24, 0, 0.3, 0.1, (54, 56, 58))
    sprite = board.sprite(light, 0.1)
    look = sample_appearance(rng, int(rng.integers(1000)))
    person = draw_person(look, sample_pose(rng, 0.0), pixels * 0.9, light)
    paste(sprite.rgb, person, sprite.foot[0], sprite.foot[1] - 0.15 * pixels, fade=0.85)
    return sprite


def _mannequin(rng: np.random.Generator, pixels: float, light: float) -> Sprite:
    """A shop-window figure on a stand, all of one material."""
    look = as_mannequin(sample_appearance(rng, int(rng.integers(1000))))
    person = draw_person(look, sample_pose(rng, 0.1), pixels, light)
    grey = person.rgb.mean(2, keepdims=True) * 0.4 + 110 * person.alpha[..., None]
    tone = np.array([1.0, 0.97, 0.9], np.float32) * rng.uniform(0.8, 1.1)
    return Sprite((grey * tone).astype(np.float32), person.alpha, person.foot)


PROPS = {
    'car': _car,
    'bin': _bin,
    'sign': _sign,
    'lamp': _lamp,
    'planter': _planter,
    'bench': _bench,
    'poster': _poster,
    'mannequin': _mannequin,
}
"""Draws a thing for a place where a body is `pixels` tall, lit from `light`."""

FREQUENCY = {'poster': 0.4, 'mannequin': 0.4}
"""How often a thing is met, where it is not as often as the others."""

OUTDOOR_ONLY = frozenset({'car', 'lamp'})


def paste(
    image: np.ndarray, sprite: Sprite, x: float, y: float, fade: float = 1.0
) -> tuple[slice, slice, slice, slice]:
    """Draws a sprite into an image, (h, w, 3) float32, so that its foot stands at x, y in pixels;
    `fade` is a factor on its opacity.

    Returns:
        Rows and columns of the image, then rows and columns of the sprite, that meet.
    """
    rows, columns, own_rows, own_columns = window = overlap(image.shape[:2], sprite, x, y)
    patch = image[rows, columns]
    if patch.size:
        keep = 1 - fade * sprite.alpha[own_rows, own_columns]
        patch *= cv2.merge([keep, keep, keep])
        patch += sprite.rgb[own_rows, own_columns] * np.float32(fade)
    return window


def overlap(
    shape: tuple[int, int], sprite: Sprite, x: float, y: float
) -> tuple[slice, slice, slice, slice]:
    """Where a sprite whose foot stands at x, y meets a picture; result as `paste`."""
    height, width = sprite.alpha.shape
    left, top = round(x - sprite.foot[0]), round(y - sprite.foot[1])
    y1, x1 = min(max(top, 0), shape[0]), min(max(left, 0), shape[1])
    y2, x2 = min(max(top + height, y1), shape[0]), min(max(left + width, x1), shape[1])
    own = slice(y1 - top, y2 - top), slice(x1 - left, x2 - left)
    return slice(y1, y2), slice(x1, x2), *own
