"""What pictures are made of: one palette, one font, outlines, people cut out of a scene, labels.

Colours are BGR.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmps.utils.files import whole_file
from mmps.utils.image_files import decode_upright

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (39, 24, 17)
MUTED: Colour = (139, 116, 100)
RULE: Colour = (240, 232, 226)
RIGHT: Colour = (74, 163, 22)
WRONG: Colour = (38, 38, 220)
AGAIN: Colour = (11, 158, 245)
ACCENT: Colour = (235, 99, 37)

_IDENTITY_COLOURS: tuple[Colour, ...] = (
    (200, 110, 20),
    (60, 120, 20),
    (40, 60, 200),
    (150, 50, 130),
    (10, 92, 168),
    (120, 110, 10),
    (110, 40, 190),
    (130, 80, 60),
)


def identity_colour(person_id: int) -> Colour:
    """A colour that white text is legible on, the same one for a person wherever they appear."""
    return MUTED if person_id < 0 else _IDENTITY_COLOURS[person_id % len(_IDENTITY_COLOURS)]


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image as (h, w, 3) uint8 BGR, upright.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not an image, or is cut short or damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'image {path} does not exist')
    try:
        return decode_upright(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(
            f'{path} cannot be read as an image ({error}); is the file complete?'
        ) from error


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an image, in the format of the suffix, so that no reader ever sees half a file.

    Raises:
        ValueError: There is no such format.
    """
    if not cv2.haveImageWriter(os.fspath(path)):
        raise ValueError(f'{path}: no image can be written in this format; name it .png or .jpg')
    with whole_file(path) as temporary:
        temporary.write_bytes(cv2.imencode(Path(path).suffix, image)[1].tobytes())


def finish_picture(image: np.ndarray, path: str | os.PathLike | None = None) -> Image.Image:
    """Turn (h, w, 3) uint8 BGR into a picture that a notebook shows; also write it to ``path``."""
    if path is not None:
        write_image(path, image)
    return Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The sans-serif font that Pillow brings along."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Width in pixels of a line of text."""
    return math.ceil(_font(size).getlength(text))


def draw_text(
    image: np.ndarray,
    text: str,
    left: float,
    baseline: float,
    size: int = 13,
    colour: Colour = INK,
    bold: bool = False,
) -> None:
    """Draw a line of text in place, cut off at the edges. ``size`` is the font size in pixels."""
    left, top = round(left), round(baseline) - 2 * size
    right, bottom = left + text_width(text, size) + size, top + 3 * size
    ink = Image.new('L', (right - left, bottom - top))
    # the font has no bold face; a hair of an outline gives its weight
    ImageDraw.Draw(ink).text(
        (0, 2 * size), text, 255, _font(size), anchor='ls', stroke_width=0.3 if bold else 0
    )
    height, width = image.shape[:2]
    a, b, c, d = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if a >= c or b >= d:
        return
    share = np.asarray(ink, np.float32)[b - top : d - top, a - left : c - left, None] / 255
    patch = image[b:d, a:c]
    patch[:] = np.round(patch + share * (np.array(colour, np.float32) - patch))


def shorten(text: str, width: int, size: int) -> str:
    """Cut the middle out of a text that is wider than ``width`` pixels: names differ at the end."""
    if text_width(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f'{text[: kept // 2]}..{text[len(text) - (kept - kept // 2) :]}'
        if text_width(short, size) <= width:
            return short
    return text[:1]


def inside(image: np.ndarray, bbox: np.ndarray) -> np.ndarray:
    """The pixels of ``image`` inside a box xyxy, as a view."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(bbox), 0, [width, height, width, height]).astype(int)
    return image[y1:y2, x1:x2]


def outline(image: np.ndarray, bbox: np.ndarray, colour: Colour, thickness: int = 2) -> None:
    """Outline a box xyxy in place, with the outer edge of the line on the box."""
    box = inside(image, bbox)
    box[:thickness] = box[-thickness:] = colour
    box[:, :thickness] = box[:, -thickness:] = colour


def tag_size(text: str, size: int = 12) -> tuple[int, int]:
    """Width and height in pixels of what :func:`draw_tag` draws."""
    return text_width(text, size) + 9, size + 7


def draw_tag(
    image: np.ndarray, text: str, left: float, top: float, colour: Colour, size: int = 12
) -> None:
    """Draw bold white text on a filled rectangle, given its top left corner.

    The tag is moved left where the image ends before it does.
    """
    width, height = tag_size(text, size)
    left, top = max(0, min(round(left), image.shape[1] - width)), round(top)
    bottom = top + height - 1
    cv2.rectangle(image, (left, top), (left + width - 1, bottom), colour, cv2.FILLED)
    draw_text(image, text, left + 4, bottom - 5, size, PAPER, bold=True)


CELL_WIDTH, CELL_HEIGHT = 116, 148
CAPTION = 40
LINE = 15
BODY, SMALL = 13, 11


@dataclass(frozen=True)
class Cell:
    """What a cell shows.

    Example:
        >>> from mmps.visualization import draw_hits
        >>> scene = np.full((240, 320, 3), 128, np.uint8)
        >>> query = Cell(scene, np.array([100, 40, 160, 220]), 'query')
        >>> hits = [Cell(scene, query.bbox, '0.93', 'cam 2', ['door 0:01:04.5'])]
        >>> draw_hits(query, hits).shape
        (279, 1196, 3)

    Attributes:
        scene: (h, w, 3) uint8 BGR; None where it cannot be shown.
        bbox: (4,) xyxy of the person in it.
        title: First line of the caption.
        corner: At the end of the first line, such as the camera.
        lines: Further lines; where one is too long, its middle is left out.
    """

    scene: np.ndarray | None
    bbox: np.ndarray
    title: str
    corner: str = ''
    lines: Sequence[str] = ()


def draw_cell(canvas: np.ndarray, cell: Cell, colour: Colour) -> None:
    """Draw a person in their surroundings, and the caption below, into (h, CELL_WIDTH, 3) uint8."""
    picture = canvas[:CELL_HEIGHT]
    if cell.scene is None:
        picture[:] = RULE
        draw_text(picture, 'not there any more', 6, CELL_HEIGHT / 2, SMALL, MUTED)
    else:
        picture[:], box = crop_in_context(cell.scene, cell.bbox, CELL_WIDTH, CELL_HEIGHT)
        outline(picture, box, colour)
    outline(picture, (0, 0, CELL_WIDTH, CELL_HEIGHT), colour)
    baseline = CELL_HEIGHT + 17
    draw_text(canvas, cell.title, 0, baseline, BODY, INK, bold=True)
    room = CELL_WIDTH - text_width(cell.title, BODY) - 8
    corner = shorten(cell.corner, room, SMALL)
    draw_text(canvas, corner, CELL_WIDTH - text_width(corner, SMALL), baseline, SMALL, MUTED)
    for number, line in enumerate(cell.lines, start=1):
        short = shorten(line, CELL_WIDTH, SMALL)
        draw_text(canvas, short, 0, baseline + number * LINE, SMALL, MUTED)


def crop_in_context(
    image: np.ndarray, bbox: np.ndarray, width: int, height: int, margin: float = 0.16
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a person out of a scene, with surroundings that are paler than the person.

    The cut has the shape asked for and stays inside the image where the image is large enough.

    Args:
        image: (h, w, 3) uint8.
        bbox: (4,) xyxy in pixels of ``image``.
        width: Of the result.
        height: Of the result.
        margin: Least surroundings on each side, as a share of the box.

    Returns:
        (height, width, 3) uint8, and the box in it (4,).
    """
    corner, scale, box = place_in_context(image.shape[1::-1], bbox, width, height, margin)
    crop = _resample(image, corner, scale, width, height)
    pale = cv2.addWeighted(crop, 0.62, np.full_like(crop, 255), 0.38, 0)
    inside(pale, box)[:] = inside(crop, box)
    return pale, box


def place_in_context(
    size: tuple[int, int], bbox: Sequence[float], width: int, height: int, margin: float = 0.16
) -> tuple[np.ndarray, float, np.ndarray]:
    """Where in an image of a width and height :func:`crop_in_context` cuts.

    Returns:
        The cut's corner x, y in pixels of the image, its enlargement, and the box in it (4,).
    """
    x1, y1, x2, y2 = (float(value) for value in bbox)
    scale = min(width / (x2 - x1), height / (y2 - y1)) / (1 + 2 * margin)
    cut = np.array([width, height]) / scale
    limit = np.array(size) - cut
    corner = np.array([x1 + x2, y1 + y2]) / 2 - cut / 2
    corner = np.where(limit >= 0, np.clip(corner, 0, limit), limit / 2)
    return corner, scale, (np.array([x1, y1, x2, y2]) - np.tile(corner, 2)) * scale


def _resample(
    image: np.ndarray, corner: np.ndarray, scale: float, width: int, height: int
) -> np.ndarray:
    """The part of ``image`` that starts at ``corner``, enlarged or reduced by ``scale``."""
    if scale < 1:  # average over the pixels that fall together, or fine patterns turn into moire
        shape = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        corner, scale = corner * scale, 1.0
    # pixel centres stand at half-integers of the box coordinates
    shift = (0.5 - corner) * scale - 0.5
    crop = cv2.warpAffine(
        image,
        np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    a, b = np.round(-corner * scale).astype(int).clip(0)
    c, d = np.round((np.array([image.shape[1], image.shape[0]]) - corner) * scale).astype(int)
    crop[:b] = crop[d:] = RULE
    crop[:, :a] = crop[:, c:] = RULE
    return crop


_ADJACENT = 8
"""How many of the places, which are in order of preference, touch the box."""


@dataclass(frozen=True)
class Label:
    """Where a label goes.

    Attributes:
        place: ``above-``, ``below-``, ``beside-``, ``higher-`` or ``lower-left`` or ``-right``,
            ``inside-top`` or ``inside-bottom``; higher and lower ones leave room for one label in
            between.
        left, top: Its corner, in pixels.
    """

    place: str
    left: float
    top: float


def place_labels(
    bboxes: np.ndarray, sizes: Sequence[tuple[float, float]], frame: tuple[float, float]
) -> list[Label]:
    """Choose a place for the label of each person, one after the other.

    A label goes where it hides the least of other labels, rather beside the box than further away,
    then where it hides the least of people, and where that is the same, to the first of the places.
    Pixels outside of the image count as hidden labels.

    Args:
        bboxes: (n, 4) xyxy.
        sizes: Width and height of n labels, in the same pixels.
        frame: Width and height of the image.
    """
    bboxes = np.asarray(bboxes, np.float64).reshape(-1, 4)
    placed = np.zeros((0, 4))
    labels = []
    for bbox, (width, height) in zip(bboxes, sizes, strict=True):
        places, corners = zip(*_corners(bbox, width, height).items(), strict=True)
        corners = np.array(corners)
        spots = np.hstack([corners, corners + [width, height]])
        outside = width * height - _overlaps(spots, np.array([[0, 0, *frame]])).sum(1)
        hidden = outside + _overlaps(spots, placed).sum(1)
        people = _overlaps(spots, bboxes).sum(1)
        order = np.arange(len(spots))
        best = np.lexsort((order, people.round(3), order >= _ADJACENT, hidden.round(3)))[0]
        placed = np.vstack([placed, spots[best]])
        labels.append(Label(places[best], *corners[best].tolist()))
    return labels


def _corners(bbox: np.ndarray, width: float, height: float) -> dict[str, tuple[float, float]]:
    """Top left corner of a label at each place around a box, the best place first."""
    x1, y1, x2, y2 = bbox
    left, right = x1, x2 - width
    return {
        'above-left': (left, y1 - height),
        'above-right': (right, y1 - height),
        'below-left': (left, y2),
        'below-right': (right, y2),
        'beside-left': (x1 - width, y1),
        'beside-right': (x2, y1),
        'inside-top': (left, y1),
        'inside-bottom': (left, y2 - height),
        'higher-left': (left, y1 - 2 * height),
        'higher-right': (right, y1 - 2 * height),
        'lower-left': (left, y2 + height),
        'lower-right': (right, y2 + height),
    }


def _overlaps(spots: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Areas (n, m) that n boxes xyxy share with m others."""
    low = np.maximum(spots[:, None, :2], boxes[None, :, :2])
    high = np.minimum(spots[:, None, 2:], boxes[None, :, 2:])
    return np.clip(high - low, 0, None).prod(2)


def draw_people(
    image: np.ndarray,
    bboxes: np.ndarray,
    person_ids: Sequence[int],
    labels: Sequence[str] | None = None,
) -> np.ndarray:
    """Outline people and tag each with their id, where it hides neither other tags nor people.

    Args:
        image: (h, w, 3) uint8 BGR.
        bboxes: (n, 4) xyxy in pixels of ``image``.
        person_ids: n ids; negative: an unlabelled person, drawn grey.
        labels: n texts to show in place of the ids.

    Returns:
        A new image of the same shape.
    """
    canvas = np.ascontiguousarray(image).copy()
    if labels is None:
        labels = [str(person) if person >= 0 else 'unlabelled' for person in person_ids]
    colours = [identity_colour(int(person)) for person in person_ids]
    for bbox, colour in zip(bboxes, colours, strict=True):
        outline(canvas, bbox, colour)
    places = place_labels(bboxes, [tag_size(label) for label in labels], canvas.shape[1::-1])
    for place, label, colour in zip(places, labels, colours, strict=True):
        draw_tag(canvas, label, place.left, place.top, colour)
    return canvas


def draw_packed(packed: Mapping[str, Any], original_pixels: bool) -> np.ndarray:
    """Draw what a pipeline hands to the model.

    Args:
        packed: ``inputs``, a (3, h, w) uint8 tensor in BGR order, and ``data_samples``.
        original_pixels: Whether the annotated boxes are in the pixels of the file, as in testing,
            and not in those of ``inputs``.

    Returns:
        (h, w, 3) uint8 BGR.
    """
    sample = packed['data_samples']
    bboxes = sample.gt_instances.bboxes
    bboxes = np.asarray(getattr(bboxes, 'tensor', bboxes), np.float32)
    if original_pixels:
        bboxes = bboxes * np.tile(np.asarray(sample.scale_factor, np.float32), 2)
    image = packed['inputs'].permute(1, 2, 0).numpy()
    return draw_people(image, bboxes, sample.gt_instances.person_ids.tolist())
