"""Transforms of pipelines: loading, resizing, augmentation and packing of scenes.

Augmentation is of pixels alone, or by one map of the plane for pixels, boxes and ids.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial

import cv2
import mmcv
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmdet.datasets.transforms import PackDetInputs, Resize
from mmdet.structures.bbox import autocast_box_type
from mmengine import fileio
from mmengine.logging import print_log
from mmengine.structures import InstanceData

from mmps.registry import TRANSFORMS
from mmps.utils.image_files import decode_upright


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
    turned, and damage is noticed; see :func:`~mmps.utils.image_files.decode_upright`. Another
    ``color_type`` or ``imdecode_backend`` goes the way of mmcv's. Adds ``img`` (H, W, 3) BGR uint8,
    ``img_shape`` and ``ori_shape``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f'{folder}/scene.png', np.zeros((60, 80, 3), np.uint8))
        ...     LoadSceneImage()(dict(img_path=f'{folder}/scene.png'))['img_shape']
        (60, 80)

    Raises:
        BrokenImageError: The file cannot be read, is truncated, damaged or not an image.
    """

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            image = self._decode(fileio.get(path, backend_args=self.backend_args))
        except (cv2.error, OSError, ValueError) as error:
            if self.ignore_empty:
                return None
            message = f'{path}: {error}; fetch or unpack the file again'
            raise BrokenImageError(message, path) from error
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _decode(self, content: bytes) -> np.ndarray:
        if self.color_type == 'color' and self.imdecode_backend in (None, 'cv2'):
            return decode_upright(content)
        image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
        if image is None:
            raise ValueError('not an image that OpenCV can decode')
        return image


META_KEYS = (
    'img_id',
    'img_path',
    'img_name',
    'cam_id',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)


@TRANSFORMS.register_module()
class PackPersonSearchInputs(PackDetInputs):
    """Pack image and annotations, turning the labels that carried person ids into ``person_ids``.

    Gives ``inputs`` (3, H, W) and ``data_samples``, whose ``gt_instances`` has ``bboxes`` (n, 4)
    float32 xyxy, ``labels`` (n,) zeros (the class is "person") and ``person_ids`` (n,) int64, -1
    for an unlabelled person. Where the data set gives queries, ``query_instances`` has
    ``query_ids`` (q,) int64 and ``bboxes`` (q, 4) float32, in original pixels.

    Boxes that the transforms before have left no area of are dropped from a training image, with
    one warning.

    Example:
        >>> packed = PackPersonSearchInputs()(
        ...     dict(
        ...         img=np.zeros((60, 80, 3), np.uint8),
        ...         img_shape=(60, 80),
        ...         gt_bboxes=np.array([[20, 10, 40, 50]], np.float32),
        ...         gt_bboxes_labels=np.array([7]),
        ...     )
        ... )
        >>> packed['data_samples'].gt_instances.person_ids
        tensor([7])

    Args:
        meta_keys: Keys of the results to keep as meta information where present.

    Raises:
        ValueError: An earlier transform lost the alignment of ids and boxes.
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=tuple(meta_keys))
        self._told: set[str] = set()

    def transform(self, results: dict) -> dict:
        if 'gt_bboxes' in results:
            boxes, ids = results['gt_bboxes'], results['gt_bboxes_labels']
            if len(boxes) != len(ids) or ids.dtype != np.int64:
                raise ValueError(
                    f'{results.get("img_path")}: {len(boxes)} boxes, but {len(ids)} person ids of '
                    f'{ids.dtype}; a transform of the pipeline drops boxes without filtering '
                    'gt_bboxes_labels'
                )
            # All of what a test image shows has to be found.
            if 'query_ids' not in results:
                self._drop_boxes_without_area(results)
        packed = super().transform(results)
        sample = packed['data_samples']
        for instances in (sample.gt_instances, sample.ignored_instances):
            if 'labels' in instances:
                instances.person_ids = instances.labels
                instances.labels = torch.zeros_like(instances.person_ids)
                instances.bboxes = torch.as_tensor(
                    getattr(instances.bboxes, 'tensor', instances.bboxes)
                )
        if 'query_ids' in results:
            bboxes = np.array(results['query_bboxes'], np.float32).reshape(-1, 4)
            sample.query_instances = InstanceData(
                query_ids=torch.tensor(results['query_ids'], dtype=torch.int64),
                bboxes=torch.from_numpy(bboxes),
            )
        return packed

    def _drop_boxes_without_area(self, results: dict) -> None:
        """Drop what resizing has left nothing of; its logarithm would make the losses infinite."""
        boxes = results['gt_bboxes']
        corners = np.asarray(getattr(boxes, 'tensor', boxes)).reshape(-1, 4)
        keep = (corners[:, 2:] > corners[:, :2]).all(1)
        if keep.all():
            return
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            if key in results:
                results[key] = results[key][keep]
        path = str(results.get('img_path'))
        if path not in self._told:
            self._told.add(path)
            height, width = results['img_shape'][:2]
            print_log(
                f'{path}: left out {(~keep).sum()} boxes that have no area in the {width} x '
                f'{height} pixels to train on, the first {corners[~keep][0].tolist()} (x1, y1, x2, '
                'y2)',
                logger='current',
                level=logging.WARNING,
            )


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
        sampled = ('size', 'scale') if backend == 'cv2' else ('size',)
        for name, given, known in (
            ('backend', backend, ('torch', 'cv2')),
            ('sample_by', sample_by, sampled),
            ('rounding', rounding, ROUNDINGS),
        ):
            if given not in known:
                raise ValueError(
                    f'ResizeToFit: {name}={given!r} with backend={backend!r}; there are '
                    f'{", ".join(known)}'
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
        matrix = self.draw_matrix(width, height)
        # cv2 puts the origin in the middle of the first pixel, boxes put it at that pixel's corner.
        pixel_matrix = np.linalg.inv(_HALF_PIXEL) @ matrix @ _HALF_PIXEL
        options = dict(dsize=(width, height), flags=cv2.INTER_LINEAR, borderValue=self.pad_val)
        if np.allclose(matrix[2], (0, 0, 1)):
            results['img'] = cv2.warpAffine(results['img'], pixel_matrix[:2], **options)
        else:
            results['img'] = cv2.warpPerspective(results['img'], pixel_matrix, **options)
        move_boxes(results, matrix, (width, height), self.min_visible)
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
        return np.vstack([np.column_stack([linear, centre + shift - linear @ centre]), (0, 0, 1)])


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
    """Smallest upright boxes around (n, 4) xyxy boxes projected by a (3, 3) homography in their
    coordinates; not clipped.
    """
    corners = bboxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    points = np.concatenate([corners, np.ones_like(corners[..., :1])], -1) @ matrix.T
    points = points[..., :2] / points[..., 2:]
    return np.concatenate([points.min(1), points.max(1)], 1).reshape(-1, 4)


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
    inside = moved.clip(0, [*size, *size])
    areas = np.stack([(b[:, 2:] - b[:, :2]).prod(1) for b in (moved, inside)])
    # At least a pixel must be left, or min_visible=0 would keep boxes that are wholly outside.
    keep = (areas[1] >= min_visible * areas[0]) & (inside[:, 2:] - inside[:, :2] >= 1).all(1)
    results['gt_bboxes'] = type(results['gt_bboxes'])(inside[keep].astype(np.float32))
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        if key in results:
            results[key] = results[key][keep]
