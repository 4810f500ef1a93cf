"""Head, face, hair, hats and scarves."""

from typing import TYPE_CHECKING

import numpy as np

from mmps.synthetic.appearance import Appearance
from mmps.synthetic.clothes import BodyPaint
from mmps.synthetic.palette import CLOTHES, HAIRS, SKINS
from mmps.synthetic.textures import overlay, plain, unit

if TYPE_CHECKING:
    from mmps.synthetic.person import Figure

CENTRE, HALF_HEIGHT = 0.935, 0.062
LIPS = np.array([0.7, 0.45, 0.45], np.float32)
LONG_HAIR = {'long': 0.155, 'bob': 0.075, 'ponytail': 0.13}


def _disk(radius: float) -> tuple[float, float]:
    return radius, radius


def add_head(figure: 'Figure') -> None:
    """Adds neck, head, hair, hat and scarf to a `Figure`."""
    look, px = figure.look, figure.pixels
    lean = figure.joints['neck'] * [1, 1, 0]
    rise = figure.joints['neck'][2] - 0.86
    centre = lean + [0, 0.012, CENTRE + rise]
    skin, hair = SKINS[look.skin], HAIRS[look.hair]
    neck = np.array([0.028, 0.028]) * px
    figure.add(0.015, centre, centre - [0, 0.01, 0.1], neck, skin, shade=0.88)
    radius = float(figure.width(0.045, 0.053))
    offset = HALF_HEIGHT - radius / px
    top, chin = centre + [0, 0, offset], centre - [0, 0, offset]
    paint = _face_paint(look, px)
    radii = np.array([radius, radius * 1.02, radius * 0.9])
    figure.add(0.05, top, chin, radii, paint, span=(-offset, offset))
    if look.hat != 'headscarf':
        _add_hair(figure, centre, radius, hair)
    _add_hat(figure, centre, radius)
    if look.scarf:
        scarf, ring = CLOTHES[look.hat_colour], np.array([0.055, 0.06]) * px
        figure.add(0.055, lean + [0, 0, 0.875 + rise], lean + [0, 0.01, 0.845 + rise], ring, scarf)
        end = np.array([0.03, 0.075, 0.7 + rise])
        tail = np.array([0.022, 0.024]) * px
        start = end + [0.0, 0.0, 0.14]
        figure.add(figure.depth(end), start, end, tail, scarf * 0.92, flat=(False, True))


def _face_paint(look: Appearance, px: float) -> BodyPaint:
    skin, hair = SKINS[look.skin], HAIRS[look.hair]
    bald = look.hair_style == 'bald'

    def paint(theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        theta = np.abs((theta + np.pi) % (2 * np.pi) - np.pi)
        across = theta * 0.047
        colour = plain(skin)
        eyes = np.hypot(across - 0.018, (v + 0.006) * 1.2) - 0.006
        colour = overlay(colour, skin * 0.25, unit(0.5 - eyes * px))
        mouth = np.maximum(np.abs(v - 0.028) - 0.0035, across - 0.014)
        colour = overlay(colour, skin * LIPS, unit(0.5 - mouth * px))
        if look.beard:
            beard = unit(0.5 + (v - 0.018) * px) * (theta < 1.9)
            colour = overlay(colour, hair, beard)
        if not bald:
            hairline = -0.03 + 0.075 * unit((theta - 0.75) / 0.9)
            colour = overlay(colour, hair, unit(0.5 + (hairline - v) * px))
        return colour

    return paint


def _add_hair(figure: 'Figure', centre: np.ndarray, radius: float, hair: np.ndarray) -> None:
    style, px = figure.look.hair_style, figure.pixels
    back, crown = centre - [0, 0.03, 0], centre + [0, -0.012, 0.022]
    behind = figure.depth(np.array([0.0, -0.08, 0.0]))
    if style != 'bald':
        cap = np.array([radius * 1.04, radius * 1.02])
        lift = 1.32 if style == 'curly' else 1.0
        level = 0.049 if behind < 0.03 else 0.051
        high = crown + [0, 0, 0.012 * lift]
        figure.add(level, high, crown - [0, 0.004, 0.014], cap * lift, hair)
    if style in LONG_HAIR:
        length = LONG_HAIR[style]
        wide = 0.026 if style == 'ponytail' else float(figure.width(0.056, 0.04)) / px
        start = back + [0, -0.025, 0.02] if style == 'ponytail' else back
        radii = np.array([wide, wide, wide * 0.8]) * px
        level = 0.06 if behind > 0 else (0.045 if style != 'ponytail' else 0.0)
        if style != 'ponytail' and abs(behind) < 0.05:
            level = 0.052
        end = start - [0, 0.012, length]
        figure.add(level, start, end, radii, hair, shade=0.92)
    elif style == 'bun':
        bun = centre + [0, -0.055, 0.045]
        figure.add(0.048 + behind * 0.2, bun, bun, _disk(0.03 * px), hair)


def _add_hat(figure: 'Figure', centre: np.ndarray, radius: float) -> None:
    look, px = figure.look, figure.pixels
    colour = CLOTHES[look.hat_colour]
    crown = centre + [0, -0.004, 0.03]
    if look.hat == 'headscarf':
        wrap = np.array([radius * 1.16, radius * 1.2, radius * 1.25])
        paint = _wrap_paint(colour, SKINS[look.skin], px)
        figure.add(0.07, crown, centre - [0, 0.005, 0.06], wrap, paint, span=(-0.03, 0.06))
    elif look.hat != 'none':
        tall = {'cap': 0.008, 'beanie': 0.02, 'brimmed': 0.02}[look.hat]
        dome = np.array([radius * 1.0, radius * 1.12])
        figure.add(0.07, crown + [0, 0, tall], crown, dome, colour, flat=(False, True))
        if look.hat == 'beanie':
            band = np.array([radius * 1.15, radius * 1.15])
            low = crown - [0, 0, 0.018]
            figure.add(0.071, crown, low, band, colour * 0.8, flat=(True, True))
            pompom = crown + [0, 0, tall + radius / px + 0.012]
            figure.add(0.072, pompom, pompom, _disk(0.017 * px), CLOTHES[look.accent])
        elif look.hat == 'cap':
            brim = crown + [0, 0.095, -0.008]
            front = crown + [0, 0.04, 0]
            figure.add(0.072, front, brim, np.array([0.017, 0.011]) * px, colour * 0.8)
        else:
            # The rim is round, so its picture is a level bar whichever way the head turns.
            across = np.array([np.cos(figure.pose.yaw), np.sin(figure.pose.yaw), 0.0])
            reach = across * (1.8 * radius / px)
            figure.add(0.072, crown - reach, crown + reach, _disk(0.012 * px), colour * 0.85)


def _wrap_paint(colour: np.ndarray, skin: np.ndarray, px: float) -> BodyPaint:
    def paint(theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        theta = np.abs((theta + np.pi) % (2 * np.pi) - np.pi)
        face = np.hypot(theta * 0.05, (v - 0.005) * 0.85) - 0.034
        base = plain(colour)
        eyes = np.hypot(theta * 0.047 - 0.018, v + 0.006) - 0.006
        base = overlay(base, skin, unit(0.5 - face * px))
        return overlay(base, skin * 0.25, unit(0.5 - eyes * px))

    return paint
