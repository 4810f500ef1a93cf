"""The empty place in front of each camera: drawn (houses, trees, ground), or a photograph."""

import hashlib
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from mmps.synthetic.camera import Camera, make_cameras
from mmps.utils.errors import UserError
from mmps.utils.image_files import decode_upright

Array = np.ndarray
Rng = np.random.Generator
Colour = tuple[float, float, float]

BACKDROP_STREAM = 2
AWNINGS = [(150, 52, 46), (46, 84, 70), (52, 62, 110), (190, 150, 70)]
SIGNS = [(160, 60, 60), (60, 100, 130), (70, 110, 80), (60, 56, 66)]


def fractal_noise(rng: Rng, side: int) -> np.ndarray:
    """(side, side) float32 noise of several scales that wraps around, roughly -1..1."""
    total = np.zeros((side, side), np.float32)
    for octave, weight in ((8, 0.3), (32, 0.3), (128, 0.35), (side, 0.4)):
        grid = rng.uniform(-1, 1, (octave, octave)).astype(np.float32)
        grid = np.pad(grid, ((0, 1), (0, 1)), mode='wrap')
        total += weight * cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
    return total


def _vary(rng: Rng, colour: Colour, amount: float = 0.1) -> Colour:
    return tuple(float(c) for c in np.array(colour) * rng.uniform(1 - amount, 1 + amount, 3))


def _rect(image: np.ndarray, x1: float, y1: float, x2: float, y2: float, colour: Colour) -> None:
    cv2.rectangle(image, (round(x1), round(y1)), (round(x2), round(y2)), colour, -1)


def _sky(image: np.ndarray, high: Colour, low: Colour) -> None:
    steps = np.linspace(0, 1, image.shape[0], dtype=np.float32)[:, None, None]
    image[:] = np.array(high, np.float32) * (1 - steps) + np.array(low, np.float32) * steps


def _grain(image: np.ndarray, rng: Rng, amount: float) -> None:
    height, width = image.shape[:2]
    noise = cv2.resize(fractal_noise(rng, 256), (width, height))
    image *= 1 + amount * noise[..., None]


def _window(
    image: np.ndarray, x: float, y: float, w: float, h: float, rng: Rng, lit: float
) -> None:
    frame = 1 + int(w * 0.09)
    _rect(image, x - frame, y - frame, x + w + frame, y + h + frame, (206, 202, 194))
    if rng.random() < lit:
        glass = np.array([246, 214, 140]) * rng.uniform(0.8, 1.0)
    else:
        glass = np.array([84, 104, 124]) * rng.uniform(0.6, 1.3)
    pane = image[round(y) : round(y + h), round(x) : round(x + w)]
    if pane.size:
        fade = np.linspace(1.2, 0.8, pane.shape[0], dtype=np.float32)[:, None, None]
        pane[:] = np.clip(glass * fade, 0, 255)
    cv2.line(image, (round(x + w / 2), round(y)), (round(x + w / 2), round(y + h)), (190, 186, 178))
    _rect(image, x - frame, y + h + frame, x + w + frame, y + h + 2 * frame, (150, 146, 140))


def _house(
    image: np.ndarray, x1: float, x2: float, top: float, colour: Colour, rng: Rng, lit: float
) -> None:
    height = image.shape[0]
    _rect(image, x1, top, x2, height, colour)
    shade = np.array(colour) * 0.72
    _rect(image, x1, top, x2, top + height * 0.02, tuple(shade))
    columns = max(2, round((x2 - x1) / (height * 0.22)))
    pitch, floor = (x2 - x1) / columns, height * 0.3
    row = height - 2 * floor
    while row > top - floor:
        for column in range(columns):
            x = x1 + (column + 0.27) * pitch
            if row + floor * 0.1 > top + 2:
                _window(image, x, row + floor * 0.15, pitch * 0.46, floor * 0.6, rng, lit)
        row -= floor
    cv2.line(image, (round(x2), round(top)), (round(x2), height), tuple(shade), 3)


def _shop(image: np.ndarray, x1: float, x2: float, rng: Rng, glow: float) -> None:
    height = image.shape[0]
    top = height * 0.68
    _rect(image, x1, top, x2, height, (70, 62, 58))
    pane = image[round(top + height * 0.07) : height - round(height * 0.03)]
    pane = pane[:, round(x1 + 6) : round(x2 - 6)]
    if pane.size:
        tint = np.array(_vary(rng, (190, 176, 140), 0.2)) * glow
        fade = np.linspace(1.0, 0.55, pane.shape[0], dtype=np.float32)[:, None, None]
        pane[:] = np.clip(tint * fade, 0, 255)
        for x in np.arange(8, pane.shape[1] - 8, max(12, pane.shape[1] / 7)):
            tall = rng.uniform(0.25, 0.6) * pane.shape[0]
            colour = _vary(rng, (120, 100, 90), 0.5)
            _rect(pane, x, pane.shape[0] - tall, x + 9, pane.shape[0], colour)
    awning = _vary(rng, AWNINGS[rng.integers(len(AWNINGS))])
    high, low = top - height * 0.03, top + height * 0.06
    for number, x in enumerate(np.arange(round(x1), round(x2), 12)):
        colour = awning if number % 2 else (226, 220, 208)
        points = [(x, high), (min(x + 12, x2), high), (min(x + 13, x2), low), (x - 1, low)]
        _polygon(image, points, colour)


def _houses(
    image: np.ndarray, rng: Rng, palette: list[Colour], lit: float, glow: float, shops: float
) -> None:
    height, width = image.shape[:2]
    x = -rng.uniform(0, 0.1) * width
    while x < width:
        wide = rng.uniform(0.13, 0.24) * width
        top = rng.uniform(-0.4, 0.15) * height
        _house(image, x, x + wide, top, _vary(rng, palette[rng.integers(len(palette))]), rng, lit)
        if rng.random() < shops:
            _shop(image, x + 3, x + wide - 3, rng, glow)
        x += wide


def _polygon(image: np.ndarray, points: list[tuple[float, float]], colour: Colour) -> None:
    cv2.fillPoly(image, [np.array(points).astype(np.int32)], colour, cv2.LINE_AA)


def _tree(
    image: np.ndarray, x: float, base: float, size: float, rng: Rng, colour: Colour = (66, 104, 48)
) -> None:
    left, right, top = x - size * 0.03, x + size * 0.03, base - size * 0.6
    trunk = [(x - size * 0.05, base), (left, top), (right, top), (x + size * 0.06, base)]
    _polygon(image, trunk, (82, 62, 46))
    for number in range(90):
        angle, distance = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0, 1))
        cx = x + 0.42 * size * distance * np.cos(angle)
        cy = base - size * 0.78 + 0.32 * size * distance * np.sin(angle)
        light = 0.55 + 0.4 * number / 90 - 0.25 * np.sin(angle) * distance
        leaf = tuple(float(c) for c in np.array(colour) * light * rng.uniform(0.85, 1.15))
        radius = max(2, round(size * rng.uniform(0.04, 0.085)))
        cv2.circle(image, (round(cx), round(cy)), radius, leaf, -1, cv2.LINE_AA)


def _street(image: np.ndarray, rng: Rng) -> None:
    """House fronts with shops on the ground floor."""
    _sky(image, (150, 186, 226), (216, 224, 228))
    palette = [(176, 110, 88), (206, 186, 150), (150, 142, 134), (188, 160, 140), (136, 92, 78)]
    _houses(image, rng, palette, 0.05, 1.1, 0.8)
    _grain(image, rng, 0.08)


def _plaza(image: np.ndarray, rng: Rng) -> None:
    """A pale building with a row of arches."""
    height, width = image.shape[:2]
    _sky(image, (128, 172, 224), (220, 228, 232))
    _rect(image, 0, -5, width, height, (214, 202, 182))
    count = 9
    for number in range(count):
        x, pitch = (number + 0.5) * width / count, width / count
        wide, top = round(pitch * 0.3), round(height * 0.5)
        for grow, colour in ((4, (236, 228, 212)), (0, _vary(rng, (96, 84, 78), 0.15))):
            cv2.circle(image, (round(x), top), wide + grow, colour, -1, cv2.LINE_AA)
            _rect(image, x - wide - grow, top, x + wide + grow, height, colour)
        _rect(image, x - wide * 0.5, height * 0.66, x + wide * 0.5, height, (66, 60, 62))
        _rect(image, x - pitch * 0.5 - 3, 0, x - pitch * 0.5 + 3, height, (194, 182, 162))
    _rect(image, 0, 0, width, height * 0.06, (186, 172, 152))
    _grain(image, rng, 0.07)


def _park(image: np.ndarray, rng: Rng) -> None:
    """Hedges and trees under an open sky."""
    height, width = image.shape[:2]
    _sky(image, (166, 200, 230), (226, 230, 222))
    far = height * 0.45
    for x in np.arange(0, width, width / 26):
        radius = round(height * rng.uniform(0.18, 0.3))
        colour = _vary(rng, (112, 140, 104), 0.12)
        cv2.circle(image, (round(x), round(far)), radius, colour, -1, cv2.LINE_AA)
    _rect(image, 0, far, width, height, (98, 128, 72))
    for x in np.linspace(-0.02, 1.02, 9):
        size = height * rng.uniform(0.85, 1.25)
        _tree(image, x * width + rng.uniform(-20, 20), height - 2, size, rng)
    for x in np.arange(0, width, 9):
        radius = round(height * rng.uniform(0.03, 0.06))
        colour = _vary(rng, (58, 88, 44), 0.25)
        cv2.circle(image, (round(x), height - radius // 2), radius, colour, -1, cv2.LINE_AA)
    _grain(image, rng, 0.14)


def _station(image: np.ndarray, rng: Rng) -> None:
    """A hall: panelled wall, pillars, departure boards, strip lights."""
    height, width = image.shape[:2]
    _sky(image, (150, 156, 160), (196, 198, 196))
    for x in np.arange(0, width, width / 16):
        cv2.line(image, (round(x), 0), (round(x), height), (150, 152, 154), 2)
    _rect(image, 0, height * 0.74, width, height * 0.8, (52, 96, 146))
    for x in (0.14, 0.44, 0.76):
        board = round(x * width), round((x + 0.16) * width)
        _rect(image, board[0], height * 0.22, board[1], height * 0.5, (30, 32, 38))
        for row in range(4):
            y = height * (0.26 + 0.06 * row)
            end = board[0] + (board[1] - board[0]) * rng.uniform(0.5, 0.92)
            _rect(image, board[0] + 8, y, end, y + 4, (232, 178, 62))
    for x in np.linspace(0.04, 0.96, 5):
        left, wide = round((x - 0.018) * width), round(0.036 * width)
        pillar = image[:, max(0, left) : left + wide]
        light = np.sqrt(1 - np.linspace(-0.95, 0.8, pillar.shape[1]) ** 2)[None, :, None]
        pillar[:] = np.array([206, 204, 198]) * (0.45 + 0.6 * light)
    _grain(image, rng, 0.04)


def _arcade(image: np.ndarray, rng: Rng) -> None:
    """A row of lit shop windows."""
    height, width = image.shape[:2]
    _sky(image, (112, 92, 78), (150, 122, 98))
    x = 0.0
    while x < width:
        wide = rng.uniform(0.14, 0.22) * width
        sign = _vary(rng, SIGNS[rng.integers(len(SIGNS))])
        _rect(image, x + 5, height * 0.2, x + wide - 5, height * 0.36, sign)
        for letter in np.arange(x + wide * 0.22, x + wide * 0.74, 11):
            _rect(image, letter, height * 0.25, letter + 6, height * 0.32, (240, 230, 210))
        pane = image[round(height * 0.4) : height - 4, round(x + 7) : round(x + wide - 7)]
        if pane.size:
            glow = np.linspace(1.1, 0.7, pane.shape[0], dtype=np.float32)[:, None, None]
            pane[:] = np.clip(np.array(_vary(rng, (226, 202, 160), 0.12)) * glow, 0, 255)
            for shelf in np.arange(0.12, pane.shape[1] / pane.shape[0], 0.16) * pane.shape[0]:
                tall = rng.uniform(0.2, 0.7) * pane.shape[0]
                colour = _vary(rng, (140, 110, 100), 0.4)
                _rect(pane, shelf, pane.shape[0] - tall, shelf + 12, pane.shape[0], colour)
        x += wide
    for lamp in np.arange(0.05, 1, 0.1):
        cv2.circle(image, (round(lamp * width), round(height * 0.08)), 7, (255, 240, 205), -1)
    _grain(image, rng, 0.05)


def _campus(image: np.ndarray, rng: Rng) -> None:
    """Brick buildings at dusk, some windows lit, trees in front."""
    _sky(image, (96, 104, 150), (196, 160, 150))
    height, width = image.shape[:2]
    _houses(image, rng, [(142, 84, 70), (126, 78, 68), (150, 100, 84)], 0.35, 1.3, 0.1)
    ys = np.arange(height)[:, None]
    image *= (1 - 0.10 * ((ys // 5) % 2))[..., None].astype(np.float32)
    for x in (0.08, 0.37, 0.93):
        _tree(image, x * width, height - 2, height * 1.05, rng, (60, 86, 54))
    _grain(image, rng, 0.08)


@lru_cache(maxsize=12)
def make_backdrop(
    seed: int, camera_index: int, width: int, height: int, photograph: Path | None = None
) -> np.ndarray:
    """The empty scene of a 0-based camera: (h, w, 3) float32 RGB, 0..255, read-only. Of the file of
    a photograph, the largest middle part of this shape is taken instead of the drawn place.
    """
    if photograph is None:
        image = _drawn(seed, camera_index, width, height)
    else:
        image = _fitted(photograph, width, height)
    image.setflags(write=False)
    return image


def _drawn(seed: int, camera_index: int, width: int, height: int) -> np.ndarray:
    camera = make_cameras(seed)[camera_index]
    rng = np.random.default_rng([seed, BACKDROP_STREAM, camera_index])
    scale = 2
    canvas = np.zeros((height * scale, width * scale, 3), np.float32)
    # Where the wall behind everyone meets the ground.
    row = round(camera.foot_row(camera.heights[0] * 0.82) * height * scale)
    _PLACES[camera.place][0](canvas[:row], rng)
    canvas[row:] = _ground(camera, canvas.shape[:2], row, rng)
    if camera.place in ('station', 'arcade'):
        _mirror(canvas, row)
    _kerb(canvas, row)
    image = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(image, 0, 255)


def _fitted(photograph: Path, width: int, height: int) -> np.ndarray:
    image = decode_upright(photograph.read_bytes())
    whole, wanted = np.array(image.shape[:2]), np.array([height, width])
    scale = (whole / wanted).min()
    rows, columns = part = np.maximum(1, np.round(wanted * scale).astype(int))
    top, left = (whole - part) // 2
    kernel = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    image = image[top : top + rows, left : left + columns]
    image = cv2.resize(image, (width, height), interpolation=kernel)
    return image[..., ::-1].astype(np.float32)


def find_photographs(folder: Path) -> tuple[list[Path], str]:
    """The JPEG and PNG files in a folder and below, in the order of names, and the SHA-256 of all.

    Raises:
        UserError: There are none, or one cannot be read.
    """
    suffixes = ('.jpg', '.jpeg', '.png')
    paths = sorted(path for path in folder.rglob('[!.]*') if path.suffix.lower() in suffixes)
    if not paths:
        raise UserError(f'{folder}: no photographs there; give a folder with .jpg or .png files')
    total = hashlib.sha256()
    for path in paths:
        try:
            content = path.read_bytes()
            decode_upright(content)
        except (OSError, ValueError) as error:
            raise UserError(f'{path}: no readable image ({error}); replace or remove it') from error
        total.update(hashlib.sha256(content).digest())
    return paths, total.hexdigest()


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
    grain, stains = (
        cv2.remap(noise, x * size % 511, z * size % 511, cv2.INTER_LINEAR, None, cv2.BORDER_WRAP)
        for size in (90, 14)
    )
    colour = _PLACES[camera.place][1](x, z, scale, grain, stains)
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


_PLACES = {
    'street': (_street, _asphalt),
    'plaza': (_plaza, _slabs),
    'park': (_park, _path),
    'station': (_station, _polished),
    'arcade': (_arcade, _chequers),
    'campus': (_campus, _bricks),
}
"""Of each place of a camera, what paints its wall into an (h, w, 3) picture and its paving."""
