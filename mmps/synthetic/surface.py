"""Paints shaded solids of revolution with analytic anti-aliasing: all a person is made of."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from mmps.synthetic.textures import plain, unit

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
        height, width = self.alpha.shape
        low = [int(min(a, b) - margin) for a, b in zip(start, end, strict=True)]
        high = [int(max(a, b) + margin) + 1 for a, b in zip(start, end, strict=True)]
        return (
            slice(max(0, min(low[1], height)), max(0, min(high[1], height))),
            slice(max(0, min(low[0], width)), max(0, min(high[0], width))),
        )

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
