"""Reading image files of which nothing is known."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmps.utils.image_files import decode_upright, header_of, is_truncated

MAX_PIXELS = 89_478_485
"""Default limit of the size of an image: a quarter of a GiB, from where on Pillow, too, suspects a
decompression bomb."""

_THINNEST = 100
"""No scene is so many times as long as it is wide; resized, nothing would be left of its width."""

_ADDRESS = re.compile(r'([a-z][a-z0-9+.-]+):/+(.*)', re.IGNORECASE | re.DOTALL)
_SECRETS = 'user|pass|pwd|pin|token|key|auth|secret|sig|code'
_CHANNEL = re.compile(rf'(?!.*({_SECRETS}))\w+=\d{{1,3}}', re.IGNORECASE)
_SECRET = re.compile(rf'((?:{_SECRETS})[a-z]*)=.*?(?=_[a-z]+=|[/;&]|$)', re.IGNORECASE)
_HOST = re.compile(r'([^:/@]*|\[[^]/]*\])(:\d*)?(?=[/?#]|$)')


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `ValueError` for what is too large or too thin to be a scene."""
    if width * height > max_pixels:
        raise ValueError(f'{width} x {height} pixels, more than the limit of {max_pixels}')
    if max(width, height) > _THINNEST * min(width, height):
        raise ValueError(f'{width} x {height} pixels are too thin for a scene')


@dataclass(frozen=True, eq=False)
class Frame:
    """One image, or one frame of a video.

    Example:
        >>> image = np.zeros((480, 640, 3), np.uint8)
        >>> frame = Frame(image, '/videos/door.mp4', frame=50, offset=2.0, camera='door')
        >>> as_image(frame.image).shape, frame.offset, frame.time
        ((480, 640, 3), 2.0, None)

    Attributes:
        image: (h, w, 3) uint8 BGR.
        source: Absolute path of the file.
        frame: Number of the frame in a video, from 0; 0 for an image.
        offset: Seconds from the start of the video; None for an image.
        time: Seconds since the epoch (UTC) when it was taken, if known.
        camera: Name of the camera, if known.
        metadata: Whatever else the file's name tells, or the user.
    """

    image: np.ndarray
    source: str
    frame: int = 0
    offset: float | None = None
    time: float | None = None
    camera: str | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Why a file, or a part of it, gave no frames.

    Example:
        >>> print(Problem('/videos/door.mp4', 'cannot be decoded', frame=50))
        /videos/door.mp4, frame 50: cannot be decoded

    Attributes:
        source: The path.
        message: What is wrong with it.
        frame: Number of the frame that it is about; None: the whole file or folder.
    """

    source: str
    message: str
    frame: int | None = None

    def __str__(self) -> str:
        place = '' if self.frame is None else f', frame {self.frame}'
        return f'{printable(self.source)}{place}: {self.message}'


OnProblem = Callable[[Problem], None]


def absolute(source: str | os.PathLike) -> str:
    """The absolute path, the same for all ways to write it; of an address, its name without user,
    password and query.

    Links keep their names, except where ``..`` comes in, whose meaning depends on them.
    """
    path = os.fspath(source)
    if is_address(path):
        return without_password(path)
    return os.path.realpath(path) if '..' in Path(path).parts else os.path.abspath(path)


def is_address(source: str | os.PathLike) -> bool:
    """Whether a source is that of a stream or on a server, such as ``rtsp://HOST/NAME``."""
    path = os.fspath(source)
    return bool(_ADDRESS.match(path)) and not os.path.lexists(path)


def without_password(address: str) -> str:
    """An address that may be shown: without user and password.

    Of its query stay short numbers, which tell the channels of a recorder apart.
    """
    if not (match := _ADDRESS.match(address)):
        return address
    scheme, rest = match.groups()
    place = re.split(r'[?#]', rest)[0]
    if '@' in place:
        place = place.rpartition('@')[2]
    elif not _HOST.match(rest):  # what looks like the query is a part of the password
        place = re.split(r'[?#]', rest.rpartition('@')[2])[0]
    place = _SECRET.sub(r'\1=', place)
    query = rest.rpartition('@')[2].partition('#')[0].partition('?')[2]
    channels = '&'.join(part for part in query.split('&') if _CHANNEL.fullmatch(part))
    return f'{scheme}://{place}' + (f'?{channels}' if channels else '')


def printable(path: str) -> str:
    """A path on one line, whatever characters its name has."""
    return path if path.isprintable() else repr(path)


_LARGEST_PIXEL, _LARGEST_HEADER = 8, 2**24
"""Bytes of a pixel with 16-bit colours and alpha, and of what may stand around the pixels."""


def read_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as training and testing do: upright, see
    :func:`~mmps.utils.image_files.decode_upright`.

    Its size is known, and that the file has an end, before anything is decoded; what is larger
    than ``max_pixels`` is refused.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is truncated, damaged, too large, animated or not an image.
    """
    path = Path(path)
    limit = max_pixels * _LARGEST_PIXEL + _LARGEST_HEADER
    if path.stat().st_size > limit:
        raise ValueError(f'{path.stat().st_size} bytes, more than {max_pixels} pixels take')
    try:
        return decode_image(path.read_bytes(), max_pixels)
    except ValueError as error:
        raise ValueError(str(error).removeprefix('the image: ')) from error


def decode_image(content: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The same of an image that is in memory, whose name nobody needs to know.

    Raises:
        ValueError: It is truncated, damaged, too large, animated or not an image.
    """
    check_header(content, max_pixels)
    return decode_upright(content)


def check_header(content: bytes, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `ValueError` where :func:`decode_image` would, as far as the header tells."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's of large images, which are refused here
        header = header_of(content)
    check_size(header.width, header.height, max_pixels)
    if header.frames > 1:
        raise ValueError(
            f'an animation of {header.frames} pictures; save one of them, or all as a video '
            '(animated GIF and .apng are read as videos)'
        )
    if is_truncated(content):
        raise ValueError(f'the image: truncated after {len(content)} bytes')


def as_image(image: str | os.PathLike | np.ndarray, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image given as a path or as (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not an image; the message names it.
    """
    if isinstance(image, (str, os.PathLike)):
        if is_address(image):
            raise ValueError(f'{without_password(os.fspath(image))}: addresses are not read')
        try:
            return read_image(image, max_pixels)
        except ValueError as error:
            raise ValueError(f'{image}: {error}') from error
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        kind = getattr(image, 'dtype', type(image).__name__)
        raise ValueError(f'an image is an array (h, w, 3) of uint8 in BGR order, not {kind}')
    if image.shape[2] != 3 or not image.size:
        raise ValueError(f'an image is an array (h, w, 3) in BGR order, not {image.shape}')
    check_size(image.shape[1], image.shape[0], max_pixels)
    return image
