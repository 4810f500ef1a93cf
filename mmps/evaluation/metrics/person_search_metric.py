"""The metric that mmengine runs after validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchPredictions,
    align_predictions,
    evaluate_detection,
    rank_queries,
    save_predictions,
    with_ground_truth_boxes,
)
from mmps.evaluation.functional.matching import IouRule, check_iou_rule
from mmps.evaluation.metrics.collection import ImageResult, assemble_predictions, collect_image
from mmps.registry import METRICS

DETECTION_IOU = 0.5
STRICT_IOU = 0.75
"""The paper's threshold for a right detection; every result is repeated at it."""


@METRICS.register_module()
class PersonSearchMetric(BaseMetric):
    """Search mAP, top-k, detection AP and recall.

    Keys (fractions 0..1): ``search/mAP``, ``search/top1``, ``search/top5``, ``search/top10``,
    ``det/AP``, ``det/recall``, all of them again with the suffix ``_iou75`` at a fixed IoU of 0.75,
    and the search keys with ``_cross_camera`` (if asked for), ``_gt_boxes`` (if the model embeds
    the annotated boxes) and ``_G500`` (for a further gallery size 500).

    Args:
        score_thr: Detections with lower scores are dropped.
        iou_thr: What counts as the annotated person in the search: ``'adaptive'`` or a number. The
            detection keys always use 0.5.
        confidence_weighting: Multiply similarities by the detection's score.
        cross_camera: Also search only in cameras other than the query's.
        gallery_sizes: Explicit galleries to use, the primary one first. Without effect on a test
            set that has none, where a query's gallery is every other image.
        context_matching: Options of :class:`~mmps.evaluation.functional.ContextMatching`, e.g.
            ``dict(k1=30, k2=4)``; None switches it off.
        out: Also write the predictions to this ``.npz`` file.
        **kwargs: As for ``BaseMetric``.

    Raises:
        ValueError: An option out of range.
    """

    # the keys bring their own prefixes, and without a default mmengine warns about a missing one
    default_prefix = ''

    def __init__(
        self,
        score_thr: float = 0.5,
        iou_thr: IouRule = 'adaptive',
        confidence_weighting: bool = False,
        cross_camera: bool = False,
        gallery_sizes: Sequence[int] = (100,),
        context_matching: dict | None = None,
        out: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_iou_rule(iou_thr)
        if not gallery_sizes or len(set(gallery_sizes)) != len(gallery_sizes):
            raise ValueError(f'gallery_sizes: {gallery_sizes!r} given; name each size once')
        if out is not None and not str(out).endswith('.npz'):
            raise ValueError(f'out: {out!r} given; the predictions file must end in .npz')
        self.score_thr = score_thr
        self.iou_thr = iou_thr
        self.confidence_weighting = confidence_weighting
        self.cross_camera = cross_camera
        self.gallery_sizes = tuple(gallery_sizes)
        self.context_matching = ContextMatching(**context_matching) if context_matching else None
        self.out = out

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, one result per image."""
        self.results.extend(collect_image(sample) for sample in data_samples)

    def compute_metrics(self, results: list[ImageResult]) -> dict[str, float]:
        """Evaluate the results of all images; mmengine calls it on rank 0."""
        annotations = (self.dataset_meta or {}).get('search_annotations')
        if annotations is None:
            raise ValueError(
                "the data set's metainfo has no search_annotations; evaluate on a person-search "
                'data set with test_mode=True'
            )
        predictions = assemble_predictions(annotations, results)
        if self.out:
            save_predictions(self.out, predictions)
            print_log(f'predictions written to {self.out}', logger='current')
        return self.evaluate_predictions(annotations, predictions)

    def evaluate_predictions(
        self, annotations: SearchAnnotations, predictions: SearchPredictions
    ) -> dict[str, float]:
        """Evaluate predictions that need no model, e.g. those of a file.

        Args:
            annotations: Ground truth and protocol.
            predictions: Images in any order.

        Returns:
            The keys above.
        """
        predictions = align_predictions(predictions, annotations)
        primary = self.gallery_sizes[0]
        iou = self.iou_thr
        metrics = self._search(annotations, predictions, {'': iou, '_iou75': STRICT_IOU}, primary)
        for suffix, iou_thr in (('', DETECTION_IOU), ('_iou75', STRICT_IOU)):
            found = evaluate_detection(
                annotations, predictions, score_thr=self.score_thr, iou_thr=iou_thr
            )
            metrics |= {f'det/{key}{suffix}': value for key, value in found.items()}
        if self.cross_camera:
            rules = {'_cross_camera': iou}
            metrics |= self._search(annotations, predictions, rules, primary, cross_camera=True)
        if predictions.gt_embeddings is not None:
            exact = with_ground_truth_boxes(annotations, predictions)
            metrics |= self._search(annotations, exact, {'_gt_boxes': iou}, primary)
        if annotations.galleries:
            for size in self.gallery_sizes[1:]:
                metrics |= self._search(annotations, predictions, {f'_G{size}': iou}, size)
        return metrics

    def _search(
        self,
        annotations: SearchAnnotations,
        predictions: SearchPredictions,
        rules: dict[str, IouRule],
        gallery_size: int,
        cross_camera: bool = False,
    ) -> dict[str, float]:
        """Search keys with the suffixes that ``rules`` maps to IoU rules."""
        results = rank_queries(
            annotations,
            predictions,
            list(rules.values()),
            score_thr=self.score_thr,
            confidence_weighting=self.confidence_weighting,
            cross_camera=cross_camera,
            gallery_size=gallery_size,
            context_matching=self.context_matching,
        )
        return {
            f'search/{key}{suffix}': value
            for suffix, result in zip(rules, results, strict=True)
            for key, value in result.metrics().items()
        }
