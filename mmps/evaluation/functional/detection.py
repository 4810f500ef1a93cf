"""Detection AP and recall as person search reports them, and COCO's AP beside them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from .annotations import SearchAnnotations, owners_of, splits_of
from .matching import average_precision, entries_above, match_mutually
from .predictions import SearchPredictions, align_predictions, keep_confident


def evaluate_detection(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: float = 0.5,
    labelled_only: bool = False,
) -> dict[str, float]:
    """Average precision and recall of pedestrian detection.

    The field's definition (SeqNet's evaluation), not COCO's: a detection is right where it and an
    annotated box are each other's best overlap, AP is not interpolated, and it is multiplied by the
    recall reached at ``score_thr``. Every annotated person counts, unlabelled ones included.

    Args:
        annotations: Ground truth.
        predictions: Images in any order.
        score_thr: Detections with lower scores are dropped.
        iou_thr: Least IoU of a right detection.
        labelled_only: Count only people with an id, in the images that hold one. Detections of
            unlabelled people are then wrong, so that only the recall means something.

    Returns:
        ``AP`` and ``recall``, each 0..1; 0 on a test set without annotated people.

    Raises:
        ValueError: Predictions of another test set, or ``iou_thr`` out of range.
    """
    if not 0 < iou_thr <= 1:
        raise ValueError(f'iou_thr: {iou_thr!r} given; detection needs a number in (0, 1]')
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    gt_splits, gt_bboxes, scores = annotations.box_splits, annotations.bboxes, predictions.scores
    image = owners_of(predictions.image_splits)
    if labelled_only:
        labelled = annotations.person_ids >= 0
        gt_image = owners_of(gt_splits)[labelled]
        gt_splits, gt_bboxes = splits_of(gt_image, annotations.num_images), gt_bboxes[labelled]
        judged = np.isin(image, gt_image)
    else:
        judged = np.ones(len(image), bool)
    found = match_mutually(
        gt_splits, gt_bboxes, predictions.image_splits, predictions.bboxes, scores, iou_thr
    )
    positives, hits = len(gt_bboxes), scores[found]
    entries = entries_above(hits, np.sort(scores[judged]))
    return {
        'AP': average_precision(hits, entries, positives),
        'recall': float(found.sum() / positives) if positives else 0.0,
    }


MAX_DETECTIONS = 100
"""Detections of an image that count, the ones with the highest scores; COCO's own number."""


def evaluate_coco(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> dict[str, float]:
    """Average precision of pedestrian detection as COCO defines it, by pycocotools.

    Interpolated at 101 recalls and not multiplied by recall. Every annotated person counts. No
    score threshold applies: what the predictions leave out is missing here, too.

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
