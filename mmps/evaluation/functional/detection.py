"""Detection AP and recall as person search reports them."""

from __future__ import annotations

import numpy as np

from .annotations import SearchAnnotations
from .average_precision import average_precision, entries_above
from .matching import match_mutually
from .predictions import SearchPredictions, align_predictions, keep_confident
from .ragged import splits_of


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
    recall reached at ``score_thr``.

    Args:
        annotations: Ground truth; every annotated person counts, unlabelled ones included.
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
    image = np.repeat(np.arange(annotations.num_images), np.diff(predictions.image_splits))
    if labelled_only:
        labelled = annotations.person_ids >= 0
        gt_image = np.repeat(np.arange(annotations.num_images), np.diff(gt_splits))[labelled]
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
