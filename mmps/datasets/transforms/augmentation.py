"""Augmentation of scenes: of pixels alone, or by one map of the plane for pixels, boxes and ids."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import autocast_box_type

from mmps.registry import TRANSFORMS

IMAGENET_MEAN_BGR = (104, 116, 124)
"""Fill colour: it is zero, "nothing there", after the usual normalisation."""

_HALF_PIXEL = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


class _MovesBoxes(BaseTransform):
    """Moves people about, and drops those of whom too little is left inside the image."""

    def __init__(self, min_visible: float, pad_val: Sequence[float]) -> None:
        self.min_visible = min_visible
        self.pad_val = tuple(pad_val)


class _RandomWarp(_MovesBoxes):
    """Warps a scene by the matrix that a subclass draws; the image keeps its size."""

    def draw_matrix(self, width: int, height: int) -> np.ndarray:
        """(3, 3) random map in box coordinates."""
        raise NotImplementedError

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        warp_scene(results, self.draw_matrix(width, height), self.min_visible, self.pad_val)
        return results


@TRANSFORMS.register_module()
class RandomSceneAffine(_RandomWarp):
    """Rotate, scale, shear and shift about the middle of the image.

    mmdet's ``RandomAffine`` turns about the top left corner, as mosaics need it, which moves people
    out of a wide scene, and keeps any box of which a sliver is left.

    Example:
        >>> RandomSceneAffine(0, (2, 2), 0, 0).draw_matrix(width=80, height=60).tolist()
        [[2.0, 0.0, -40.0], [0.0, 2.0, -30.0], [0.0, 0.0, 1.0]]

    Args:
        max_rotate: Largest rotation to either side, in degrees.
        scale_range: Smallest and largest magnification.
        max_shear: Largest shear along x, in degrees.
        max_shift: Largest shift, as a fraction of width and height.
        min_visible: Boxes of which less is left inside the image are dropped.
        pad_val: BGR colour of what comes into view.
    """

    def __init__(
        self,
        max_rotate: float = 5.0,
        scale_range: tuple[float, float] = (0.8, 1.25),
        max_shear: float = 3.0,
        max_shift: float = 0.05,
        min_visible: float = 0.3,
        pad_val: Sequence[float] = IMAGENET_MEAN_BGR,
    ) -> None:
        super().__init__(min_visible, pad_val)
        if not 0 < scale_range[0] <= scale_range[1]:
            raise ValueError(f'scale_range: 0 < smallest <= largest expected, got {scale_range}')
        self.max_rotate = max_rotate
        self.scale_range = scale_range
        self.max_shear = max_shear
        self.max_shift = max_shift

    def draw_matrix(self, width: int, height: int) -> np.ndarray:
        """(3, 3) random map in box coordinates."""
        uniform = np.random.uniform
        angle = np.deg2rad(uniform(-self.max_rotate, self.max_rotate))
        shear = np.tan(np.deg2rad(uniform(-self.max_shear, self.max_shear)))
        # Even in the logarithm, so that magnifying and reducing are equally likely.
        scale = np.exp(uniform(*np.log(self.scale_range)))
        shift = uniform(-self.max_shift, self.max_shift, 2) * (width, height)
        centre = np.array([width, height]) / 2
        cos, sin = np.cos(angle), np.sin(angle)
        linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = centre + shift - linear @ centre
        return matrix


@TRANSFORMS.register_module()
class RandomPerspective(_RandomWarp):
    """Look at the scene from a slightly different place: each corner of the image moves by itself.

    Example:
        >>> RandomPerspective(max_shift=0).draw_matrix(width=80, height=60).round(9).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    Args:
        max_shift: Largest move of a corner, as a fraction of width and height; below 0.25, so that
            the image cannot fold.
        min_visible: Boxes of which less is left inside the image are dropped.
        pad_val: BGR colour of what comes into view.
    """

    def __init__(
        self,
        max_shift: float = 0.05,
        min_visible: float = 0.3,
        pad_val: Sequence[float] = IMAGENET_MEAN_BGR,
    ) -> None:
        super().__init__(min_visible, pad_val)
        if not 0 <= max_shift < 0.25:
            raise ValueError(f'max_shift: a fraction from 0 up to 0.25 expected, got {max_shift}')
        self.max_shift = max_shift

    def draw_matrix(self, width: int, height: int) -> np.ndarray:
        """(3, 3) random map in box coordinates."""
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        shifts = np.random.uniform(-self.max_shift, self.max_shift, (4, 2)) * (width, height)
        return cv2.getPerspectiveTransform(corners, (corners + shifts).astype(np.float32))


@TRANSFORMS.register_module()
class RandomCropPad(_MovesBoxes):
    """Move each border of the image in (crop) or out (pad) by itself. The image's size changes.

    Example:
        >>> scene = RandomCropPad(max_ratio=0.1)(dict(img=np.zeros((60, 80, 3), np.uint8)))
        >>> 48 <= scene['img_shape'][0] <= 72
        True

    Args:
        max_ratio: Largest move of a border, as a fraction of width and height, below 0.5.
        min_visible: Boxes of which less is left inside the image are dropped.
        pad_val: BGR colour of the padding.
    """

    def __init__(
        self,
        max_ratio: float = 0.1,
        min_visible: float = 0.3,
        pad_val: Sequence[float] = IMAGENET_MEAN_BGR,
    ) -> None:
        super().__init__(min_visible, pad_val)
        if not 0 <= max_ratio < 0.5:
            raise ValueError(f'max_ratio: a fraction from 0 up to 0.5 expected, got {max_ratio}')
        self.max_ratio = max_ratio

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        image = results['img']
        height, width = image.shape[:2]
        moves = np.random.uniform(-self.max_ratio, self.max_ratio, 4)
        left, top, right, bottom = np.rint(moves * (width, height, width, height)).astype(int)
        rows = slice(max(-top, 0), height - max(-bottom, 0))
        columns = slice(max(-left, 0), width - max(-right, 0))
        pads = (max(int(side), 0) for side in (top, bottom, left, right))
        image = cv2.copyMakeBorder(
            image[rows, columns], *pads, cv2.BORDER_CONSTANT, value=self.pad_val
        )
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        matrix = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        move_boxes(results, matrix, image.shape[1::-1], self.min_visible)
        return results


class _RandomSigma(BaseTransform):
    """Does something as strongly as a standard deviation drawn from 0 up to ``max_sigma``."""

    def __init__(self, max_sigma: float) -> None:
        if not max_sigma > 0:
            raise ValueError(f'max_sigma: more than 0 expected, got {max_sigma}')
        self.max_sigma = max_sigma


@TRANSFORMS.register_module()
class RandomGaussianBlur(_RandomSigma):
    """Blur the image, as a lens out of focus does.

    Example:
        >>> blurred = RandomGaussianBlur()(dict(img=np.eye(8, dtype=np.float32)))['img']
        >>> bool(blurred.max() <= 1)
        True

    Args:
        max_sigma: Largest standard deviation of the kernel, in pixels; drawn from 0 up to it.
    """

    def __init__(self, max_sigma: float = 2.0) -> None:
        super().__init__(max_sigma)

    def transform(self, results: dict) -> dict:
        sigma = np.random.uniform(0, self.max_sigma)
        # Two sigma to each side hold 95 % of the weight; cv2's own choice costs twice the time.
        size = 2 * int(np.ceil(2 * sigma)) + 1
        results['img'] = cv2.GaussianBlur(results['img'], (size, size), sigma)
        return results


@TRANSFORMS.register_module()
class RandomGaussianNoise(_RandomSigma):
    """Add independent Gaussian noise to each value, as a sensor in the dark does.

    Example:
        >>> grey = np.full((8, 8, 3), 100, np.uint8)
        >>> RandomGaussianNoise(max_sigma=1e-9)(dict(img=grey))['img'].mean() == 100
        np.True_

    Args:
        max_sigma: Largest standard deviation, in grey levels of 255; drawn from 0 up to it.
    """

    def __init__(self, max_sigma: float = 12.0) -> None:
        super().__init__(max_sigma)

    def transform(self, results: dict) -> dict:
        image = results['img']
        sigma = np.random.uniform(0, self.max_sigma)
        # cv2 draws several times faster; seeding it from numpy keeps a sample reproducible.
        cv2.setRNGSeed(np.random.randint(2**31))
        noise = np.empty(image.shape, np.int16 if image.dtype == np.uint8 else np.float32)
        cv2.randn(noise, (0, 0, 0), (sigma, sigma, sigma))
        results['img'] = cv2.add(image, noise, dtype=cv2.CV_8U if noise.dtype == np.int16 else -1)
        return results


def project_boxes(bboxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Smallest upright boxes around projected boxes.

    Args:
        bboxes: (n, 4) xyxy.
        matrix: (3, 3) homography in the same coordinates.

    Returns:
        (n, 4) xyxy, not clipped.
    """
    corners = bboxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    points = np.concatenate([corners, np.ones_like(corners[..., :1])], -1) @ matrix.T
    points = points[..., :2] / points[..., 2:]
    return np.concatenate([points.min(1), points.max(1)], 1).reshape(-1, 4)


def clip_boxes(bboxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut (n, 4) xyxy boxes at the border of an image of ``size`` (width, height)."""
    return bboxes.clip(0, [*size, *size])


def move_boxes(
    results: dict, matrix: np.ndarray, size: tuple[int, int], min_visible: float
) -> None:
    """Move the annotated boxes and drop, with their ids, those that leave the image.

    Args:
        results: Pipeline results, of which ``gt_bboxes``, ``gt_bboxes_labels`` and
            ``gt_ignore_flags`` change together. Nothing happens where no annotation is loaded.
        matrix: (3, 3) homography in box coordinates, in which a pixel covers ``[i, i + 1]``.
        size: (width, height) of the new image.
        min_visible: A box stays if at least this fraction of its area is inside.
    """
    if 'gt_bboxes' not in results:
        return
    moved = project_boxes(results['gt_bboxes'].numpy().astype(np.float64), matrix)
    inside = clip_boxes(moved, size)
    areas = np.stack([(b[:, 2:] - b[:, :2]).prod(1) for b in (moved, inside)])
    # At least a pixel must be left, or min_visible=0 would keep boxes that are wholly outside.
    keep = (areas[1] >= min_visible * areas[0]) & (inside[:, 2:] - inside[:, :2] >= 1).all(1)
    results['gt_bboxes'] = type(results['gt_bboxes'])(inside[keep].astype(np.float32))
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        if key in results:
            results[key] = results[key][keep]


def warp_scene(
    results: dict, matrix: np.ndarray, min_visible: float, pad_val: Sequence[float]
) -> None:
    """Warp image and boxes of ``results`` by a homography, keeping the image's size."""
    height, width = results['img'].shape[:2]
    # cv2 puts the origin in the middle of the first pixel, boxes put it at that pixel's corner.
    pixel_matrix = np.linalg.inv(_HALF_PIXEL) @ matrix @ _HALF_PIXEL
    options = dict(dsize=(width, height), flags=cv2.INTER_LINEAR, borderValue=tuple(pad_val))
    if np.allclose(matrix[2], (0, 0, 1)):
        results['img'] = cv2.warpAffine(results['img'], pixel_matrix[:2], **options)
    else:
        results['img'] = cv2.warpPerspective(results['img'], pixel_matrix, **options)
    move_boxes(results, matrix, (width, height), min_visible)
