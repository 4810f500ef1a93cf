"""Patterns of cloth as functions of the place on the body; unit: body heights."""

from collections.abc import Callable

import numpy as np

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
