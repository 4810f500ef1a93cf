"""What the bytes of an image file say, without decoding them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_JPEG_SIGNATURE = b'\xff\xd8\xff'
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_JPEG_ENDING = b'\xff\xd9'
_PNG_ENDING = b'\x00\x00\x00\x00IEND\xaeB`\x82'
# In entropy-coded data 0xFF is followed by 0x00 or a restart marker; any other pair is a marker.
_JPEG_MARKER = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]')
_JPEG_END = 0xD9
_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = range(5, 9)


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded.

    Attributes:
        width: In pixels, of the picture as it is displayed.
        height: In pixels.
        turned: Whether its EXIF data ask for a rotation or reflection, which OpenCV applies.
    """

    width: int
    height: int
    turned: bool


def read_header(path: Path) -> ImageHeader:
    """Read size and orientation of an image, and make sure that its file has an end.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not an image, or truncated; the message names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such image')
    with open(path, 'rb') as file:
        header = _header(file, str(path))
    if not _has_ending(path) and is_truncated(path.read_bytes()):
        raise ValueError(f'{path}: truncated after {path.stat().st_size} bytes')
    return header


def header_of(content: bytes, name: str = 'the image') -> ImageHeader:
    """The same of an image that is in memory.

    Raises:
        ValueError: Not an image, or truncated; the message calls it ``name``.
    """
    header = _header(BytesIO(content), name)
    if is_truncated(content):
        raise ValueError(f'{name}: truncated after {len(content)} bytes')
    return header


def _header(file: BinaryIO, name: str) -> ImageHeader:
    from PIL import Image, UnidentifiedImageError

    try:
        exif = Image.Exif()
        with Image.open(file) as image:
            width, height = image.size
            exif.load(image.info.get('exif'))  # image.getexif() would decode a PNG file
        orientation = exif.get(_EXIF_ORIENTATION, 1)
    except UnidentifiedImageError as error:
        raise ValueError(f'{name}: not an image of a known kind') from error
    except Exception as error:  # a plugin of Pillow's may raise anything on a damaged file
        raise ValueError(f'{name}: cannot be read as an image ({error})') from error
    if orientation in _QUARTER_TURNS:
        width, height = height, width
    return ImageHeader(width, height, orientation in range(2, 9))


def _has_ending(path: Path) -> bool:
    """Whether the last bytes are those of a whole JPEG or PNG file, as they are in nearly all."""
    with open(path, 'rb') as file:
        file.seek(-min(len(_PNG_ENDING), path.stat().st_size), 2)
        tail = file.read()
    return tail.endswith((_JPEG_ENDING, _PNG_ENDING))


def is_truncated(content: bytes) -> bool:
    """Whether the bytes of a JPEG or PNG file stop before the image does.

    OpenCV decodes such a file without an error and fills the rest with grey. Files of another kind
    are never called truncated.
    """
    if content.startswith(_JPEG_SIGNATURE):
        return not _jpeg_ends(content)
    if content.startswith(_PNG_SIGNATURE):
        return not _png_ends(content)
    return False


def _jpeg_ends(content: bytes) -> bool:
    # Segments are stepped over by their length: a thumbnail inside one has its own end marker.
    position = 2
    while match := _JPEG_MARKER.search(content, position):
        position = match.end()
        if content[position - 1] == _JPEG_END:
            return True
        position += int.from_bytes(content[position : position + 2], 'big')
    return False


def _png_ends(content: bytes) -> bool:
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(content):
        kind = content[position + 4 : position + 8]
        position += 12 + int.from_bytes(content[position : position + 4], 'big')
        if kind == b'IEND':
            return position <= len(content)
    return False
