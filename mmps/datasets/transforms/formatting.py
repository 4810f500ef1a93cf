"""The last step of every pipeline: a data sample that knows whose box is whose."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmengine.logging import print_log
from mmengine.structures import InstanceData

from mmps.registry import TRANSFORMS

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
