"""COCO's detection AP, beside the definition that person search uses."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from .annotations import SearchAnnotations
from .predictions import SearchPredictions, align_predictions

MAX_DETECTIONS = 100
"""Detections of an image that count, the ones with the highest scores; COCO's own number."""


def evaluate_coco(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> dict[str, float]:
    """Average precision of pedestrian detection as COCO defines it, by pycocotools.

    Interpolated at 101 recalls and not multiplied by recall. No score threshold applies: what the
    predictions leave out is missing here, too.

    Args:
        annotations: Ground truth; every annotated person counts, unlabelled ones included.
        predictions: Images in any order.

    Returns:
        ``coco_AP`` (mean over IoU thresholds 0.50 to 0.95), ``coco_AP50`` and ``coco_AP75``, each
        0..1; 0 on a test set without annotated people.
    """
    if not len(annotations.bboxes):
        return dict.fromkeys(('coco_AP', 'coco_AP50', 'coco_AP75'), 0.0)
    predictions = align_predictions(predictions, annotations)
    # imported here: it loads matplotlib, and few evaluations ask for it
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        names, ones = annotations.image_names, np.ones(len(annotations.bboxes), np.float32)
        truth.dataset = _dataset(names, annotations.box_splits, annotations.bboxes, ones)
        found.dataset = _dataset(
            names, predictions.image_splits, predictions.bboxes, predictions.scores
        )
        truth.createIndex()
        found.createIndex()
        evaluation = COCOeval(truth, found, 'bbox')
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ['all']
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval['precision'][..., 0, 0, 0].mean(1)  # by IoU, over recalls
    return {
        'coco_AP': float(precision.mean()),
        'coco_AP50': float(precision[0]),
        'coco_AP75': float(precision[5]),
    }


def _dataset(
    names: Sequence[str], splits: np.ndarray, bboxes: np.ndarray, scores: np.ndarray
) -> dict:
    """COCO's dictionaries for the boxes of all images.

    pycocotools lets the order of its input decide between equal scores and between equal overlaps,
    so everything is brought into one order: images by name, boxes by score and coordinates.
    """
    image_id = np.argsort(np.argsort(np.array(names))) + 1
    images = np.repeat(image_id, np.diff(splits))
    order = np.lexsort((*bboxes.T, -scores, images))
    bboxes = bboxes[order].astype(np.float64)
    xywh = np.concatenate([bboxes[:, :2], bboxes[:, 2:] - bboxes[:, :2]], 1)
    columns = (images[order], xywh, xywh[:, 2:].prod(1), scores[order])
    return dict(
        images=[dict(id=i) for i in range(1, len(names) + 1)],
        categories=[dict(id=1)],
        annotations=[
            dict(
                id=number,
                image_id=image,
                category_id=1,
                bbox=box,
                area=area,
                score=score,
                iscrowd=0,
            )
            for number, (image, box, area, score) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True), 1
            )
        ],
    )
