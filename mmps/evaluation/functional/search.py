"""Search mAP and top-k: is the query's person at the top of the ranking?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np

from .annotations import SearchAnnotations, check_indices, owners_of, splits_of
from .context_matching import ContextMatching, context_reviser
from .galleries import Gallery, make_gallery
from .matching import IouRule, average_precision, best_rank, match_people
from .predictions import SearchPredictions, align_predictions, keep_confident
from .similarities import Similarities

TOP_K = (1, 5, 10)


@dataclass(frozen=True)
class SearchResult:
    """How each search fared; most protocols search each query once.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        average_precision: (S,) float64, average precision times recall.
        first_rank: (S,) int64 rank of the best right detection, from 1; 0 if none was found. Wrong
            detections that are exactly as similar stand before it.
        found: (S,) int64 images in which the person was found, whatever the rank.
        positives: (S,) int64 images in which the person should have been found.
    """

    queries: np.ndarray
    average_precision: np.ndarray
    first_rank: np.ndarray
    found: np.ndarray
    positives: np.ndarray

    def __len__(self) -> int:
        """Number of searches, S."""
        return len(self.queries)

    def __getitem__(self, chosen: np.ndarray) -> SearchResult:
        """The searches ``chosen``, a (S,) bool mask or ascending positions."""
        return SearchResult(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def scores(self) -> dict[str, np.ndarray]:
        """(S,) float64 of each search, whose means are :meth:`metrics`."""
        rank = self.first_rank
        hits = {f'top{k}': ((rank > 0) & (rank <= k)).astype(float) for k in TOP_K}
        return {'mAP': self.average_precision, **hits}

    @property
    def answerable(self) -> SearchResult:
        """The searches that have somebody to find; nobody can say how the others fared."""
        return self[self.positives > 0]

    def metrics(self) -> dict[str, float]:
        """``mAP``, ``top1``, ``top5`` and ``top10``, plain means over the :attr:`answerable`
        searches; empty if there are none.
        """
        scores = self.answerable.scores()
        # fsum does not depend on the order of the queries
        return {key: math.fsum(v) / len(v) for key, v in scores.items() if len(v)}


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
    ones, so no result depends on the order of images, detections or queries. A query whose person
    is in no gallery image is left out of the means.

    Args:
        annotations: Ground truth and protocol.
        predictions: Images in any order.
        score_thr: Detections with lower scores are dropped.
        iou_thr: ``'adaptive'`` or a number; see :func:`.matching.iou_thresholds`.
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

    Args:
        iou_thrs: ``'adaptive'`` or a number each; see :func:`.matching.iou_thresholds`.

    The other arguments, and errors, are those of :func:`evaluate_search`.

    Returns:
        One result per rule; searches with nobody to find are among them.
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


@dataclass(frozen=True)
class Match:
    """One detection in the ranking of a query.

    Attributes:
        image: Index into ``SearchAnnotations.image_names``.
        bbox: (4,) float32 xyxy in original pixels.
        similarity: To the query, -1..1: cosine, times the score if that weighs it.
        correct: Whether the metric counts it as the query's person.
        again: Whether it is that person all the same, found a second time in an image.
    """

    image: int
    bbox: np.ndarray
    similarity: float
    correct: bool
    again: bool = False


def top_matches(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    queries: Iterable[int],
    top_k: int = 10,
    *,
    score_thr: float = 0.5,
    iou_thr: IouRule = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int | str = 100,
) -> list[list[Match]]:
    """The ``top_k`` most similar detections of some queries, judged as the metric judges them.

    Right is the most similar detection with enough overlap in each image that holds the person, so
    a second detection of that person in the same image is wrong. Of equally similar detections the
    wrong ones stand first. Options are those of :func:`rank_queries`.

    Raises:
        ValueError: Predictions of another test set, or a query that does not exist or is not
            searched.
    """
    queries = np.array(list(queries), np.int64)
    check_indices('queries', queries, annotations.num_queries, 'queries')
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    splits = predictions.image_splits
    gallery = make_gallery(annotations, gallery_size=gallery_size, cross_camera=cross_camera)
    embeddings = predictions.weighted_embeddings(confidence_weighting)
    # rounded from float64, so that equal embeddings are equally similar wherever they stand
    embeddings = embeddings.astype(np.float64)
    image_of_row = owners_of(splits)
    rankings = []
    for query in queries:
        similarities = (embeddings @ predictions.query_embeddings[query]).astype(np.float32)
        if predictions.scene_factors is not None:
            similarities *= predictions.scene_factors[query, image_of_row]
        correct = np.zeros(len(similarities), bool)
        search = int(np.searchsorted(gallery.queries, query))
        if search == len(gallery.queries) or gallery.queries[search] != query:
            raise ValueError(f'queries: gallery {gallery_size!r} does not search query {query}')
        wanted = slice(*gallery.positives.splits[search : search + 2])
        ((people, rows),) = match_people(
            gallery.positives.images[wanted],
            gallery.positives.bboxes[wanted],
            splits,
            predictions.bboxes,
            [iou_thr],
        )
        best_first = np.lexsort((-similarities[rows], people))
        correct[rows[best_first[np.unique(people[best_first], return_index=True)[1]]]] = True
        columns = np.flatnonzero(gallery.searched(search)[image_of_row])
        order = columns[np.lexsort((correct[columns], -similarities[columns]))][:top_k]
        images, similar = image_of_row[order].tolist(), similarities[order].tolist()
        again = np.isin(order, rows) & ~correct[order]
        judged = correct[order].tolist(), again.tolist()
        found = zip(images, predictions.bboxes[order], similar, *judged, strict=True)
        rankings.append([Match(*one) for one in found])
    return rankings


FEW = 0.04
"""Share of the detections below which fetching those of a search takes less than computing all."""


def rank_galleries(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    galleries: Sequence[tuple[Gallery, Sequence[IouRule]]],
    *,
    confidence_weighting: bool = False,
    context_matching: ContextMatching | None = None,
    searched: np.ndarray | None = None,
) -> list[list[SearchResult]]:
    """Search many galleries with one computation of the similarities.

    Args:
        annotations: Ground truth and protocols.
        predictions: In the order of ``annotations``, cut at the score threshold.
        galleries: Retrieval protocols, each with the IoU rules to judge it by.
        confidence_weighting, context_matching: As in :func:`rank_queries`.
        searched: (Q,) bool: the queries that are searched at all; the others find nobody.

    Returns:
        For each gallery one result per rule.

    Raises:
        ValueError: A given context does not begin with its query.
    """
    tasks = [_Task(*gallery, predictions, annotations.num_queries) for gallery in galleries]
    wanted = np.unique(np.concatenate([gallery.queries for gallery, _ in galleries]))
    if searched is not None:
        wanted = wanted[searched[wanted]]
    similarities = Similarities.of(predictions, confidence_weighting)
    image_of_row = owners_of(predictions.image_splits)
    revise = context_matching and context_reviser(
        annotations, predictions, similarities, context_matching
    )
    searched_by = partial(_searched_by, tasks, image_of_row)
    some = wanted[:: len(wanted) // 16 + 1]
    few = sum(len(searched_by(query)) for query in some) < FEW * len(image_of_row) * len(some)
    for query, row in similarities.rows(wanted, searched_by if few else None):
        searches = [(task, search) for task in tasks for search in task.searches_of(query)]
        if revise is None:
            _rank(query, row, searches, similarities, image_of_row)
            continue
        for task, search in searches:
            columns = np.flatnonzero(task.gallery.searched(search)[image_of_row])
            revised, matched = revise(query, row, columns)
            _rank(query, revised, [(task, search)], similarities, image_of_row, matched)
    return [task.results for task in tasks]


def _searched_by(tasks: list[_Task], image_of_row: np.ndarray, query: int) -> np.ndarray:
    """Detections (n,) int64 that any search of a query looks through."""
    images = [task.gallery.searched(s) for task in tasks for s in task.searches_of(query)]
    return np.flatnonzero(np.logical_or.reduce(images)[image_of_row])


def _rank(
    query: int,
    row: np.ndarray,
    searches: list[tuple[_Task, int]],
    similarities: Similarities,
    image_of_row: np.ndarray,
    fixed: np.ndarray | None = None,
) -> None:
    """Judge the searches of one query by its similarities ``row`` (N,), those ``fixed`` apart."""
    candidates = np.concatenate([task.candidates(search) for task, search in searches])
    if not len(candidates):
        return
    known = np.unique(candidates) if fixed is None else np.union1d(candidates, fixed)
    fresh = known if fixed is None else np.setdiff1d(candidates, fixed)
    row[fresh] = similarities.exact(query, fresh)
    hits = [task.hits(search, row) for task, search in searches]
    levels = np.concatenate([level for of_search in hits for level in of_search])
    images = [task.gallery.searched(search) for task, search in searches]
    # what is less similar than every right detection takes part in no count
    among = np.flatnonzero(row >= levels.min() - similarities.margin)
    of_any = np.logical_or.reduce(images)
    if 2 * np.count_nonzero(of_any) < len(of_any):
        among = among[of_any[image_of_row[among]]]
    similarities.settle(query, row, levels, among, known)
    ranking = _Ranking(row[among], image_of_row[among])
    for (task, search), mask, of_search in zip(searches, images, hits, strict=True):
        task.judge(search, of_search, ranking.count_above(mask, of_search))


class _Ranking:
    """Detections (n,) of one query, ascending by similarity."""

    def __init__(self, similarities: np.ndarray, images: np.ndarray) -> None:
        order = np.argsort(similarities)
        self._similarities, self._images = similarities[order], images[order]

    def count_above(self, images: np.ndarray, hits: list[np.ndarray]) -> list[np.ndarray]:
        """For each similarity in ``hits``: the detections of ``images`` (I,) bool as similar."""
        below = np.zeros(len(self._images) + 1, np.int64)
        images[self._images].cumsum(out=below[1:])
        return [below[-1] - below[self._similarities.searchsorted(h)] for h in hits]


class _Task:
    """One gallery, judged by some IoU rules."""

    def __init__(
        self,
        gallery: Gallery,
        rules: Sequence[IouRule],
        predictions: SearchPredictions,
        queries: int,
    ) -> None:
        self.gallery = gallery
        positives = gallery.positives
        self._of_query = splits_of(gallery.queries, queries)
        people = positives.images, positives.bboxes
        detections = predictions.image_splits, predictions.bboxes
        self._rules = [
            _Candidates(positives.splits, *found)
            for found in match_people(*people, *detections, rules)
        ]
        searches = len(gallery.queries)
        self.results = []
        for _ in rules:
            scores, (ranks, found) = np.zeros(searches), np.zeros((2, searches), np.int64)
            result = SearchResult(gallery.queries, scores, ranks, found, positives.counts)
            self.results.append(result)

    def searches_of(self, query: int) -> range:
        """The searches of a query."""
        return range(self._of_query[query], self._of_query[query + 1])

    def candidates(self, search: int) -> np.ndarray:
        """(n,) int64 detections that some rule may count as right; may repeat."""
        return np.concatenate([rule.rows(search) for rule in self._rules])

    def hits(self, search: int, row: np.ndarray) -> list[np.ndarray]:
        """For each rule the similarity of the right detection in each image that has one."""
        return [rule.best(search, row) for rule in self._rules]

    def judge(self, search: int, hits: list[np.ndarray], above: list[np.ndarray]) -> None:
        """Enter how a search fared, given how many detections reach each hit's similarity."""
        for result, levels, entries in zip(self.results, hits, above, strict=True):
            result.average_precision[search] = average_precision(
                levels, entries, result.positives[search]
            )
            result.first_rank[search] = best_rank(levels, entries)
            result.found[search] = len(levels)


class _Candidates:
    """The detections ``rows`` (R,) that may be right, by search and by person, ``people`` (R,)."""

    def __init__(self, splits: np.ndarray, people: np.ndarray, rows: np.ndarray) -> None:
        self._rows = rows
        found, starts = np.unique(people, return_index=True)
        self._bounds = np.append(starts, len(rows))
        self._people = np.searchsorted(found, splits)

    def rows(self, search: int) -> np.ndarray:
        """(n,) int64."""
        a, b = self._people[search : search + 2]
        return self._rows[self._bounds[a] : self._bounds[b]]

    def best(self, search: int, similarities: np.ndarray) -> np.ndarray:
        """(t,) similarity of the most similar candidate in each image that has one."""
        a, b = self._people[search : search + 2]
        if a == b:
            return similarities[:0]
        rows = self.rows(search)
        return np.maximum.reduceat(similarities[rows], self._bounds[a:b] - self._bounds[a])
