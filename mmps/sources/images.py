"""Reading image files of which nothing is known."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from mmps.sources.files import is_address, without_password
from mmps.sources.frame import MAX_PIXELS, check_size
from mmps.utils.image_decoding import decode_upright
from mmps.utils.image_files import header_of

_LARGEST_PIXEL, _LARGEST_HEADER = 8, 2**24
"""Bytes of a pixel with 16-bit colours and alpha, and of what may stand around the pixels."""


def read_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as training and testing do: upright, see
    :func:`~mmps.utils.image_decoding.decode_upright`.

    Its size is known, and that the file has an end, before anything is decoded.

    Args:
        path: The file.
        max_pixels: Larger images are refused.

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


def check_image(image: np.ndarray, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Raise `ValueError` unless ``image`` is a scene (h, w, 3) uint8; returns it."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3:
        kind = getattr(image, 'dtype', type(image).__name__)
        raise ValueError(f'an image is an array (h, w, 3) of uint8 in BGR order, not {kind}')
    if image.shape[2] != 3 or not image.size:
        raise ValueError(f'an image is an array (h, w, 3) in BGR order, not {image.shape}')
    check_size(image.shape[1], image.shape[0], max_pixels)
    return image


def as_image(image: str | os.PathLike | np.ndarray, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image given as a path or as (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not an image; the message names it.
    """
    if not isinstance(image, (str, os.PathLike)):
        return check_image(image, max_pixels)
    if is_address(image):
        raise ValueError(f'{without_password(os.fspath(image))}: addresses are not read')
    try:
        return read_image(image, max_pixels)
    except ValueError as error:
        raise ValueError(f'{image}: {error}') from error
