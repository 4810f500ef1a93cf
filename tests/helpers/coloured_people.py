"""People of one colour each, and a network that finds and tells them apart by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmps.apis import PersonSearcher
from mmps.apis.network import Network
from mmps.apis.people import People
from mmps.retrieval import Gallery, ModelTag
from mmps.visualization import write_image, write_video

RED, DARK_RED, GREEN, BLUE = (20, 20, 220), (40, 10, 160), (30, 200, 40), (210, 40, 20)
LEFT, MIDDLE, RIGHT = (10, 20, 34, 80), (60, 24, 84, 84), (120, 30, 140, 86)
BACKGROUND = 90
_SATURATED = 60


def coloured_scene(
    people: Sequence[tuple[tuple[int, int, int], tuple[int, int, int, int]]],
    size: tuple[int, int] = (160, 96),
) -> np.ndarray:
    """A grey scene.

    Args:
        people: Colour (BGR) and box (x1, y1, x2, y2) of each.
        size: Width and height.

    Returns:
        (h, w, 3) uint8.
    """
    scene = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    for colour, (x1, y1, x2, y2) in people:
        scene[y1:y2, x1:x2] = colour
    return scene


class ColourNetwork(Network):
    """Finds coloured rectangles, from left to right; the embedding of one is its mean colour.

    Attributes:
        tag: Which model it is.
        calls: How often it was asked.
    """

    def __init__(self) -> None:
        self.tag = ModelTag('c0', 3, 'colours')
        self.calls = 0

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`mmps.apis.network.Network`."""
        self.calls += 1
        if boxes is None:
            boxes = [_boxes(image) for image in images]
        return [self._people(*pair) for pair in zip(images, boxes, strict=True)]

    @staticmethod
    def _people(image: np.ndarray, boxes: np.ndarray) -> People:
        inner = [np.round([x1 + 2, y1 + 2, x2 - 2, y2 - 2]) for x1, y1, x2, y2 in boxes]
        colours = [image[int(b) : int(d), int(a) : int(c)].mean((0, 1)) for a, b, c, d in inner]
        rows = np.array(colours, np.float32).reshape(-1, 3)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        scores = np.full(len(rows), 0.9, np.float32)
        return People(np.asarray(boxes, np.float32).reshape(-1, 4), scores, rows)


def _boxes(image: np.ndarray) -> np.ndarray:
    saturated = (np.ptp(image.astype(int), axis=2) > _SATURATED).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(saturated)
    found = [(x, y, x + w, y + h) for x, y, w, h, area in stats[1:] if area > 40]
    return np.array(sorted(found), np.float32).reshape(-1, 4)


def make_sources(folder: Path) -> Path:
    """Three scenes, and a video of 2 s whose second half shows somebody blue."""
    write_image(folder / 'cam1_a.png', coloured_scene([(RED, LEFT), (GREEN, RIGHT)]))
    write_image(folder / 'cam2_b.png', coloured_scene([(DARK_RED, MIDDLE)]))
    write_image(folder / 'cam2_c.png', coloured_scene([(GREEN, LEFT), (BLUE, MIDDLE)]))
    halves = [coloured_scene([]), coloured_scene([(BLUE, MIDDLE)])]
    write_video(folder / 'door.mp4', [halves[number >= 10] for number in range(20)], 10)
    return folder


def make_gallery(sources: Path, searcher: PersonSearcher) -> Gallery:
    """What the sources show: images by camera, the video from 5000 s after the epoch on."""
    gallery = Gallery.open('memory:', searcher.tag)
    pattern = r'cam(?P<camera>\d)_'
    searcher.index(sorted(sources.glob('*.png')), gallery, name_pattern=pattern, progress=False)
    searcher.index(
        sources / 'door.mp4', gallery, fps=2, camera='door', start_time=5000.0, progress=False
    )
    return gallery


def make_picture() -> bytes:
    """Bytes of a PNG file with somebody red and somebody blue."""
    scene = coloured_scene([(RED, LEFT), (BLUE, RIGHT)])
    return cv2.imencode('.png', scene)[1].tobytes()
