"""Draws one person: a posed skeleton dressed in shaded, textured solids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from mmps.synthetic.appearance import Appearance
from mmps.synthetic.carried import add_bag
from mmps.synthetic.clothes import BodyPaint, cloth, leg_paint, skirt_paint, top_paint
from mmps.synthetic.head import add_head
from mmps.synthetic.palette import SHOES, SKINS
from mmps.synthetic.pose import Pose, skeleton
from mmps.synthetic.surface import Canvas, Paint

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
        """Adds a solid between two points in body heights.

        Args:
            depth: Parts are painted in ascending order of it.
            start: Left, forward, up.
            end: Left, forward, up.
            radii: As of `Canvas.solid`.
            paint: As of `Canvas.solid`.
            **options: Further arguments of `Canvas.solid`; `yaw` is the pose's by default.
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
    """Draws a person.

    Args:
        look: What the person wears.
        pose: How the person stands or walks, and from where it is seen.
        pixels: Height in pixels of a person of stature 1.
        light: Where the light comes from: -1 left, 1 right, 0 the camera.

    Returns:
        The person, cropped to its drawn pixels.
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
