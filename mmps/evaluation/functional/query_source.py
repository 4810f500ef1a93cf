"""Query embeddings taken from detections instead of the annotated boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .annotations import SearchAnnotations
from .matching import box_iou
from .predictions import SearchPredictions
from .ragged import gather_slices


def queries_from_detections(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> tuple[SearchPredictions, np.ndarray]:
    """Describe each query by the detection that overlaps its box most, as AlignPS and PSTR do.

    Of detections with the same IoU the one with the highest score is taken.

    Args:
        annotations: Ground truth.
        predictions: In the order of ``annotations``, cut at the score threshold.

    Returns:
        Predictions with the new query embeddings, and (Q,) bool: whether any detection overlaps the
        query. One that nothing overlaps keeps its embedding.
    """
    owners, rows = gather_slices(predictions.image_splits, annotations.query_images)
    bboxes = predictions.bboxes[rows]
    iou = box_iou(annotations.query_bboxes[owners], bboxes)
    # the box itself as the last key, so that the order of the detections never matters
    order = np.lexsort((*bboxes.T, -predictions.scores[rows], -iou, owners))
    order = order[iou[order] > 0]
    queries, first = np.unique(owners[order], return_index=True)
    embeddings = predictions.query_embeddings.copy()
    embeddings[queries] = predictions.embeddings[rows[order[first]]]
    detected = np.zeros(len(embeddings), bool)
    detected[queries] = True
    context = predictions.query_context_embeddings
    if context is not None and predictions.query_context_splits is not None:
        context = context.copy()
        context[predictions.query_context_splits[:-1]] = embeddings
    return replace(
        predictions, query_embeddings=embeddings, query_context_embeddings=context
    ), detected
