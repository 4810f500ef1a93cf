"""Loading scene images, without taking half an image for a whole one."""

from __future__ import annotations

import re

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmps.registry import TRANSFORMS

_JPEG_SIGNATURE = b'\xff\xd8\xff'
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
# In entropy-coded data 0xFF is followed by 0x00 or a restart marker; any other pair is a marker.
_JPEG_MARKER = re.compile(rb'\xff[\x02-\xcf\xd8-\xfe]')
_JPEG_END = 0xD9


class BrokenImageError(OSError):
    """An image file that is missing, truncated or not an image.

    Args:
        message: The file and what is wrong with it.
        path: The file. Optional, because a data loader rebuilds an exception of its worker
            processes from the message alone.
    """

    def __init__(self, message: str, path: str = '') -> None:
        super().__init__(message)
        self.path = path


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


@TRANSFORMS.register_module()
class LoadSceneImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which in addition notices truncated JPEG and PNG files.

    Takes the same arguments. Adds ``img`` (H, W, 3) BGR uint8, ``img_shape`` and ``ori_shape``.

    Raises:
        BrokenImageError: The file cannot be read, is truncated or is not an image.
    """

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            image = self._load(path)
        except BrokenImageError:
            if self.ignore_empty:
                return None
            raise
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _load(self, path: str) -> np.ndarray:
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except OSError as error:
            raise BrokenImageError(f'{path}: the file cannot be read ({error})', path) from error
        if is_truncated(content):
            raise BrokenImageError(
                f'{path}: truncated after {len(content)} bytes; fetch or unpack the file again',
                path,
            )
        try:
            image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        except (cv2.error, OSError, ValueError) as error:
            raise BrokenImageError(f'{path}: the file cannot be decoded ({error})', path) from error
        if image is None:
            raise BrokenImageError(f'{path}: the file is not an image OpenCV can decode', path)
        return image
