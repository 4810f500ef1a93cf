"""Search mAP and top-k: is the query's person at the top of the ranking?"""

from __future__ import annotations

from collections.abc import Sequence

from .annotations import SearchAnnotations
from .context_matching import ContextMatching
from .galleries import make_gallery
from .matching import IouRule
from .predictions import SearchPredictions, align_predictions, keep_confident
from .ranking import rank_galleries
from .search_result import SearchResult


def evaluate_search(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: IouRule = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int | str = 100,
    context_matching: ContextMatching | None = None,
) -> dict[str, float]:
    """Mean average precision and top-k accuracy of person search.

    The defaults are the definition the field reports on PRW and CUHK-SYSU (SeqNet's evaluation).
    Per query, all gallery detections are ranked by similarity. In each image that holds the person,
    the most similar detection with enough overlap is right; every other detection is wrong. AP is
    the average precision times the share of images in which the person was found.

    Equal similarities share one threshold in AP, and for top-k wrong detections stand before right
    ones, so no result depends on the order of images, detections or queries, and an embedding that
    maps everybody to one point cannot score by luck. A query whose person is in no gallery image
    is left out of the means.

    Args:
        annotations: Ground truth and protocol.
        predictions: Images in any order.
        score_thr: Detections with lower scores are dropped.
        iou_thr: ``'adaptive'`` or a number; see
            :func:`~mmps.evaluation.functional.matching.iou_thresholds`.
        confidence_weighting: Multiply similarities by the detection's score.
        cross_camera: Search only images of cameras other than the query's.
        gallery_size: Which explicit protocol, by size or name, or ``'all'`` images; without effect
            on a test set that has none.
        context_matching: Revise the similarities by the people around the query.

    Returns:
        ``mAP``, ``top1``, ``top5``, ``top10``, each 0..1; empty if no query has anybody to find.

    Raises:
        ValueError: Predictions of another test set, an option out of range, or no query.
    """
    (result,) = rank_queries(
        annotations,
        predictions,
        [iou_thr],
        score_thr=score_thr,
        confidence_weighting=confidence_weighting,
        cross_camera=cross_camera,
        gallery_size=gallery_size,
        context_matching=context_matching,
    )
    return result.metrics()


def rank_queries(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    iou_thrs: Sequence[IouRule] = ('adaptive',),
    *,
    score_thr: float = 0.5,
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int | str = 100,
    context_matching: ContextMatching | None = None,
) -> list[SearchResult]:
    """Rank every query once and judge the ranking by each IoU rule.

    Takes the arguments of :func:`evaluate_search`; gives one :class:`SearchResult` per rule, for
    whoever wants more than means. Searches with nobody to find are among them.
    """
    gallery = make_gallery(annotations, gallery_size=gallery_size, cross_camera=cross_camera)
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    (results,) = rank_galleries(
        annotations,
        predictions,
        [(gallery, iou_thrs)],
        confidence_weighting=confidence_weighting,
        context_matching=context_matching,
    )
    return results
