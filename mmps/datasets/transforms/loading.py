"""Loading scene images, without taking half an image for a whole one."""

from __future__ import annotations

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmps.registry import TRANSFORMS
from mmps.utils.image_decoding import decode_upright
from mmps.utils.image_files import is_truncated


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


@TRANSFORMS.register_module()
class LoadSceneImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, but with pictures read as searching reads them.

    Takes the same arguments. Images in colour come upright, whatever container says how they are
    turned, and damage is noticed; see :func:`~mmps.utils.image_decoding.decode_upright`. Another
    ``color_type`` or ``imdecode_backend`` goes the way of mmcv's. Adds ``img`` (H, W, 3) BGR uint8,
    ``img_shape`` and ``ori_shape``.

    Raises:
        BrokenImageError: The file cannot be read, is truncated, damaged or not an image.
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
        if self.color_type == 'color' and self.imdecode_backend in (None, 'cv2'):
            try:
                return decode_upright(content)
            except ValueError as error:
                raise BrokenImageError(
                    f'{path}: {error}; fetch or unpack the file again', path
                ) from error
        return self._as_mmcv(path, content)

    def _as_mmcv(self, path: str, content: bytes) -> np.ndarray:
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
