"""The empty place in front of each camera: ground in perspective, walls, trees."""

from functools import lru_cache

import cv2
import numpy as np

from mmps.synthetic.camera import Camera, make_cameras
from mmps.synthetic.walls import WALLS, fractal_noise

Array = np.ndarray
BACKDROP_STREAM = 2
GROUNDS = {
    'street': 'asphalt',
    'plaza': 'slabs',
    'park': 'path',
    'station': 'polished',
    'arcade': 'chequers',
    'campus': 'bricks',
}


@lru_cache(maxsize=12)
def make_backdrop(seed: int, camera_index: int, width: int, height: int) -> np.ndarray:
    """Renders a camera's empty scene.

    Args:
        seed: Seed of the data set.
        camera_index: 0-based camera.
        width: Image width in pixels.
        height: Image height in pixels.

    Returns:
        (h, w, 3) float32 RGB, 0..255, read-only.
    """
    camera = make_cameras(seed)[camera_index]
    rng = np.random.default_rng([seed, BACKDROP_STREAM, camera_index])
    base = wall_base(camera)
    scale = 2
    canvas = np.zeros((height * scale, width * scale, 3), np.float32)
    row = round(base * height * scale)
    WALLS[camera.place](canvas[:row], rng)
    canvas[row:] = _ground(camera, canvas.shape[:2], row, rng)
    if camera.place in ('station', 'arcade'):
        _mirror(canvas, row)
    _kerb(canvas, row)
    image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    image = np.clip(image, 0, 255)
    image.setflags(write=False)
    return image


def wall_base(camera: Camera) -> float:
    """Row (share of the image height) where the wall behind everyone meets the ground."""
    return camera.foot_row(camera.heights[0] * 0.82)


def _mirror(canvas: np.ndarray, row: int) -> None:
    """A polished floor shows the wall upside down."""
    depth = min(row, canvas.shape[0] - row)
    fade = np.linspace(0.4, 0.0, depth, dtype=np.float32)[:, None, None]
    image = cv2.GaussianBlur(canvas[row - depth : row][::-1], (0, 0), 4)
    canvas[row : row + depth] = canvas[row : row + depth] * (1 - fade) + image * fade


def _kerb(canvas: np.ndarray, row: int) -> None:
    """The wall darkens the ground at its foot."""
    depth = max(4, canvas.shape[0] // 24)
    fade = np.linspace(0.55, 1, depth, dtype=np.float32)[:, None, None]
    canvas[row : row + depth] *= fade[: canvas.shape[0] - row]


def _ground(
    camera: Camera, shape: tuple[int, int], top: int, rng: np.random.Generator
) -> np.ndarray:
    """Colours of the ground from row `top` down; its lengths are body heights."""
    height, width = shape
    ys, xs = np.mgrid[top:height, 0:width].astype(np.float32)
    scale = camera.growth * (ys - camera.horizon * height)
    x = (xs - width * 0.5) / scale + np.float32(rng.uniform(-1, 1))
    z = 0.9 * width / scale
    noise = fractal_noise(rng, 512)
    grain = cv2.remap(
        noise, (x * 90) % 511, (z * 90) % 511, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    stains = cv2.remap(
        noise, (x * 14) % 511, (z * 14) % 511, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    colour = _PAVINGS[GROUNDS[camera.place]](x, z, scale, grain, stains)
    near = np.linspace(0.93, 1.05, height - top, dtype=np.float32)[:, None, None]
    return colour * (1 + 0.10 * grain + 0.10 * stains)[..., None] * near


def _cells(x: Array, z: Array, size: float, scale: Array, joint: float) -> tuple[Array, Array]:
    """Joint weight (softened where tiles get small) and a random level per tile."""
    u, v = x / size, z / size
    du = (0.5 - np.abs(u % 1 - 0.5)) * size
    dv = (0.5 - np.abs(v % 1 - 0.5)) * size
    line = np.clip(0.5 + (joint - np.minimum(du, dv * 0.35)) * scale, 0, 1)
    level = np.sin(np.floor(u) * 127.1 + np.floor(v) * 311.7) * 43758.5453
    return line * np.clip(scale * size / 14, 0, 1), level % 1


def _asphalt(x: Array, z: Array, scale: Array, grain: Array, stains: Array) -> Array:
    colour = np.full((*x.shape, 3), (98, 98, 102), np.float32)
    colour *= (1 + 0.14 * grain)[..., None]
    kerb = np.clip(0.5 + (z - 7.2) * 12, 0, 1)
    line, level = _cells(x, z, 0.55, scale, 0.012)
    pavement = np.array([168, 160, 150]) * (0.92 + 0.12 * level - 0.2 * line)[..., None]
    colour = colour + (pavement - colour) * kerb[..., None]
    stone = np.clip(1.5 - np.abs(z - 7.2) * 12, 0, 1)[..., None]
    colour = colour + (np.array([196, 192, 186]) - colour) * stone
    stripes = np.clip(0.5 + (0.2 - np.abs((x / 0.8) % 1 - 0.5)) * scale, 0, 1)
    crossing = stripes * np.clip(0.5 + (0.8 - np.abs(z - 4.6)) * 14, 0, 1)
    crossing = crossing * np.clip(0.85 + 0.25 * stains, 0, 1)
    return colour + (np.array([222, 220, 210]) - colour) * crossing[..., None]


def _slabs(x: Array, z: Array, scale: Array, grain: Array, stains: Array) -> Array:
    line, level = _cells(x, z, 0.62, scale, 0.012)
    band = np.clip(0.5 + (0.11 - np.abs((x / 3.1) % 1 - 0.5)) * 3.1 * scale, 0, 1)
    colour = np.array([186, 176, 162]) * (0.90 + 0.16 * level)[..., None]
    colour = colour + (np.array([142, 118, 104]) - colour) * (0.8 * band)[..., None]
    return colour * (1 - 0.35 * line)[..., None]


def _path(x: Array, z: Array, scale: Array, grain: Array, stains: Array) -> Array:
    grass = np.array([92, 128, 62]) * (1 + 0.3 * grain + 0.15 * stains)[..., None]
    gravel = np.array([178, 160, 128]) * (1 + 0.16 * grain)[..., None]
    edge = np.abs(x - 0.35 * np.sin(z * 0.5)) - 1.9 - 0.1 * stains
    weight = np.clip(0.5 - edge * scale * 0.2, 0, 1)[..., None]
    return grass + (gravel - grass) * weight


def _polished(x: Array, z: Array, scale: Array, grain: Array, stains: Array) -> Array:
    line, level = _cells(x, z, 0.9, scale, 0.008)
    guide = np.clip(0.5 + (0.14 - np.abs(z - 5.0)) * scale * 0.4, 0, 1)[..., None]
    colour = np.array([172, 172, 170]) * (0.94 + 0.08 * level - 0.18 * line)[..., None]
    return colour + (np.array([206, 172, 70]) - colour) * guide


def _chequers(x: Array, z: Array, scale: Array, grain: Array, stains: Array) -> Array:
    line, level = _cells(x, z, 0.7, scale, 0.006)
    odd = ((np.floor(x / 0.7) + np.floor(z / 0.7)) % 2)[..., None]
    fade = np.clip(scale * 0.7 / 20, 0, 1)[..., None]
    pale, dark = np.array([196, 176, 150]), np.array([150, 120, 98])
    mean = (pale + dark) / 2
    tiles = mean + (np.where(odd > 0, pale, dark) - mean) * fade
    return tiles * (0.95 + 0.08 * level - 0.15 * line)[..., None]


def _bricks(x: Array, z: Array, scale: Array, grain: Array, stains: Array) -> Array:
    shift = 0.5 * (np.floor(z / 0.34) % 2)
    line, level = _cells(x + shift * 0.34, z, 0.34, scale, 0.012)
    return np.array([150, 128, 116]) * (0.82 + 0.3 * level - 0.3 * line)[..., None]


_PAVINGS = {
    'asphalt': _asphalt,
    'slabs': _slabs,
    'path': _path,
    'polished': _polished,
    'chequers': _chequers,
    'bricks': _bricks,
}
