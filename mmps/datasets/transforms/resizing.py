"""Resizing as the programs of published models do it, to the pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmdet.datasets.transforms import Resize

from mmps.registry import TRANSFORMS

ROUNDINGS = {'floor': math.floor, 'nearest': lambda side: math.floor(side + 0.5), 'even': round}


@TRANSFORMS.register_module()
class ResizeToFit(Resize):
    """mmdet's ``Resize`` that keeps the aspect ratio, with a choice of how sides are rounded.

    The image becomes float32, so that resized values are not rounded; no side is smoothed before it
    shrinks. A width of 1499 in place of 1500 pixels changes every value of every map, and OpenCV
    and PyTorch round so differently that boxes move by a tenth of a pixel.

    Example:
        >>> image = np.zeros((1080, 1920, 3), np.uint8)
        >>> ResizeToFit(scale=(1500, 900))(dict(img=image))['img_shape']
        (843, 1500)
        >>> ResizeToFit(scale=(1500, 900), rounding='nearest')(dict(img=image))['img_shape']
        (844, 1500)

    Args:
        scale: What the longer and the shorter side become at most; one of them is reached.
        rounding: Of the sides: ``'floor'`` (torchvision), ``'nearest'`` (halves up) or ``'even'``
            (halves to even).
        scale_dtype: ``'float32'``: the factor is computed in that, as torchvision 0.10 to 0.13 do,
            and the side that limits often misses its limit by one.
        backend: Whose bilinear interpolation: ``'torch'`` or ``'cv2'``.
        sample_by: ``'size'``: where pixels are sampled follows from the sizes before and after;
            ``'scale'``: from the factor, the same for both axes, as in py-faster-rcnn, which also
            asks of rounded sides whether they fit. Needs ``'cv2'``.
        normalize: Normalise before resizing, as the published programs do: ``mean`` and ``std`` of
            the image's channels, after a division by ``divisor`` (default 255), computed in
            ``dtype`` (default ``'float32'``). The data preprocessor has to leave pixels alone
            then. None: it normalises afterwards, which is the same but for the last digits.
        kwargs: See mmdet's ``Resize``.

    Raises:
        ValueError: There is no such rounding or backend.
    """

    def __init__(
        self,
        scale: tuple[int, int],
        rounding: str = 'floor',
        scale_dtype: str = 'float64',
        backend: str = 'torch',
        sample_by: str = 'size',
        normalize: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(scale, keep_ratio=True, backend=backend, **kwargs)
        if backend not in ('torch', 'cv2'):
            raise ValueError(f"ResizeToFit: backend={backend!r}; there are 'torch' and 'cv2'")
        if sample_by not in ('size', 'scale') or (sample_by, backend) == ('scale', 'torch'):
            raise ValueError(
                f'ResizeToFit: sample_by={sample_by!r} with backend={backend!r}; there is '
                "'size', and with 'cv2' 'scale'"
            )
        if rounding not in ROUNDINGS:
            raise ValueError(
                f'ResizeToFit: rounding={rounding!r}; there are {", ".join(ROUNDINGS)}'
            )
        self.rounding = rounding
        self.scale_dtype = scale_dtype
        self.sample_by = sample_by
        self.normalize = normalize and partial(_normalized, **normalize)

    def _resize_img(self, results: dict) -> None:
        image = results['img'] if self.normalize is None else self.normalize(results['img'])
        image = image.astype(np.float32)
        height, width = image.shape[:2]
        if self.sample_by == 'scale':
            scale = self._factor(height, width)
            image = cv2.resize(image, None, fx=scale, fy=scale)
            results['scale_factor'] = (scale, scale)
        else:
            size = self._size(height, width)
            image = cv2.resize(image, size) if self.backend == 'cv2' else _by_torch(image, size)
            results['scale_factor'] = (size[0] / width, size[1] / height)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['keep_ratio'] = True

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Width and height of the resized image."""
        # The product is in float64 whatever the factor is in.
        scale = self._factor(height, width)
        sides = (ROUNDINGS[self.rounding](side * scale) for side in (width, height))
        return tuple(max(int(side), 1) for side in sides)

    def _factor(self, height: int, width: int) -> float:
        number = np.dtype(self.scale_dtype).type
        most_long, most_short = sorted(self.scale, reverse=True)
        longer, shorter = number(max(height, width)), number(min(height, width))
        scale = number(most_short) / shorter
        reached = longer * scale
        if (round(reached) if self.sample_by == 'scale' else reached) > most_long:
            scale = number(most_long) / longer
        return float(scale)


def _normalized(
    image: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
    divisor: float = 255.0,
    dtype: str = 'float32',
) -> np.ndarray:
    number = np.dtype(dtype).type
    return (image.astype(number) / number(divisor) - np.array(mean, number)) / np.array(std, number)


def _by_torch(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (h, w, 3) float32 resized to ``size`` (width, height)."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = F.interpolate(planes, size[::-1], mode='bilinear', align_corners=False)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
