"""Search mAP and top-k: is the query's person at the top of the ranking?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from .annotations import SearchAnnotations, check_indices, owners_of, splits_of
from .context_matching import ContextMatching, match_context, query_contexts
from .galleries import Gallery, make_gallery
from .matching import IouRule, average_precision, best_rank, match_people
from .predictions import SearchPredictions, align_predictions, keep_confident
from .similarities import Similarities

if TYPE_CHECKING:
    from typing_extensions import Unpack

TOP_K = (1, 5, 10)


@dataclass(frozen=True)
class SearchResult:
    """How each search fared; most protocols search each query once.

    Example:
        >>> from mmps.testing.search import tiny_test_set
        >>> (result,) = rank_queries(*tiny_test_set())
        >>> result.average_precision.round(3).tolist(), result.first_rank.tolist()
        ([0.833, 0.25], [1, 2])
        >>> result.metrics()['top1']
        0.5

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

    @classmethod
    def begun(cls, queries: np.ndarray, positives: np.ndarray) -> SearchResult:
        """Of searches that have found nobody yet; :meth:`enter` changes it in place."""
        scores, (ranks, found) = np.zeros(len(queries)), np.zeros((2, len(queries)), np.int64)
        return cls(queries, scores, ranks, found, positives)

    def enter(self, search: int, levels: np.ndarray, entries: np.ndarray) -> None:
        """Judge a search by the similarities ``levels`` (t,) of its right detections, which so many
        ``entries`` (t,) reach.
        """
        self.average_precision[search] = average_precision(levels, entries, self.positives[search])
        self.first_rank[search] = best_rank(levels, entries)
        self.found[search] = len(levels)

    def __len__(self) -> int:
        """Number of searches, S."""
        return len(self.queries)

    def __getitem__(self, chosen: np.ndarray) -> SearchResult:
        """The searches ``chosen``, a (S,) bool mask or ascending positions."""
        return SearchResult(*(getattr(self, one.name)[chosen] for one in fields(self)))

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


class SearchOptions(TypedDict, total=False):
    """What :func:`evaluate_search` and others that rank a gallery take; documented there."""

    score_thr: float
    confidence_weighting: bool
    cross_camera: bool
    gallery_size: int | str
    context_matching: ContextMatching | None


def evaluate_search(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    iou_thr: IouRule = 'adaptive',
    **options: Unpack[SearchOptions],
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
        iou_thr: ``'adaptive'`` or a number; see :func:`.matching.iou_thresholds`.
        **options: ``score_thr`` (0.5): detections with lower scores are dropped.
            ``confidence_weighting`` (False): multiply similarities by the detection's score.
            ``cross_camera`` (False): search only images of cameras other than the query's.
            ``gallery_size`` (100): which explicit protocol, by size or name, or ``'all'`` images;
            without effect on a test set that has none. ``context_matching`` (None): revise the
            similarities by the people around the query.

    Returns:
        ``mAP``, ``top1``, ``top5``, ``top10``, each 0..1; empty if no query has anybody to find.

    Raises:
        ValueError: Predictions of another test set, an option out of range, or no query.
    """
    (result,) = rank_queries(annotations, predictions, [iou_thr], **options)
    return result.metrics()


def rank_queries(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    iou_thrs: Sequence[IouRule] = ('adaptive',),
    **options: Unpack[SearchOptions],
) -> list[SearchResult]:
    """Rank every query once and judge the ranking by each IoU rule.

    Args:
        iou_thrs: ``'adaptive'`` or a number each; see :func:`.matching.iou_thresholds`.

    The other arguments, and errors, are those of :func:`evaluate_search`.

    Returns:
        One result per rule; searches with nobody to find are among them.
    """
    (results,) = Searches.of(annotations, predictions, iou_thrs, **options).results()
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
    iou_thr: IouRule = 'adaptive',
    **options: Unpack[SearchOptions],
) -> list[list[Match]]:
    """The ``top_k`` most similar detections of some queries, judged as the metric judges them.

    Right is the most similar detection with enough overlap in each image that holds the person, so
    a second detection of that person in the same image is wrong. Of equally similar detections the
    wrong ones stand first. Options are those of :func:`evaluate_search`, but ``context_matching``.

    Raises:
        ValueError: Predictions of another test set, or a query that does not exist or is not
            searched.
    """
    queries = np.array(list(queries), np.int64)
    check_indices('queries', queries, annotations.num_queries, 'queries')
    asked = np.isin(np.arange(annotations.num_queries), queries)
    searches = Searches.of(
        annotations, predictions, [iou_thr], asked, context_matching=None, **options
    )
    rankings: dict[int, list[Match]] = {}
    for query, row, _, (search, *_) in searches:
        columns = np.flatnonzero(search.images[searches.images])
        least = np.partition(row[columns], -top_k)[-top_k] if top_k < len(columns) else -np.inf
        columns = columns[row[columns] >= least - searches.similarities.margin]
        row[columns] = searches.similarities.exact(query, columns)
        (candidates,) = search.candidates
        rows = candidates.rows
        best_first = np.lexsort((-row[rows], candidates.people))
        first = np.unique(candidates.people[best_first], return_index=True)[1]
        correct = np.isin(columns, rows[best_first[first]])
        best = np.lexsort((correct, -row[columns]))[:top_k]
        order, correct = columns[best], correct[best]
        again = np.isin(order, rows) & ~correct
        values = (searches.images[order], row[order], correct, again)
        images, *judged = (column.tolist() for column in values)
        found = zip(images, searches.predictions.bboxes[order], *judged, strict=True)
        rankings[int(query)] = [Match(*one) for one in found]
    for query in queries.tolist():
        if query not in rankings:
            name = options.get('gallery_size', 100)
            raise ValueError(f'queries: gallery {name!r} does not search query {query}')
    return [rankings[query] for query in queries.tolist()]


FEW = 0.04
"""Share of the detections below which fetching those of a search takes less than computing all."""


class Candidates(NamedTuple):
    """Detections that may be right: appearance ``people[i]``, ascending, may be ``rows[i]``; where
    an appearance has its first one, ``starts`` (t,).
    """

    people: np.ndarray
    rows: np.ndarray
    starts: np.ndarray


@dataclass
class Search:
    """One search of a query.

    Attributes:
        gallery: Which gallery it is a search of.
        number: Which search of it.
        images: (I,) bool that it looks through.
        candidates: For each IoU rule.
        levels: For each rule (t,) float32 similarity of the right detection of each image that has
            one.
    """

    gallery: int
    number: int
    images: np.ndarray
    candidates: list[Candidates] = field(default_factory=list)
    levels: list[np.ndarray] = field(default_factory=list)


class Searches:
    """All searches of some galleries, with one computation of the similarities.

    Iterating gives for each query its number; its similarities (N,) float32, which compare with all
    levels of its searches as exact ones do, and may be changed; the detections (n,) that may reach
    a level; and the searches. With ``context_matching`` each search comes alone.

    Args:
        annotations: Ground truth and protocols.
        predictions: In the order of ``annotations``, cut at the score threshold.
        galleries: Retrieval protocols, each with the IoU rules to judge it by.
        confidence_weighting, context_matching: As in :func:`evaluate_search`.
        searched: (Q,) bool: the queries that are searched at all; the others find nobody.

    Attributes:
        annotations, predictions, galleries, searched: As given.
        similarities: Of all queries and detections.
        images: (N,) int64 image of each detection.

    Raises:
        ValueError: A given context does not begin with its query.
    """

    def __init__(
        self,
        annotations: SearchAnnotations,
        predictions: SearchPredictions,
        galleries: Sequence[tuple[Gallery, Sequence[IouRule]]],
        *,
        confidence_weighting: bool = False,
        context_matching: ContextMatching | None = None,
        searched: np.ndarray | None = None,
    ) -> None:
        self.annotations, self.predictions, self.searched = annotations, predictions, searched
        self.galleries = [gallery for gallery, _ in galleries]
        self.similarities = Similarities.of(predictions, confidence_weighting)
        self.images = owners_of(predictions.image_splits)
        self._splits, self._matching = predictions.image_splits, context_matching
        if context_matching:
            self._contexts = query_contexts(annotations, predictions, context_matching.k2)
        wanted = np.unique(np.concatenate([gallery.queries for gallery in self.galleries]))
        self._queries = wanted if searched is None else wanted[searched[wanted]]
        splits = (splits_of(g.queries, annotations.num_queries) for g in self.galleries)
        self._of_query = [of_query.tolist() for of_query in splits]
        self._candidates = []
        for gallery, rules in galleries:
            people = gallery.positives.images, gallery.positives.bboxes
            found = match_people(*people, self._splits, predictions.bboxes, rules)
            self._candidates.append([_by_search(*one, gallery.positives.splits) for one in found])

    @classmethod
    def of(
        cls,
        annotations: SearchAnnotations,
        predictions: SearchPredictions,
        iou_thrs: Sequence[IouRule],
        searched: np.ndarray | None = None,
        *,
        score_thr: float = 0.5,
        cross_camera: bool = False,
        gallery_size: int | str = 100,
        **options: Any,
    ) -> Searches:
        """Of one gallery, with predictions as they are; see :func:`evaluate_search`."""
        gallery = make_gallery(annotations, gallery_size=gallery_size, cross_camera=cross_camera)
        predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
        return cls(annotations, predictions, [(gallery, iou_thrs)], searched=searched, **options)

    def results(self) -> list[list[SearchResult]]:
        """How the searches fared: for each gallery one result per rule."""
        results = [
            [SearchResult.begun(gallery.queries, gallery.positives.counts) for _ in candidates]
            for gallery, candidates in zip(self.galleries, self._candidates, strict=True)
        ]
        for _, row, among, found in self:
            order = among[np.argsort(row[among])]
            similar, images = row[order], self.images[order]
            for search in found if len(order) else ():
                below = np.zeros(len(order) + 1, np.int64)
                search.images[images].cumsum(out=below[1:])
                for result, levels in zip(results[search.gallery], search.levels, strict=True):
                    entries = below[-1] - below[similar.searchsorted(levels)]
                    result.enter(search.number, levels, entries)
        return results

    def __iter__(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, list[Search]]]:
        some = self._queries[:: len(self._queries) // 16 + 1]
        few = sum(map(len, map(self._columns, some))) < FEW * len(self.images) * len(some)
        for query, row in self.similarities.rows(self._queries, self._columns if few else None):
            searches = list(self._searches_of(query))
            if not self._matching:
                yield query, row, self._settle(query, row, searches), searches
                continue
            for search in searches:
                columns, revised = np.flatnonzero(search.images[self.images]), row.copy()
                context = self._contexts[query], self._splits, self.similarities, self._matching
                final = match_context(query, revised, columns, *context)
                yield query, revised, self._settle(query, revised, [search], final), [search]

    def _searches_of(self, query: int) -> Iterator[Search]:
        for place, gallery in enumerate(self.galleries):
            for number in range(*self._of_query[place][query : query + 2]):
                yield Search(place, number, gallery.searched(number))

    def _columns(self, query: int) -> np.ndarray:
        """Detections (n,) int64 that any search of a query looks through."""
        images = [search.images for search in self._searches_of(query)]
        return np.flatnonzero(np.logical_or.reduce(images)[self.images])

    def _settle(
        self,
        query: int,
        row: np.ndarray,
        searches: list[Search],
        final: np.ndarray | None = None,
    ) -> np.ndarray:
        """Find the levels of searches, and the detections (n,) that may reach one; make ``row``
        (N,) exact where that matters, those ``final`` (m,) apart.
        """
        for search in searches:
            rules = self._candidates[search.gallery]
            search.candidates = [of_search(search.number) for of_search in rules]
        known = np.unique(np.concatenate([c.rows for s in searches for c in s.candidates]))
        if not len(known):
            return known
        fresh = known if final is None else np.setdiff1d(known, final)
        row[fresh] = self.similarities.exact(query, fresh)
        for search in searches:
            search.levels = [
                np.maximum.reduceat(row[c.rows], c.starts) if len(c.rows) else row[:0]
                for c in search.candidates
            ]
        levels = np.concatenate([level for search in searches for level in search.levels])
        # what is less similar than every right detection takes part in no count
        among = np.flatnonzero(row >= levels.min() - self.similarities.margin)
        of_any = np.logical_or.reduce([search.images for search in searches])
        if 2 * np.count_nonzero(of_any) < len(of_any):
            among = among[of_any[self.images[among]]]
        known = known if final is None else np.union1d(known, final)
        self.similarities.settle(query, row, levels, among, known)
        return among


def _by_search(
    people: np.ndarray, rows: np.ndarray, splits: np.ndarray
) -> Callable[[int], Candidates]:
    """What gives the candidates of a search, which has the appearances between two ``splits``."""
    starts = np.flatnonzero(np.diff(people, prepend=-1))
    first = np.searchsorted(people[starts], splits)
    # lists, from which Python takes numbers faster
    bounds, first = np.append(starts, len(rows))[first].tolist(), first.tolist()

    def of_search(number: int) -> Candidates:
        a, b = bounds[number : number + 2]
        c, d = first[number : number + 2]
        return Candidates(people[a:b], rows[a:b], starts[c:d] - a)

    return of_search
