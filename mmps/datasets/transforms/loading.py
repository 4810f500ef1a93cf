"""Loading scene images, without taking half an image for a whole one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import PackDetInputs
from mmengine import fileio
from mmengine.logging import print_log
from mmengine.structures import InstanceData

from mmps.registry import TRANSFORMS
from mmps.utils.image_decoding import decode_upright


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
        try:
            return self._decode(content)
        except (cv2.error, OSError, ValueError) as error:
            message = f'{path}: {error}; fetch or unpack the file again'
            raise BrokenImageError(message, path) from error

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
            self._check_alignment(results)
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

    @staticmethod
    def _check_alignment(results: dict) -> None:
        boxes, ids = results['gt_bboxes'], results['gt_bboxes_labels']
        if len(boxes) != len(ids) or ids.dtype != np.int64:
            raise ValueError(
                f'{results.get("img_path")}: {len(boxes)} boxes, but {len(ids)} person ids of '
                f'{ids.dtype}; a transform of the pipeline drops boxes without filtering '
                'gt_bboxes_labels'
            )
