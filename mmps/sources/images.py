"""Reading image files of which nothing is known."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import cv2
import numpy as np

from mmps.sources.frame import MAX_PIXELS, check_size
from mmps.utils.image_files import read_header

_LARGEST_PIXEL, _LARGEST_HEADER = 8, 2**24
"""Bytes of a pixel with 16-bit colours and alpha, and of what may stand around the pixels."""


def read_image(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as training and testing do: as OpenCV decodes it, upright.

    Its size is known, and that the file has an end, before anything is decoded.

    Args:
        path: The file.
        max_pixels: Larger images are refused.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is truncated, too large or not an image.
    """
    path = Path(path)
    limit = max_pixels * _LARGEST_PIXEL + _LARGEST_HEADER
    if path.stat().st_size > limit:
        raise ValueError(f'{path.stat().st_size} bytes, more than {max_pixels} pixels take')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's of large images, which are refused here
        header = _without_name(path)
    check_size(header.width, header.height, max_pixels)
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f'cannot be decoded ({error.err or "OpenCV"})') from error
    if image is None:
        raise ValueError('cannot be decoded')
    return image


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
    try:
        return read_image(image, max_pixels)
    except ValueError as error:
        raise ValueError(f'{image}: {error}') from error


def _without_name(path: Path):
    try:
        return read_header(path)
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f'{path}: ')) from error
