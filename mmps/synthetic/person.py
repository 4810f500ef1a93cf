"""Draws one person: a posed skeleton dressed in shaded, textured solids."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from mmps.synthetic.appearance import CLOTHES, HAIRS, SHOES, SKINS, Appearance, Pose, skeleton
from mmps.synthetic.clothes import (
    BodyPaint,
    cloth,
    leg_paint,
    overlay,
    plain,
    skirt_paint,
    top_paint,
    unit,
    wrap,
)

_STEPS = 64
Paint = np.ndarray | Callable[[np.ndarray, np.ndarray], np.ndarray]


class Canvas:
    """A transparent picture with premultiplied colour.

    Attributes:
        rgb: (3, h, w) float32, colour times alpha, 0..255; planes, because NumPy is slow at
            short last axes.
        alpha: (h, w) float32, 0..1.
    """

    def __init__(self, height: int, width: int, light: float = 0.4) -> None:
        self.rgb = np.zeros((3, height, width), np.float32)
        self.alpha = np.zeros((height, width), np.float32)
        self._light = (light, float(np.sqrt(max(0.0, 1 - light * light))))
        self._xs = np.arange(width, dtype=np.float32)[None] + 0.5
        self._ys = np.arange(height, dtype=np.float32)[:, None] + 0.5

    def _window(
        self, start: Sequence[float], end: Sequence[float], margin: float
    ) -> tuple[slice, slice]:
        def side(a: float, b: float, size: int) -> slice:
            low, high = int(min(a, b) - margin), int(max(a, b) + margin) + 1
            return slice(max(0, min(low, size)), max(0, min(high, size)))

        height, width = self.alpha.shape
        return side(start[1], end[1], height), side(start[0], end[0], width)

    def solid(
        self,
        start: Sequence[float],
        end: Sequence[float],
        radii: Sequence[float],
        paint: Paint,
        *,
        yaw: float = 0.0,
        span: tuple[float, float] = (0.0, 1.0),
        flat: tuple[bool, bool] = (False, False),
        shade: float = 1.0,
    ) -> None:
        """Paints the solid that a profile sweeps around the axis from `start` to `end`.

        Args:
            start: x, y in pixels.
            end: x, y in pixels.
            radii: Half widths in pixels at evenly spaced points of the axis.
            paint: A colour (3,), or a function of the angle around the body (0 is its front,
                positive on its left) and of the position along the axis that returns (3, h, w).
            yaw: Turn of the body; turns `paint` with it.
            span: Values of the position at `start` and `end`.
            flat: Whether the two ends are cut off instead of rounded.
            shade: Factor on the brightness.
        """
        window = self._window(start, end, float(max(radii)) + 1)
        dx, dy = float(end[0] - start[0]), float(end[1] - start[1])
        length = math.hypot(dx, dy)
        ux, uy = (dx / length, dy / length) if length else (0.0, 1.0)
        length = max(length, 1e-3)
        xs, ys = self._xs[:, window[1]] - float(start[0]), self._ys[window[0]] - float(start[1])
        if not xs.size or not ys.size:
            return
        along, across = xs * ux + ys * uy, xs * uy - ys * ux
        position, sine, cover = _sweep(along, across, length, radii, flat)
        lit = self._light[0] * sine + self._light[1] * np.sqrt(1 - sine * sine)
        brightness = (0.54 * shade) + (0.56 * shade) * np.maximum(lit, 0)
        if callable(paint):
            position = span[0] + (span[1] - span[0]) * position
            paint = paint(np.arcsin(sine) - yaw, position)
        else:
            paint = plain(paint)
        keep = 1 - cover
        rgb, alpha = self.rgb[(slice(None), *window)], self.alpha[window]
        rgb *= keep
        rgb += paint * (brightness * cover)
        alpha *= keep
        alpha += cover


def _sweep(
    along: np.ndarray,
    across: np.ndarray,
    length: float,
    radii: Sequence[float],
    flat: tuple[bool, bool],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where pixels lie on a solid: position along its axis, sine of the angle, share covered."""
    position = unit(along / length)
    radius = _profile(position, radii)
    beyond = along - position * length
    if flat[0]:
        beyond = np.maximum(beyond, 0)
    if flat[1]:
        beyond = np.minimum(beyond, 0)
    reach = np.abs(across) if all(flat) else np.sqrt(across * across + beyond * beyond)
    cover = unit(radius - reach + 0.5)
    if flat[0]:
        cover *= unit(along + 0.5)
    if flat[1]:
        cover *= unit(length + 0.5 - along)
    sine = np.minimum(np.maximum(across / np.maximum(radius, 0.5), -1), 1)
    return position, sine, cover


def _profile(position: np.ndarray, radii: Sequence[float]) -> np.ndarray:
    """Linear interpolation between radii at evenly spaced positions 0..1."""
    if len(radii) == 2:
        return float(radii[0]) + float(radii[1] - radii[0]) * position
    knots = np.arange(len(radii)) * (_STEPS / (len(radii) - 1))
    table = np.interp(np.arange(_STEPS + 1), knots, radii).astype(np.float32)
    return table[(position * _STEPS + 0.5).astype(np.intp)]


CENTRE, HALF_HEIGHT = 0.935, 0.062
LIPS = np.array([0.7, 0.45, 0.45], np.float32)
LONG_HAIR = {'long': 0.155, 'bob': 0.075, 'ponytail': 0.13}


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
        theta = np.abs(wrap(theta))
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
        figure.add(0.048 + behind * 0.2, bun, bun, [0.03 * px] * 2, hair)


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
            figure.add(0.072, pompom, pompom, [0.017 * px] * 2, CLOTHES[look.accent])
        elif look.hat == 'cap':
            brim = crown + [0, 0.095, -0.008]
            front = crown + [0, 0.04, 0]
            figure.add(0.072, front, brim, np.array([0.017, 0.011]) * px, colour * 0.8)
        else:
            # The rim is round, so its picture is a level bar whichever way the head turns.
            across = np.array([np.cos(figure.pose.yaw), np.sin(figure.pose.yaw), 0.0])
            reach = across * (1.8 * radius / px)
            figure.add(0.072, crown - reach, crown + reach, [0.012 * px] * 2, colour * 0.85)


def _wrap_paint(colour: np.ndarray, skin: np.ndarray, px: float) -> BodyPaint:
    def paint(theta: np.ndarray, v: np.ndarray) -> np.ndarray:
        theta = np.abs(wrap(theta))
        face = np.hypot(theta * 0.05, (v - 0.005) * 0.85) - 0.034
        base = plain(colour)
        eyes = np.hypot(theta * 0.047 - 0.018, v + 0.006) - 0.006
        base = overlay(base, skin, unit(0.5 - face * px))
        return overlay(base, skin * 0.25, unit(0.5 - eyes * px))

    return paint


def add_bag(figure: 'Figure') -> None:
    """Adds the bag that the figure carries, if any."""
    adders = {'backpack': _backpack, 'messenger': _messenger, 'tote': _tote, 'handbag': _handbag}
    if adder := adders.get(figure.look.bag):
        adder(figure, CLOTHES[figure.look.bag_colour], CLOTHES[figure.look.bag_accent])


def _backpack(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    px, girth = figure.pixels, figure.look.girth
    centre = np.array([0.0, -0.115 * girth, 0.0])
    side = 0.09 if figure.depth(centre) > 0.03 else -0.04
    width = np.array([0.07, 0.088, 0.09, 0.085])
    radii = figure.width(width, np.array([0.045, 0.06, 0.068, 0.06]))
    figure.add(side, centre + [0, 0, 0.79], centre + [0, 0, 0.6], radii * 0.95, colour)
    pocket = centre + [0, -0.02, 0]
    radii = figure.width(np.array([0.058, 0.062]), np.array([0.05, 0.052]))
    low, high = pocket + [0, 0, 0.6], pocket + [0, 0, 0.66]
    if figure.depth(centre) > -0.08:
        figure.add(side + 0.001, high, low, np.maximum(radii, 0.02 * px), accent)


def _messenger(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    place = np.array([-0.125 * figure.look.girth, -0.02, 0.0])
    radii = figure.width(np.array([0.03, 0.034]), np.array([0.075, 0.08]))
    high = place + [0, 0, 0.545]
    flap = high, high - [0, 0, 0.035], radii * 1.04
    _at_the_side(figure, place, 0.13, (high, place + [0, 0, 0.46], radii, colour), (*flap, accent))


def _tote(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    place = np.array([0.135 * figure.look.girth, -0.01, 0.0])
    radii = figure.width(np.array([0.03, 0.036, 0.034]), np.array([0.075, 0.085, 0.08]))
    body = place + [0, 0, 0.66], place + [0, 0, 0.53], radii, colour
    band = place + [0, 0, 0.61], place + [0, 0, 0.585], radii[:2] * 1.05, accent
    _at_the_side(figure, place, 0.14, body, band)


def _at_the_side(figure: 'Figure', place: np.ndarray, lift: float, *solids: tuple) -> None:
    level = figure.depth(place)
    level += lift if level > -0.09 else 0.0
    for number, solid in enumerate(solids):
        figure.add(level + 0.001 * number, *solid, flat=(True, True))


def _handbag(figure: 'Figure', colour: np.ndarray, accent: np.ndarray) -> None:
    hand, px = figure.joints['hand_l'], figure.pixels
    depth = figure.depth(hand) + 0.06
    if figure.depth(hand) < -0.06:
        depth = figure.depth(hand) - 0.01
    grip = hand - [0, 0, 0.03]
    figure.add(depth - 0.001, hand, grip, np.array([0.006, 0.03]) * px, accent * 0.8)
    radii = figure.width(np.array([0.035, 0.042]), np.array([0.06, 0.075]))
    figure.add(depth, grip, grip - [0, 0, 0.075], radii, colour, flat=(True, True))
    clasp = grip - [0, 0, 0.03]
    figure.add(depth + 0.001, grip, clasp, radii, accent, flat=(True, True))


VISIBLE_ALPHA = 0.4
"""A pixel belongs to a person where at least this much of it is covered."""

TORSO_WIDTH = np.array([0.034, 0.085, 0.112, 0.112, 0.104, 0.097, 0.092, 0.094, 0.1, 0.1])
TORSO_DEPTH = np.array([0.034, 0.055, 0.066, 0.074, 0.074, 0.07, 0.066, 0.068, 0.074, 0.074])
TORSO_LENGTH = 0.36
SHORT_SLEEVED = frozenset({'tshirt'})


@dataclass(frozen=True)
class Sprite:
    """A picture that covers only part of itself.

    Attributes:
        rgb: (h, w, 3) float32, 0..255, premultiplied with alpha.
        alpha: (h, w) float32, 0..1.
        foot: x, y of the point that stands on the ground, in pixels of the picture.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    foot: tuple[float, float]

    @property
    def mask(self) -> np.ndarray:
        """(h, w) bool: the pixels that count as the thing itself."""
        return self.alpha >= VISIBLE_ALPHA


class Figure:
    """Collects the parts of a body and paints them from far to near."""

    def __init__(self, look: Appearance, pose: Pose, pixels: float, light: float) -> None:
        height, width = int(pixels * 1.2) + 8, int(pixels * 1.1) + 8
        self.look, self.pose, self.pixels = look, pose, pixels * look.stature
        self.canvas = Canvas(height, width, light)
        self.foot = (width / 2, height - 4 - 0.05 * pixels)
        self.joints = skeleton(look, pose)
        self._cos, self._sin = np.cos(pose.yaw), np.sin(pose.yaw)
        self._tilt = np.sin(pose.pitch)
        self._parts: list[tuple[float, Callable[[], None]]] = []

    def depth(self, point: np.ndarray) -> float:
        """Distance towards the camera, in body heights."""
        return float(point[1] * self._cos - point[0] * self._sin)

    def project(self, point: np.ndarray) -> tuple[float, float]:
        """x, y in pixels of a point (left, forward, up) in body heights."""
        x = point[0] * self._cos + point[1] * self._sin
        y = point[2] - self.depth(point) * self._tilt
        return self.foot[0] + x * self.pixels, self.foot[1] - y * self.pixels

    def width(self, lateral: ArrayLike, deep: ArrayLike) -> np.ndarray:
        """Half widths in pixels of elliptic sections with these half axes in body heights."""
        return np.hypot(np.multiply(lateral, self._cos), np.multiply(deep, self._sin)) * self.pixels

    def add(
        self,
        depth: float,
        start: np.ndarray,
        end: np.ndarray,
        radii: Sequence[float],
        paint: Paint,
        **options: Any,
    ) -> None:
        """Adds a solid between two points (left, forward, up) in body heights. Parts are painted in
        ascending order of `depth`; the others are arguments of `Canvas.solid`.
        """
        options.setdefault('yaw', self.pose.yaw)
        ends = self.project(start), self.project(end)
        self._parts.append((depth, lambda: self.canvas.solid(*ends, radii, paint, **options)))

    def paint(self) -> Sprite:
        """Paints everything added and crops the picture to it."""
        for _, draw in sorted(self._parts, key=lambda part: part[0]):
            draw()
        rows = np.flatnonzero(self.canvas.alpha.max(1) > 0)
        columns = np.flatnonzero(self.canvas.alpha.max(0) > 0)
        window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        foot = self.foot[0] - columns[0], self.foot[1] - rows[0]
        rgb = cv2.merge([np.ascontiguousarray(plane[window]) for plane in self.canvas.rgb])
        return Sprite(rgb, self.canvas.alpha[window].copy(), foot)


def draw_person(look: Appearance, pose: Pose, pixels: float, light: float = 0.4) -> Sprite:
    """Draws a person, cropped to the drawn pixels. Somebody of stature 1 is `pixels` high; light
    comes from -1 left .. 1 right, 0 the camera.
    """
    figure = Figure(look, pose, pixels, light)
    _add_legs(figure)
    _add_torso(figure)
    _add_arms(figure)
    add_head(figure)
    add_bag(figure)
    return figure.paint()


def _add_legs(figure: Figure) -> None:
    look, joints, px = figure.look, figure.joints, figure.pixels
    girth = look.girth * px
    skin, fabric = SKINS[look.skin], leg_paint(look, px)
    bare = look.is_dress or look.bottom in ('skirt', 'long_skirt')
    hem = 0.068 if look.bottom == 'wide_trousers' else 0.044
    for side in 'lr':
        hip, knee = joints[f'hip_{side}'], joints[f'knee_{side}']
        ankle, toe = joints[f'ankle_{side}'], joints[f'toe_{side}']
        depth = figure.depth((hip + knee) / 2) - 0.05
        shoe = np.array([0.024, 0.027, 0.02]) * px
        figure.add(depth - 0.02, ankle + [0, -0.02, -0.012], toe, shoe, SHOES[look.shoes])
        if bare or look.bottom == 'shorts':
            figure.add(depth, knee, ankle, np.array([0.036, 0.04, 0.024]) * girth, skin)
            thigh = np.array([0.056, 0.054, 0.042]) * girth
            under = min(depth + 0.005, -0.01) if bare else depth + 0.005
            figure.add(under, hip, knee, thigh, skin)
        else:
            shin = np.array([0.05, max(0.045, hem), hem]) * girth
            low = ankle + [0, 0, -0.008]
            figure.add(depth, knee, low, shin, fabric, span=(0.24, 0.46), flat=(False, True))
            thigh = np.array([0.064, 0.062, 0.05]) * girth
            figure.add(depth + 0.005, hip, knee, thigh, fabric, span=(0, 0.24))
        if look.bottom == 'shorts' and not bare:
            low = hip + 0.88 * (knee - hip)
            short = np.array([0.066, 0.066, 0.062]) * girth
            figure.add(depth + 0.01, hip, low, short, fabric, span=(0, 0.2), flat=(False, True))


def _add_torso(figure: Figure) -> None:
    look, joints, px = figure.look, figure.joints, figure.pixels
    neck, pelvis = joints['neck'], joints['pelvis']
    bulk = look.girth + (0.08 if look.top in ('jacket', 'coat', 'vest', 'hoodie') else 0.0)
    radii = figure.width(TORSO_WIDTH, TORSO_DEPTH * 1.05) * bulk
    fabric = top_paint(look, px)
    low = neck + (pelvis - neck) * min(1.0, (TORSO_LENGTH - 0.01) / (neck[2] - pelvis[2]))
    hips = figure.width(np.array([0.09, 0.1, 0.09]), np.array([0.07, 0.078, 0.07])) * look.girth
    bare = look.is_dress or look.bottom in ('skirt', 'long_skirt')
    figure.add(0.0, pelvis + [0, 0, 0.06], pelvis + [0, 0, -0.03], hips, leg_paint(look, px))
    figure.add(0.02, neck, low, radii, fabric, span=(0, TORSO_LENGTH), flat=(False, True))
    if look.is_dress or (look.top == 'coat' and not bare):
        length = 0.25 if look.is_dress else 0.2
        _add_hanging(figure, low + [0, 0, 0.03], length, fabric, TORSO_LENGTH - 0.03, bulk)
    elif bare:
        length = 0.33 if look.bottom == 'long_skirt' else 0.19
        waist = pelvis + [0, 0, 0.05]
        _add_hanging(figure, waist, length, skirt_paint(look, px), 0.3, look.girth, depth=0.01)


def _add_hanging(
    figure: Figure,
    waist: np.ndarray,
    length: float,
    fabric: BodyPaint,
    top: float,
    bulk: float,
    depth: float = 0.03,
) -> None:
    """A skirt, or the lower part of a dress or coat: as wide at its hem as the step asks."""
    knees = [figure.joints[name] for name in ('knee_l', 'knee_r')]
    reach = [figure.project(knee)[0] for knee in knees]
    share = min(1.0, length / 0.28)
    spread = abs(reach[0] - reach[1]) / 2 * share + 0.055 * figure.pixels * bulk
    hem = max(float(figure.width(0.115, 0.09)) * bulk, spread)
    middle = waist + ((knees[0] + knees[1]) / 2 - waist) * [share * 0.8, share * 0.8, 0]
    middle = middle - [0, 0, length]
    start = float(figure.width(0.098, 0.074)) * bulk
    radii = np.array([start, (start + hem) / 2 + 0.004 * figure.pixels, hem])
    span = (top, top + length)
    figure.add(depth, waist, middle, radii, fabric, span=span, flat=(True, True))


def _add_arms(figure: Figure) -> None:
    look, joints, px = figure.look, figure.joints, figure.pixels
    girth = (0.5 + 0.5 * look.girth) * px
    skin, sleeve = SKINS[look.skin], cloth(look, px, part='sleeve')
    short = look.top in SHORT_SLEEVED or look.is_dress
    thick = 0.004 if look.top in ('jacket', 'coat', 'hoodie') else 0.0
    for side in 'lr':
        shoulder, elbow = joints[f'shoulder_{side}'], joints[f'elbow_{side}']
        wrist, hand = joints[f'wrist_{side}'], joints[f'hand_{side}']
        upper_depth = figure.depth(elbow * 0.6 + shoulder * 0.4)
        upper_depth += 0.045 if upper_depth > -0.06 else -0.02
        lower_depth = max(figure.depth(wrist), upper_depth - 0.01) + 0.002
        if figure.depth(wrist) < -0.07:
            lower_depth = figure.depth(wrist)
        figure.add(lower_depth - 0.001, wrist, hand, np.array([0.019, 0.021]) * girth, skin)
        if short:
            figure.add(lower_depth, elbow, wrist, np.array([0.027, 0.021]) * girth, skin)
            figure.add(upper_depth, shoulder, elbow, np.array([0.032, 0.027]) * girth, skin)
            end = shoulder + 0.55 * (elbow - shoulder)
            radii = np.array([0.04, 0.042]) * girth
            flat = (False, True)
            figure.add(upper_depth + 0.001, shoulder, end, radii, sleeve, span=(0, 0.1), flat=flat)
        else:
            radii = np.array([0.034 + thick, 0.03 + thick, 0.027 + thick]) * girth
            options = {'span': (0.18, 0.33), 'flat': (False, True)}
            figure.add(lower_depth, elbow, wrist, radii, sleeve, **options)
            radii = np.array([0.042 + thick, 0.036 + thick]) * girth
            figure.add(upper_depth, shoulder, elbow, radii, sleeve, span=(0.02, 0.18))
