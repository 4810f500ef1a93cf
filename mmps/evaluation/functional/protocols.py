"""All results of a test set that one set of options asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, Literal, TypeVar, get_args

import numpy as np

from .annotations import SearchAnnotations, gather_slices
from .context_matching import ContextMatching
from .detection import evaluate_coco, evaluate_detection
from .galleries import Gallery, make_gallery
from .matching import IouRule, box_iou, check_iou_rule
from .open_set import OpenSetResult, search_open_set
from .predictions import (
    SearchPredictions,
    align_predictions,
    keep_confident,
    with_ground_truth_boxes,
)
from .search import Searches, SearchResult
from .tracklets import VideoFrames, rank_tracklets

DETECTION_IOU = 0.5
STRICT_IOU = 0.75
"""The paper's threshold for a right detection; every result is repeated at it."""

QuerySource = Literal['ground_truth', 'detection']
UndetectedQueries = Literal['zero', 'skip']
_Result = TypeVar('_Result', SearchResult, OpenSetResult)
Task = tuple[Gallery, dict[Any, IouRule]]
"""A gallery, and by name the IoU rules that judge its ranking."""


@dataclass(frozen=True)
class SearchProtocols:
    """What to measure. Calling it with a test set and predictions gives the numbers.

    The keys, fractions 0..1, are those of docs/evaluation.md. A query with nobody to find is left
    out. Where the means are over fewer queries than the test set has, ``search/queries`` with the
    same suffix is their number; where that is 0 there are no means.

    Example:
        >>> from mmps.testing.search import tiny_test_set
        >>> metrics = SearchProtocols(cross_camera=True)(*tiny_test_set())
        >>> [round(metrics[f'search/{key}'], 3) for key in ('mAP', 'mAP_cross_camera', 'top1')]
        [0.542, 0.5, 0.5]

    Attributes:
        score_thr: Detections with lower scores are dropped.
        iou_thr: What counts as the annotated person in the search: ``'adaptive'`` or a number. The
            detection keys always use 0.5.
        confidence_weighting: Multiply similarities by the detection's score.
        scene_weighting: Multiply similarities by the ``scene_factors`` of the predictions, where
            they have any.
        cross_camera: Also search only in cameras other than the query's.
        gallery_sizes: Explicit galleries to use, by size or name, the primary one first; ``'all'``
            searches every image but the query's own. Without effect on a test set that lists none,
            where that is what a query's gallery is.
        context_matching: Options of the matching by the people around the query, or None.
        camera_pairs: Also search each camera alone, and report it by the query's camera:
            ``search/mAP_c1_c2`` is over the queries of camera 1 that camera 2 shows elsewhere.
        query_source: Describe a query by the model's embedding of its annotated box, or by the
            detection that overlaps this box most. The ``_gt_boxes`` keys always use the former.
        undetected_queries: What becomes of a query that no detection overlaps, if detections
            describe the queries: AP 0 (``'zero'``), or left out of the means (``'skip'``).
        labelled_recall: Also report ``det/recall_labelled``, of people with an id. Their AP would
            count the detection of anybody else as wrong and is not reported.
        coco_ap: Also report ``det/coco_AP``, ``det/coco_AP50`` and ``det/coco_AP75``, COCO's
            definition of average precision, for which ``score_thr`` does not hold.
        tracklets: Also report ``search/mAP_tracklets`` and so on, and the same with
            ``_tracklets_cross_camera``: searches among people who are in view for a while, one
            entry for each; see :func:`.tracklets.rank_tracklets`. Options of
            :class:`.tracklets.VideoFrames`, ``{}`` for the names of PRW, or None.
        open_set: Also report ``search/DIR_fa1`` and ``search/DIR_fa10``, and the same with
            ``_cross_camera`` and ``_gt_boxes`` where those are reported: how many people are found
            if 1 or 10 % of the searches for people who are not there may find somebody.

    Raises:
        ValueError: An option out of range.
    """

    score_thr: float = 0.5
    iou_thr: IouRule = 'adaptive'
    confidence_weighting: bool = False
    scene_weighting: bool = True
    cross_camera: bool = False
    gallery_sizes: tuple[int | str, ...] = (100,)
    context_matching: ContextMatching | None = None
    camera_pairs: bool = False
    query_source: QuerySource = 'ground_truth'
    undetected_queries: UndetectedQueries = 'zero'
    labelled_recall: bool = False
    coco_ap: bool = False
    open_set: bool = False
    tracklets: VideoFrames | None = None

    def __post_init__(self) -> None:
        check_iou_rule(self.iou_thr)
        for name, values in (
            ('query_source', get_args(QuerySource)),
            ('undetected_queries', get_args(UndetectedQueries)),
        ):
            if getattr(self, name) not in values:
                raise ValueError(f'{name}: {getattr(self, name)!r} given; use one of {values}')
        sizes = tuple(self.gallery_sizes)
        if not sizes or len(set(sizes)) != len(sizes):
            raise ValueError(f'gallery_sizes: {sizes!r} given; name each size once')
        object.__setattr__(self, 'gallery_sizes', sizes)
        if isinstance(self.context_matching, dict):
            object.__setattr__(self, 'context_matching', ContextMatching(**self.context_matching))
        if isinstance(self.tracklets, dict):
            object.__setattr__(self, 'tracklets', VideoFrames(**self.tracklets))
        if not isinstance(self.tracklets, VideoFrames | None):
            raise ValueError(f'tracklets: {self.tracklets!r} given; use a dict of pattern and fps')
        if self.tracklets and self.context_matching:
            raise ValueError('tracklets: context_matching is of single images; use one of the two')
        if self.open_set and self.context_matching:
            raise ValueError(
                'open_set: thresholds are for similarities, which context_matching revises for '
                'each gallery; use one of the two'
            )

    def __call__(
        self, annotations: SearchAnnotations, predictions: SearchPredictions
    ) -> dict[str, float]:
        """Evaluate predictions, whose images may be in any order, and give the keys above."""
        predictions = align_predictions(predictions, annotations)
        return self.summarise(
            annotations,
            self.search(annotations, predictions),
            self.detect(annotations, predictions),
            self.search_open_set(annotations, predictions),
        )

    @staticmethod
    def summarise(
        annotations: SearchAnnotations,
        results: dict[str, SearchResult],
        detection: dict[str, float],
        open_set: dict[str, OpenSetResult],
    ) -> dict[str, float]:
        """The keys above from what the other methods give."""
        metrics = {}
        for suffix, result in results.items():
            metrics |= {f'search/{key}{suffix}': v for key, v in result.metrics().items()}
            queries = len(np.unique(result.queries))
            if queries < annotations.num_queries:
                metrics[f'search/queries{suffix}'] = float(queries)
        metrics |= {f'det/{key}': value for key, value in detection.items()}
        for suffix, result in open_set.items():
            metrics |= {f'search/{key}{suffix}': v for key, v in result.metrics().items()}
        return metrics

    def search(
        self, annotations: SearchAnnotations, predictions: SearchPredictions
    ) -> dict[str, SearchResult]:
        """How each search with somebody to find fared, by the suffix of the keys; see the class."""
        predictions = align_predictions(predictions, annotations)
        primary, *further = self.gallery_sizes
        galleries = self._galleries(annotations)
        tasks: list[Task] = [(one, {suffix: self.iou_thr}) for suffix, one in galleries.items()]
        tasks[0][1]['_iou75'] = STRICT_IOU
        for size in further if annotations.galleries else ():
            suffix = f'_G{size}' if isinstance(size, int) else f'_{size}'
            tasks.append((make_gallery(annotations, gallery_size=size), {suffix: self.iou_thr}))
        cameras = np.unique(annotations.cameras).tolist() if self.camera_pairs else []
        for camera in cameras:
            one = make_gallery(annotations, gallery_size=primary, camera=camera)
            tasks.append((one, {camera: self.iou_thr}))
        results = self._rank(annotations, predictions, tasks)
        by_camera = {camera: results.pop(camera) for camera in cameras}
        for suffix, one in galleries.items() if self.tracklets else ():
            searches = self._searches(annotations, predictions, [(one, [self.iou_thr])])
            found = rank_tracklets(searches, self.tracklets)
            results[f'_tracklets{suffix}'] = self._counted(found, searches)
        if predictions.gt_embeddings is not None:
            task = galleries[''], {'_gt_boxes': self.iou_thr}
            results |= self._rank(annotations, predictions, [task], exact=True)
        results = {suffix: result.answerable for suffix, result in results.items()}
        return results | _by_query_camera(annotations, by_camera)

    def search_open_set(
        self, annotations: SearchAnnotations, predictions: SearchPredictions
    ) -> dict[str, OpenSetResult]:
        """How searches fare whose person may be missing, by suffix; none if not asked for."""
        if not self.open_set:
            return {}
        predictions = align_predictions(predictions, annotations)
        asked = [(suffix, one, False) for suffix, one in self._galleries(annotations).items()]
        if predictions.gt_embeddings is not None:
            asked.append(('_gt_boxes', asked[0][1], True))
        results = {}
        for suffix, one, exact in asked:
            searches = self._searches(annotations, predictions, [(one, [self.iou_thr])], exact)
            results[suffix] = self._counted(search_open_set(searches), searches)
        return results

    def detect(
        self, annotations: SearchAnnotations, predictions: SearchPredictions
    ) -> dict[str, float]:
        """The detection keys, without ``det/``; see the class."""
        metrics = {}
        for suffix, iou_thr in (('', DETECTION_IOU), ('_iou75', STRICT_IOU)):
            options = dict(score_thr=self.score_thr, iou_thr=iou_thr)
            found = evaluate_detection(annotations, predictions, **options)
            if self.labelled_recall:
                labelled = evaluate_detection(
                    annotations, predictions, labelled_only=True, **options
                )
                found['recall_labelled'] = labelled['recall']
            metrics |= {f'{key}{suffix}': value for key, value in found.items()}
        return metrics | (evaluate_coco(annotations, predictions) if self.coco_ap else {})

    def _galleries(self, annotations: SearchAnnotations) -> dict[str, Gallery]:
        """The primary gallery, and that of other cameras if asked for, by suffix."""
        rules = {'': False, '_cross_camera': True} if self.cross_camera else {'': False}
        return {
            suffix: make_gallery(annotations, gallery_size=self.gallery_sizes[0], cross_camera=rule)
            for suffix, rule in rules.items()
        }

    def _rank(
        self,
        annotations: SearchAnnotations,
        aligned: SearchPredictions,
        tasks: list[Task],
        exact: bool = False,
    ) -> dict[Any, SearchResult]:
        """Results by what the tasks call them, all from one computation of the similarities."""
        galleries = [(gallery, list(rules.values())) for gallery, rules in tasks]
        searches = self._searches(annotations, aligned, galleries, exact)
        return {
            name: self._counted(result, searches)
            for (_, rules), judged in zip(tasks, searches.results(), strict=True)
            for name, result in zip(rules, judged, strict=True)
        }

    def _searches(
        self,
        annotations: SearchAnnotations,
        predictions: SearchPredictions,
        galleries: Sequence[tuple[Gallery, Sequence[IouRule]]],
        exact: bool = False,
    ) -> Searches:
        """Among what is detected or, ``exact``, the annotated boxes."""
        detected = None
        if not self.scene_weighting:
            predictions = replace(predictions, scene_factors=None)
        if exact:
            predictions = with_ground_truth_boxes(annotations, predictions)
        else:
            predictions = keep_confident(predictions, self.score_thr)
            if self.query_source == 'detection':
                predictions, detected = queries_from_detections(annotations, predictions)
        return Searches(
            annotations,
            predictions,
            galleries,
            confidence_weighting=self.confidence_weighting,
            context_matching=self.context_matching,
            searched=detected,
        )

    def _counted(self, result: _Result, searches: Searches) -> _Result:
        """The searches that count: not those of a query without a detection, if it is skipped."""
        if searches.searched is None or self.undetected_queries == 'zero':
            return result
        return result[searches.searched[result.queries]]


def queries_from_detections(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> tuple[SearchPredictions, np.ndarray]:
    """Describe each query by the detection that overlaps its box most, as AlignPS and PSTR do.

    Of detections with the same IoU the one with the highest score is taken. ``predictions`` are in
    the order of ``annotations``, and cut at the score threshold. Queries that nothing overlaps keep
    their embeddings; (Q,) bool tells which are overlapped.
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


def _by_query_camera(
    annotations: SearchAnnotations, results: dict[int, SearchResult]
) -> dict[str, SearchResult]:
    """Divide results by gallery camera: ``'_c1_c2'`` (query camera, gallery camera) to the searches
    of that pair that have somebody to find; pairs without any are missing.
    """
    pairs = {}
    for query_camera in np.unique(annotations.cameras[annotations.query_images]).tolist():
        for gallery_camera, result in results.items():
            here = annotations.cameras[annotations.query_images[result.queries]] == query_camera
            searches = result[here & (result.positives > 0)]
            if len(searches):
                pairs[f'_c{query_camera}_c{gallery_camera}'] = searches
    return pairs


@dataclass(frozen=True)
class SplitSummary:
    """What is reported of a protocol with several splits.

    Example:
        >>> summarise_splits({0: {'search/mAP': 0.5}, 1: {'search/mAP': 0.75}})
        SplitSummary(mean={'search/mAP': 0.625}, deviation={'search/mAP': 0.1767766952966369})

    Attributes:
        mean: By key, the mean over the splits.
        deviation: By key, the sample standard deviation over the splits (n - 1 in its
            denominator): how far a split lies from the mean, not how sure the mean is.
    """

    mean: dict[str, float]
    deviation: dict[str, float]


def summarise_splits(splits: Mapping[int, Mapping[str, float]]) -> SplitSummary:
    """Mean and deviation of every key that all splits have, in the order of the first.

    Raises:
        ValueError: Fewer than two splits.
    """
    if len(splits) < 2:
        raise ValueError(f'{len(splits)} split given; mean and deviation need two at least')
    first, *others = splits.values()
    common = [key for key in first if all(key in metrics for metrics in others)]
    values = {key: [metrics[key] for metrics in splits.values()] for key in common}
    return SplitSummary(
        mean={key: fmean(found) for key, found in values.items()},
        deviation={key: stdev(found) for key, found in values.items()},
    )
