"""Search mAP and top-k: is the query's person at the top of the ranking?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .annotations import SearchAnnotations
from .average_precision import average_precision, best_rank
from .context_matching import ContextMatching, match_context, query_contexts
from .galleries import make_gallery
from .matching import IouRule, match_people
from .predictions import SearchPredictions, align_predictions, keep_confident
from .ragged import splits_of

TOP_K = (1, 5, 10)
CHUNK_VALUES = 2**23
"""Similarities held at a time: 32 MiB of float32."""


@dataclass(frozen=True)
class SearchResult:
    """How each query fared.

    Attributes:
        average_precision: (Q,) float64, average precision times recall.
        first_rank: (Q,) int64 rank of the best right detection, from 1; 0 if none was found. Wrong
            detections that are exactly as similar stand before it.
        found: (Q,) int64 images in which the person was found, whatever the rank.
        positives: (Q,) int64 images in which the person should have been found.
    """

    average_precision: np.ndarray
    first_rank: np.ndarray
    found: np.ndarray
    positives: np.ndarray

    def top(self, k: int) -> float:
        """Share of queries with a right detection among the first ``k``."""
        return float(((self.first_rank > 0) & (self.first_rank <= k)).mean())

    def metrics(self) -> dict[str, float]:
        """``mAP``, ``top1``, ``top5`` and ``top10``, plain means over the queries."""
        tops = {f'top{k}': self.top(k) for k in TOP_K}
        return {'mAP': float(self.average_precision.mean()), **tops}


def evaluate_search(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: IouRule = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int = 100,
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
    has AP 0.

    Args:
        annotations: Ground truth and protocol.
        predictions: Images in any order.
        score_thr: Detections with lower scores are dropped.
        iou_thr: ``'adaptive'`` or a number; see
            :func:`~mmps.evaluation.functional.matching.iou_thresholds`.
        confidence_weighting: Multiply similarities by the detection's score.
        cross_camera: Search only images of cameras other than the query's.
        gallery_size: Which explicit gallery; without effect on a test set that has none.
        context_matching: Revise the similarities by the people around the query.

    Returns:
        ``mAP``, ``top1``, ``top5``, ``top10``, each 0..1.

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
    gallery_size: int = 100,
    context_matching: ContextMatching | None = None,
) -> list[SearchResult]:
    """Rank every query once and judge the ranking by each IoU rule.

    Takes the arguments of :func:`evaluate_search`; gives one :class:`SearchResult` per rule, for
    whoever wants more than means.
    """
    if not annotations.num_queries:
        raise ValueError('query_images: this test set has no query, so there is nothing to search')
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    splits = predictions.image_splits
    gallery = make_gallery(
        annotations, splits, gallery_size=gallery_size, cross_camera=cross_camera
    )
    embeddings = predictions.embeddings
    if confidence_weighting:
        embeddings = embeddings * predictions.scores[:, None]
    positives = gallery.positives
    owner = np.repeat(np.arange(annotations.num_queries), np.diff(positives.splits))
    matches = [
        _Candidates(owner, annotations.num_queries, people, rows)
        for people, rows in match_people(
            positives.images, positives.bboxes, splits, predictions.bboxes, list(iou_thrs)
        )
    ]
    contexts = None
    if context_matching:
        contexts = query_contexts(annotations, predictions, context_matching.k2)
    judges = [_Judge(positives.counts) for _ in matches]
    for query, row in _similarities(predictions.query_embeddings, embeddings):
        columns = gallery.columns(query)
        if context_matching and contexts:
            match_context(row, columns, contexts[query], splits, embeddings, context_matching)
        hits = [match.best(query, row) for match in matches]
        # what is less similar than every hit takes part in no count: leaving it out halves the sort
        gallery_row = row[columns]
        ranked = np.sort(gallery_row[gallery_row >= np.concatenate(hits).min(initial=np.inf)])
        for judge, best in zip(judges, hits, strict=True):
            judge.add(query, best, ranked)
    return [judge.result for judge in judges]


def _similarities(queries: np.ndarray, embeddings: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each query with its (N,) similarities, computed for many queries at a time."""
    rows = max(1, CHUNK_VALUES // max(1, len(embeddings)))
    if not len(embeddings):
        embeddings = embeddings.reshape(0, queries.shape[1])
    for start in range(0, len(queries), rows):
        yield from enumerate(queries[start : start + rows] @ embeddings.T, start)


class _Candidates:
    """The detections that may be right, by query and by image.

    Args:
        owner: (P,) int64 query of each person to be found, ascending.
        queries: Number of queries.
        people: (R,) int64 person each candidate may be, ascending.
        rows: (R,) int64 detection of each candidate.
    """

    def __init__(
        self, owner: np.ndarray, queries: int, people: np.ndarray, rows: np.ndarray
    ) -> None:
        self._rows = rows
        found, starts = np.unique(people, return_index=True)
        self._bounds = np.append(starts, len(rows))
        self._people = splits_of(owner[found], queries)

    def best(self, query: int, similarities: np.ndarray) -> np.ndarray:
        """(t,) similarity of the most similar candidate in each image that has one."""
        a, b = self._people[query], self._people[query + 1]
        if a == b:
            return similarities[:0]
        first = self._bounds[a]
        rows = self._rows[first : self._bounds[b]]
        return np.maximum.reduceat(similarities[rows], self._bounds[a:b] - first)


class _Judge:
    """Fills a :class:`SearchResult` query by query."""

    def __init__(self, positives: np.ndarray) -> None:
        queries = len(positives)
        self.result = SearchResult(
            average_precision=np.zeros(queries),
            first_rank=np.zeros(queries, np.int64),
            found=np.zeros(queries, np.int64),
            positives=positives,
        )

    def add(self, query: int, hits: np.ndarray, ranked: np.ndarray) -> None:
        result = self.result
        result.average_precision[query] = average_precision(hits, ranked, result.positives[query])
        result.first_rank[query] = best_rank(hits, ranked)
        result.found[query] = len(hits)
