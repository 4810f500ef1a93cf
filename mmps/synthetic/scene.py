"""Composes a scene: people and things in front of a backdrop, and who is seen how well."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmps.synthetic.appearance import Appearance, sample_pose
from mmps.synthetic.backdrop import make_backdrop
from mmps.synthetic.camera import Camera, develop, make_cameras
from mmps.synthetic.person import Sprite, draw_person
from mmps.synthetic.planning import Labels
from mmps.synthetic.props import FREQUENCY, OUTDOOR_ONLY, PROPS, overlap, paste

MIN_VISIBLE = 0.45
"""A person of whom less is seen is taken out of the scene, or what hides the person is."""

_INDOOR = frozenset({'station', 'arcade'})
_TRIES = 40


@dataclass(frozen=True)
class Scene(Labels):
    """A rendered picture, (h, w, 3) uint8 RGB, and the people in it."""

    image: np.ndarray


@dataclass(frozen=True)
class _Placed:
    """Something that stands in the scene; `person_id` is None for things."""

    sprite: Sprite
    x: float
    y: float
    person_id: int | None

    @property
    def extent(self) -> tuple[float, float, float, float]:
        height, width = self.sprite.alpha.shape
        left, top = round(self.x - self.sprite.foot[0]), round(self.y - self.sprite.foot[1])
        return left, top, left + width, top + height


def compose(
    seed: int,
    camera_index: int,
    size: tuple[int, int],
    people: Sequence[tuple[int, Appearance]],
    rng: np.random.Generator,
    photograph: Path | None = None,
) -> Scene:
    """Renders one picture of a 0-based camera.

    Args:
        seed: Seed of the data set; gives the camera and its backdrop.
        size: Width and height in pixels.
        people: (person id, appearance) of each person; id -1 is unlabelled. Somebody who cannot be
            placed to be seen at all is missing from the scene.
        rng: Source of places, poses, things and camera noise.
        photograph: File of the picture behind everything instead of the drawn backdrop.
    """
    camera = make_cameras(seed)[camera_index]
    placed = _place_people(camera, size, people, rng)
    placed += _place_things(camera, size, placed, rng)
    placed.sort(key=lambda thing: thing.y)
    placed, share = _uncover(placed, size)
    canvas = make_backdrop(seed, camera_index, *size, photograph).copy()
    _cast_shadows(canvas, placed, camera)
    for thing in placed:
        paste(canvas, thing.sprite, thing.x, thing.y)
    image = develop(camera, canvas, rng)
    seen = [k for k, thing in enumerate(placed) if thing.person_id is not None]
    boxes = [tight_box(placed[k].sprite, placed[k].x, placed[k].y, size) for k in seen]
    return Scene(
        np.array([placed[k].person_id for k in seen], np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([share[k] for k in seen], np.float32),
        image,
    )


def tight_box(
    sprite: Sprite, x: float, y: float, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The box (xyxy) of a sprite's own pixels within a picture of `size` (width, height)."""
    rows, columns, own_rows, own_columns = overlap(size[::-1], sprite, x, y)
    mask = sprite.mask[own_rows, own_columns]
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return 0, 0, 0, 0
    left, top = columns.start, rows.start
    return int(left + xs[0]), int(top + ys[0]), int(left + xs[-1] + 1), int(top + ys[-1] + 1)


def _place_people(
    camera: Camera,
    size: tuple[int, int],
    people: Sequence[tuple[int, Appearance]],
    rng: np.random.Generator,
) -> list[_Placed]:
    placed: list[_Placed] = []
    for person_id, look in people:
        pose = sample_pose(rng, camera.pitch)
        companion = placed[-1] if placed and rng.random() < 0.25 else None
        best: tuple[float, float, float, float] = (np.inf, 0, 0, 0)
        for attempt in range(_TRIES):
            beside = companion if attempt < _TRIES // 2 else None
            x, y, body = _candidate(camera, size, beside, rng)
            cost = _cost((x, y, body), size, placed)
            if cost < best[0]:
                best = (cost, x, y, body)
            if cost < rng.uniform(0.1, 0.4):
                break
        _, x, y, body = best
        placed.append(_Placed(draw_person(look, pose, body, camera.light), x, y, person_id))
    return placed


def _candidate(
    camera: Camera, size: tuple[int, int], beside: _Placed | None, rng: np.random.Generator
) -> tuple[float, float, float]:
    """A place to stand, anywhere or beside somebody: x, y and the body height there, in pixels."""
    width, height = size
    if beside is None:
        body = float(np.exp(rng.uniform(*np.log(camera.heights))))
        x = rng.uniform(-0.01, 1.01) * width
    else:
        row = beside.y / height + rng.uniform(-0.06, 0.06)
        body = float(np.clip(camera.body_height(row), *camera.heights))
        x = beside.x + rng.choice((-1, 1)) * rng.uniform(0.2, 0.5) * body * height
    return float(x), camera.foot_row(body) * height, body * height


def _cost(place: tuple[float, float, float], size: tuple[int, int], placed: list[_Placed]) -> float:
    """How much somebody at this place would hide, be hidden or be cut by the border: 0..1."""
    x, y, body = place
    box = (x - 0.19 * body, y - body, x + 0.19 * body, y)
    inside = (min(box[2], size[0]) - max(box[0], 0)) / (box[2] - box[0])
    inside *= (min(y, size[1]) - box[1]) / body
    return max([0.9 * (1 - inside), *(_hidden(box, y, other) for other in placed)])


def _hidden(box: tuple[float, float, float, float], y: float, other: _Placed) -> float:
    """Share of the farther of two boxes that the nearer one covers."""
    x1, y1, x2, y2 = other.extent
    meet = max(0.0, min(box[2], x2) - max(box[0], x1)) * max(0.0, min(box[3], y2) - max(box[1], y1))
    farther = box if y < other.y else (x1, y1, x2, y2)
    return meet / max(1.0, (farther[2] - farther[0]) * (farther[3] - farther[1]))


def _place_things(
    camera: Camera, size: tuple[int, int], people: list[_Placed], rng: np.random.Generator
) -> list[_Placed]:
    width, height = size
    kinds = [k for k in PROPS if not (camera.place in _INDOOR and k in OUTDOOR_ONLY)]
    weights = np.array([FREQUENCY.get(kind, 1.0) for kind in kinds])
    things: list[_Placed] = []
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(kinds, p=weights / weights.sum()))
        for _attempt in range(8):
            body = float(rng.uniform(*camera.heights))
            x, y = rng.uniform(0, 1) * width, camera.foot_row(body) * height
            half = (1.2 if kind == 'car' else 0.25) * body * height
            box = (x - half, y - 0.8 * body * height, x + half, y)
            if all(_hidden(box, y, p) < 0.6 or p.y > y for p in people):
                break
        else:
            continue
        things.append(_Placed(PROPS[kind](rng, body * height, camera.light), x, y, None))
    return things


def _owners(placed: list[_Placed], size: tuple[int, int]) -> np.ndarray:
    owner = np.full(size[::-1], -1, np.int16)
    for number, thing in enumerate(placed):
        rows, columns, own_rows, own_columns = overlap(owner.shape, thing.sprite, thing.x, thing.y)
        owner[rows, columns][thing.sprite.mask[own_rows, own_columns]] = number
    return owner


def _visible_shares(placed: list[_Placed], size: tuple[int, int]) -> np.ndarray:
    """(len(placed),) share of each thing's pixels that nothing nearer and no border hides."""
    counts = np.bincount(_owners(placed, size).ravel() + 1, minlength=len(placed) + 1)[1:]
    totals = np.array([max(1, int(thing.sprite.mask.sum())) for thing in placed])
    return counts / totals if placed else np.zeros(0)


def _uncover(placed: list[_Placed], size: tuple[int, int]) -> tuple[list[_Placed], np.ndarray]:
    """Takes things away until every person left is seen well enough; also tells how well."""
    placed = list(placed)
    while True:
        shares = _visible_shares(placed, size)
        people = [k for k, thing in enumerate(placed) if thing.person_id is not None]
        worst = min(people, key=lambda k: shares[k], default=None)
        if worst is None or shares[worst] >= MIN_VISIBLE:
            return placed, shares
        person = placed[worst]
        meet = overlap(size[::-1], person.sprite, person.x, person.y)
        hiding = _owners(placed, size)[meet[:2]][person.sprite.mask[meet[2:]]]
        area = np.bincount(hiding[hiding > worst], minlength=len(placed))
        expendable = [k for k in range(worst + 1, len(placed)) if _rank(placed[k]) < 2 and area[k]]
        if _rank(person) == 2 and expendable:
            del placed[max(expendable, key=lambda k: area[k])]
        else:
            del placed[worst]


def _rank(thing: _Placed) -> int:
    """0 for a thing, 1 for an unlabelled person, 2 for a labelled one."""
    return 0 if thing.person_id is None else 1 + (thing.person_id >= 0)


def _cast_shadows(canvas: np.ndarray, placed: list[_Placed], camera: Camera) -> None:
    """Darkens the ground under and beside everything; soft, so half the resolution will do."""
    height, width = canvas.shape[:2]
    dark = np.zeros((height // 2, width // 2), np.float32)
    shear, flatten = 0.9 * camera.light, 0.3
    for thing in placed:
        mask, foot = thing.sprite.alpha[::2, ::2], np.array(thing.sprite.foot) / 2
        rows, columns = mask.shape
        reach = abs(shear) * rows
        wide = round(columns + reach) + 1
        start = np.array([-foot[0] - max(0.0, -shear) * rows, -flatten * foot[1]])
        flat = np.float32([[1, -shear, 0], [0, flatten, 0]])
        flat[:, 2] = -start - flat[:, :2] @ foot
        flat[0, 2] = -start[0] - (foot[0] - shear * foot[1])
        size = wide, max(1, round(rows * flatten) + 1)
        shadow = cv2.warpAffine(mask, flat, size) * camera.shadow
        left, top = np.round(np.array([thing.x, thing.y]) / 2 + start).astype(int)
        y1, x1 = max(0, top), max(0, left)
        patch = dark[y1 : max(y1, top + shadow.shape[0]), x1 : max(x1, left + shadow.shape[1])]
        own = shadow[y1 - top :, x1 - left :][: patch.shape[0], : patch.shape[1]]
        np.maximum(patch, own, out=patch)
        spread = max(1, round(0.065 * rows * 2))
        centre = round(thing.x / 2), round(thing.y / 2)
        blob = max(0.35, camera.shadow)
        cv2.ellipse(dark, centre, (spread, max(1, spread // 4)), 0, 0, 360, blob, -1)
    soft = cv2.GaussianBlur(dark, (0, 0), 0.003 * height + 0.3)
    light = 1 - cv2.resize(soft, (width, height))
    canvas *= cv2.merge([light, light, light])
