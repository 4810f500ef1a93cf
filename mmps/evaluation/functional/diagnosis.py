"""Where average precision goes: what each search loses, split by cause without a remainder.

A search should find P appearances of its person. It finds t of them; where the i-th stands, k_i of
the n_i detections that are at least as similar are right. Its average precision is the sum of
``k_i / n_i`` over P, so that

    1 - AP = (P - t) / P + sum_i (n_i - k_i) / (n_i P).

An appearance that is not found costs ``1 / P``, and is missed, cut by the score threshold or
localised badly. One that is found costs ``1 / (n_i P)`` for each of the ``n_i - k_i`` wrong
detections that are at least as similar, whoever they show. Equal similarities share a threshold on
both sides of the equation, so that it holds with ties, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .annotations import UNLABELLED, SearchAnnotations
from .context_matching import ContextMatching, match_context, query_contexts
from .galleries import Gallery, Positives, make_gallery
from .matching import IouRule, box_iou, iou_thresholds, match_people
from .predictions import SearchPredictions, align_predictions, keep_confident
from .ragged import gather_slices
from .search_loss import Part, SearchLoss
from .similarities import Similarities

OVERLAP_IOU = 0.1
"""From this IoU on a detection shows somebody; below, it is background.

The bound is that of TIDE (Bolya et al., ECCV 2020). A person whose own IoU rule asks for less, one
of a few pixels, is shown from there on.
"""

NOBODY = -2
"""Person id of a detection that shows background."""


def diagnose_search(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: IouRule = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int | str = 100,
    context_matching: ContextMatching | None = None,
) -> SearchLoss:
    """Split what :func:`~mmps.evaluation.functional.search.rank_queries` finds missing by cause.

    An appearance without a right detection is

    * ``CUT`` if a detection below ``score_thr`` would have been right, else
    * ``LOCALISED`` if a detection from ``score_thr`` on overlaps the person by
      :data:`OVERLAP_IOU`, and no other annotated person more, else
    * ``MISSED``.

    A wrong detection shows the annotated person it overlaps most, from :data:`OVERLAP_IOU` on:
    somebody else (``OTHER_IDENTITY``), an ``UNLABELLED`` person, or the query's person
    (``SAME_PERSON``: a second detection in an image, one of a part of the body, or one in an image
    where the protocol asks for nobody). One that overlaps nobody shows ``BACKGROUND``.

    ``REPEATED`` is what an explicit gallery loses by counting an image each time it lists it while
    ranking it once. Searches that have nobody to find are left out.

    Args:
        annotations: Ground truth and protocol.
        predictions: Images in any order; detections below ``score_thr`` tell ``CUT`` from the rest.
        score_thr: As in ``rank_queries``, like all further arguments.
        iou_thr: See ``rank_queries``.
        confidence_weighting: See ``rank_queries``.
        cross_camera: See ``rank_queries``.
        gallery_size: See ``rank_queries``.
        context_matching: See ``rank_queries``.

    Raises:
        ValueError: Predictions of another test set, an option out of range, or no query that has
            somebody to find.
    """
    if not annotations.num_queries:
        raise ValueError('query_images: this test set has no query, so there is nothing to search')
    everything = align_predictions(predictions, annotations)
    predictions = keep_confident(everything, score_thr)
    gallery = make_gallery(annotations, gallery_size=gallery_size, cross_camera=cross_camera)
    positives, searches = gallery.positives, len(gallery.queries)
    kept = positives.counts > 0
    if not kept.any():
        raise ValueError('no query of this test set has anybody to find, so nothing is lost')
    shown, best_iou = _people_shown(annotations, predictions, iou_thr)
    ((people, rows),) = match_people(
        positives.images, positives.bboxes, predictions.image_splits, predictions.bboxes, [iou_thr]
    )
    share = np.divide(1.0, positives.counts, out=np.zeros(searches), where=positives.counts > 0)
    owner = np.repeat(np.arange(searches), np.diff(positives.splits))
    parts = np.zeros((len(owner), len(Part)))
    lost = np.setdiff1d(np.arange(len(owner)), people)
    reasons = _reasons(positives, lost, everything, predictions, best_iou, iou_thr)
    parts[lost, reasons] = share[owner[lost]]
    ranking = _Ranking(annotations, predictions, gallery, shown, confidence_weighting)
    average_precision = np.zeros(searches)
    bounds = np.searchsorted(people, positives.splits)
    for search, row, final in ranking.rows(context_matching):
        chosen = slice(*bounds[search : search + 2])
        found, right, wrong = ranking.judge(search, row, people[chosen], rows[chosen], final)
        entries = right + wrong.sum(1)
        parts[found] = wrong * (share[search] / entries)[:, None]
        average_precision[search] = np.sum(right / entries) * share[search]
    by_search = np.stack([np.bincount(owner, column, searches) for column in parts.T], axis=1)
    by_search[:, Part.REPEATED] = (positives.counts - np.diff(positives.splits)) * share
    appearances = replace(
        positives,
        splits=np.append(positives.splits[:-1][kept], positives.splits[-1]),
        counts=positives.counts[kept],
    )
    return SearchLoss(
        gallery.queries[kept],
        average_precision[kept],
        appearances.counts,
        by_search[kept],
        appearances,
        parts,
    )


def _people_shown(
    annotations: SearchAnnotations, predictions: SearchPredictions, rule: IouRule
) -> tuple[np.ndarray, np.ndarray]:
    """Whom each detection shows: person id (N,), :data:`NOBODY` for background, and IoU (N,).

    Of annotated people with the same IoU the one with the largest id is shown, so that the order
    of the annotations does not matter.
    """
    image = np.repeat(np.arange(annotations.num_images), np.diff(predictions.image_splits))
    rows, people = gather_slices(annotations.box_splits, image)
    iou = box_iou(predictions.bboxes[rows], annotations.bboxes[people])
    least = np.minimum(OVERLAP_IOU, iou_thresholds(annotations.bboxes, rule))
    keep = iou >= least[people]
    rows, people, iou = rows[keep], annotations.person_ids[people[keep]], iou[keep]
    order = np.lexsort((-people, -iou, rows))
    covered, first = np.unique(rows[order], return_index=True)
    best = order[first]
    shown, best_iou = np.full(len(image), NOBODY), np.zeros(len(image))
    shown[covered], best_iou[covered] = people[best], iou[best]
    return shown, best_iou


def _reasons(
    positives: Positives,
    lost: np.ndarray,
    everything: SearchPredictions,
    confident: SearchPredictions,
    best_iou: np.ndarray,
    rule: IouRule,
) -> np.ndarray:
    """Why the appearances ``lost`` (n,) were not found: their :class:`Part` (n,)."""
    # queries of one person share its appearances
    keys = np.column_stack([positives.images[lost], positives.bboxes[lost]])
    _, first, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    images, bboxes = positives.images[lost[first]], positives.bboxes[lost[first]]
    reasons = np.full(len(first), Part.MISSED)
    people, rows = gather_slices(confident.image_splits, images)
    iou = box_iou(bboxes[people], confident.bboxes[rows])
    reasons[people[(iou >= OVERLAP_IOU) & (iou >= best_iou[rows])]] = Part.LOCALISED
    ((people, _),) = match_people(
        images, bboxes, everything.image_splits, everything.bboxes, [rule]
    )
    reasons[people] = Part.CUT
    return reasons[back.reshape(-1)]


class _Ranking:
    """Counts what stands above the appearances that were found.

    Args:
        annotations: Ground truth.
        predictions: In its order, cut at the score threshold.
        gallery: Protocol.
        shown: (N,) person id each detection shows.
        confidence_weighting: Multiply similarities by the detection's score.
    """

    def __init__(
        self,
        annotations: SearchAnnotations,
        predictions: SearchPredictions,
        gallery: Gallery,
        shown: np.ndarray,
        confidence_weighting: bool,
    ) -> None:
        self._annotations, self._predictions, self._gallery = annotations, predictions, gallery
        self._person = annotations.query_person_ids[gallery.queries]
        self._image = np.repeat(
            np.arange(annotations.num_images), np.diff(predictions.image_splits)
        )
        weights = predictions.scores[:, None] if confidence_weighting else 1
        self._similarities = Similarities(
            predictions.query_embeddings, predictions.embeddings * weights
        )
        self._shown = shown
        # what a detection is to the query of a person it does not show
        self._part = np.full(len(shown), Part.OTHER_IDENTITY)
        self._part[shown == UNLABELLED] = Part.UNLABELLED
        self._part[shown == NOBODY] = Part.BACKGROUND

    def rows(self, options: ContextMatching | None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield each search, the similarities (N,) of its query, and where those are final (n,)."""
        queries, similarities = self._gallery.queries, self._similarities
        if options:
            contexts = query_contexts(self._annotations, self._predictions, options.k2)
        for query, row in similarities.rows(np.unique(queries)):
            for search in range(*np.searchsorted(queries, [query, query + 1])):
                if not options:
                    yield search, row, np.zeros(0, np.int64)
                    continue
                revised = row.copy()
                columns = np.flatnonzero(self._gallery.searched(search)[self._image])
                splits = self._predictions.image_splits
                final = match_context(
                    query, revised, columns, contexts[query], splits, similarities, options
                )
                yield search, revised, final

    def judge(
        self,
        search: int,
        row: np.ndarray,
        people: np.ndarray,
        candidates: np.ndarray,
        final: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Judge one search.

        Args:
            search: Number of the search.
            row: (N,) similarities of its query; made exact where it matters, in place.
            people: (C,) int64 appearance that each candidate may be, ascending.
            candidates: (C,) int64 detections that overlap an appearance enough.
            final: (n,) int64 detections whose similarity has to stay.

        Returns:
            The appearances found (t,), and for each of them how many of the detections that are at
            least as similar are right (t,) and wrong (t, K), by :class:`Part`.
        """
        query = self._gallery.queries[search]
        others = np.setdiff1d(candidates, final)
        row[others] = self._similarities.exact(query, others)
        found, hits = self._hits(search, row, people, candidates)
        level = row[hits]
        if not len(hits):
            return found, np.zeros(0), np.zeros((0, len(Part)))
        reaching = row >= level[0] - self._similarities.margin
        among = np.flatnonzero(reaching & self._gallery.searched(search)[self._image])
        self._similarities.settle(query, row, level, among, final)
        among = among[row[among] >= level[0]]
        # in steps: all detections from one hit's similarity up to the next one's, less the hits
        place = np.searchsorted(level, row[among], side='right') - 1
        cells = place * len(Part) + self._part_of(search, among)
        steps = np.bincount(cells, minlength=len(level) * len(Part))
        place = np.searchsorted(level, level, side='right') - 1
        np.subtract.at(steps, place * len(Part) + self._part_of(search, hits), 1)
        wrong = steps.reshape(len(level), len(Part))[::-1].cumsum(0)[::-1]
        return found, len(level) - np.searchsorted(level, level, side='left'), wrong

    def _hits(
        self, search: int, row: np.ndarray, people: np.ndarray, candidates: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Appearances found (t,) and the detections that stand for them, least similar first.

        Of equally similar candidates one that shows the person is taken.
        """
        shown = self._shown[candidates]
        order = np.lexsort((shown, shown == self._person[search], row[candidates], people))
        last = order[np.flatnonzero(np.diff(people[order], append=-1))]
        ascending = last[np.argsort(row[candidates[last]], kind='stable')]
        return people[ascending], candidates[ascending]

    def _part_of(self, search: int, rows: np.ndarray) -> np.ndarray:
        """(n,) what the detections ``rows`` (n,) are where they are wrong."""
        parts = self._part[rows]
        parts[self._shown[rows] == self._person[search]] = Part.SAME_PERSON
        return parts
