"""The colours that people wear above and below the waist, taken from the picture.

No network is needed, and no colour is meant to tell people apart: several wear the same. Where it
is wrong, and how often, stands in docs/search.md.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from .records import COLOURS
from .rows import pack_colours

SHARE = 0.1
"""Part of what is looked at from which on a colour counts."""
PLACES = ((0.22, 0.5), (0.53, 0.72))
"""From which to which share of a box's height the clothes above and below the waist are looked at:
below chin and above the hem of shorts and skirts."""
MIDDLE = (0.33, 0.67)
"""The same of its width: what is beside the body is left out."""
BALANCE = 0.75
"""Power of the correction by the colour of the light: 1 would trust its estimate wholly."""
_POWERS = (np.arange(256) / 255) ** 6
_LEVELS = 64
_LOOKED_AT = 32
"""Rows and columns of a region that are looked at, about."""


def clothing_colours(image: np.ndarray, boxes: np.ndarray) -> list[str]:
    """Colours of what everybody in an image, (h, w, 3) uint8 BGR, wears above and below the waist.

    The colour of the light is estimated from the whole image by Minkowski's norm with p = 6
    (Finlayson and Trezzi, Shades of Gray and Colour Constancy, CIC 2004).

    Returns:
        For each box (n, 4) xyxy in pixels a text as a gallery keeps it, e.g.
        ``,upper red,upper white,lower blue,``; empty where the box is outside the image.
    """
    height, width = image.shape[:2]
    some = _POWERS.take(_thinned(image, 4 * _LOOKED_AT)).reshape(-1, 3)
    light = np.maximum(some.mean(0) ** (1 / 6), 1e-3)
    gains = (light.mean() / light) ** BALANCE * (_LEVELS - 1) / 255
    found = []
    for x1, y1, x2, y2 in np.asarray(boxes, np.float64).reshape(-1, 4):
        left, right = _pixels(x1, x2, MIDDLE, width)
        bands = [_pixels(y1, y2, place, height) for place in PLACES]
        parts = [_thinned(image[top:bottom, left:right], _LOOKED_AT) for top, bottom in bands]
        found.append(pack_colours(*(_worn(part * gains) for part in parts)))
    return found


def _worn(pixels: np.ndarray) -> list[str]:
    """The colours of clothes that fill a picture (h, w, 3) BGR in levels of :func:`_table`."""
    if not pixels.size:
        return []
    levels = np.minimum(pixels + 0.5, _LEVELS - 1).astype(np.intp)
    colours = _table()[levels[..., 0], levels[..., 1], levels[..., 2]]
    shares = np.bincount(colours.reshape(-1), minlength=len(COLOURS)) / colours.size
    counts = shares >= min(SHARE, shares.max())
    return [name for name, worn in zip(COLOURS, counts, strict=True) if worn]


def _thinned(image: np.ndarray, least: int) -> np.ndarray:
    """Some of the rows and columns of an image, evenly spread: at least so many of each."""
    down, across = (max(1, side // least) for side in image.shape[:2])
    return image[::down, ::across]


def _pixels(low: float, high: float, part: tuple[float, float], size: int) -> tuple[int, int]:
    """First and last but one of the pixels in a part of a side of a box, at least one of them."""
    start, end = (round(low + share * (high - low)) for share in part)
    return min(max(start, 0), size), min(max(end, start + 1, 0), size)


@lru_cache
def _table() -> np.ndarray:
    """The colour of every mixture of some levels of blue, green and red, (k, k, k) uint8."""
    levels = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    mixtures = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), -1)
    return _named(mixtures.reshape(1, -1, 3)).reshape((_LEVELS,) * 3).astype(np.uint8)


def _named(pixels: np.ndarray) -> np.ndarray:
    """Which of the colours each of some pixels (1, n, 3) float32 BGR in 0..1 has, (n,).

    By lightness, chroma and hue in CIELAB. Dark and pale shades of orange are called brown.
    """
    lightness, a, b = np.moveaxis(cv2.cvtColor(pixels, cv2.COLOR_BGR2LAB)[0], -1, 0)
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    code = {name: number for number, name in enumerate(COLOURS)}
    bounds = {'red': 48, 'orange': 76, 'yellow': 105, 'green': 190, 'blue': 300, 'purple': 330}
    names = [*(code[name] for name in bounds), code['pink']]
    found = np.array(names)[np.digitize(hue, [*bounds.values()])]
    # CIELAB bends towards purple what is purely blue.
    found[(hue >= 300) & (hue < 309) & (chroma >= 70)] = code['blue']
    light_red = (hue < 25) & (lightness >= 45) & (chroma < 60)
    light_red |= (hue < 48) & (lightness > 58) & (chroma < 45)
    found[light_red] = code['pink']
    found[(hue >= 330) & (hue < 345) & (lightness < 45)] = code['purple']
    found[(hue >= 345) & (lightness < 45)] = code['red']
    earthy = (hue >= 25) & (hue < 105) & (lightness < 58) & (chroma < 42)
    found[earthy & ((hue >= 45) | (chroma <= 32))] = code['brown']
    least = np.where((hue > 25) & (hue < 105) & (lightness < 60), 9, 14)
    grey = chroma < np.where(lightness < 28, 14, least)
    shades = np.digitize(lightness, [28, 66])
    found[grey] = np.array([code['black'], code['grey'], code['white']])[shades[grey]]
    found[lightness < 8] = code['black']
    return found
