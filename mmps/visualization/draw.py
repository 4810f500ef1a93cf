"""Drawing primitives: one palette, one font, one way to outline a person. Colours are BGR."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmps.utils.files import whole_file
from mmps.utils.image_decoding import decode_upright

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (39, 24, 17)
MUTED: Colour = (139, 116, 100)
RULE: Colour = (240, 232, 226)
RIGHT: Colour = (74, 163, 22)
WRONG: Colour = (38, 38, 220)
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


def outline(image: np.ndarray, bbox: np.ndarray, colour: Colour, thickness: int = 2) -> None:
    """Outline a box xyxy in place, with the outer edge of the line on the box."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.clip(np.round(bbox), 0, [width, height, width, height]).astype(int)
    box = image[y1:y2, x1:x2]
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
