"""Augmentation of pixels alone; boxes and ids stay as they are."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmps.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blur the image, as a lens out of focus does.

    Args:
        max_sigma: Largest standard deviation of the kernel, in pixels; drawn from 0 up to it.
    """

    def __init__(self, max_sigma: float = 2.0) -> None:
        if not max_sigma > 0:
            raise ValueError(f'max_sigma: more than 0 expected, got {max_sigma}')
        self.max_sigma = max_sigma

    def transform(self, results: dict) -> dict:
        sigma = np.random.uniform(0, self.max_sigma)
        # Two sigma to each side hold 95 % of the weight; cv2's own choice costs twice the time.
        size = 2 * int(np.ceil(2 * sigma)) + 1
        results['img'] = cv2.GaussianBlur(results['img'], (size, size), sigma)
        return results


@TRANSFORMS.register_module()
class RandomGaussianNoise(BaseTransform):
    """Add independent Gaussian noise to each value, as a sensor in the dark does.

    Args:
        max_sigma: Largest standard deviation, in grey levels of 255; drawn from 0 up to it.
    """

    def __init__(self, max_sigma: float = 12.0) -> None:
        if not max_sigma > 0:
            raise ValueError(f'max_sigma: more than 0 expected, got {max_sigma}')
        self.max_sigma = max_sigma

    def transform(self, results: dict) -> dict:
        image = results['img']
        sigma = np.random.uniform(0, self.max_sigma)
        # cv2 draws several times faster; seeding it from numpy keeps a sample reproducible.
        cv2.setRNGSeed(np.random.randint(2**31))
        noise = np.empty(image.shape, np.int16 if image.dtype == np.uint8 else np.float32)
        cv2.randn(noise, (0, 0, 0), (sigma, sigma, sigma))
        results['img'] = cv2.add(image, noise, dtype=cv2.CV_8U if noise.dtype == np.int16 else -1)
        return results
