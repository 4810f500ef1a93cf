"""Where average precision goes: what each search loses, split by cause without a remainder.

A search should find P appearances of its person. It finds t of them; where the i-th stands, k_i of
the n_i detections that are at least as similar are right. Its average precision is the sum of
``k_i / n_i`` over P, so that

    1 - AP = (P - t) / P + sum_i (n_i - k_i) / (n_i P).

An appearance that is not found costs ``1 / P``; one that is found costs ``1 / (n_i P)`` for each
of the ``n_i - k_i`` wrong detections that are at least as similar. Equal similarities share a
threshold on both sides, so that this holds with ties, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from .annotations import UNLABELLED, SearchAnnotations, gather_slices, owners_of
from .galleries import Positives
from .matching import IouRule, box_iou, iou_thresholds, match_people
from .predictions import SearchPredictions, align_predictions
from .search import Search, Searches, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Part(IntEnum):
    """What a share of the loss is due to; the columns of :attr:`SearchLoss.parts`."""

    REPEATED = 0
    MISSED = 1
    CUT = 2
    LOCALISED = 3
    OTHER_IDENTITY = 4
    UNLABELLED = 5
    BACKGROUND = 6
    SAME_PERSON = 7

    @property
    def label(self) -> str:
        """A few words for tables and pictures."""
        return _LABELS[self]


_LABELS = {
    Part.REPEATED: 'gallery lists an image twice',
    Part.MISSED: 'not detected',
    Part.CUT: 'cut by the score threshold',
    Part.LOCALISED: 'localised badly',
    Part.OTHER_IDENTITY: 'outranked by another identity',
    Part.UNLABELLED: 'outranked by an unlabelled person',
    Part.BACKGROUND: 'outranked by background',
    Part.SAME_PERSON: 'outranked by the same person again',
}


@dataclass(frozen=True)
class SearchLoss:
    """What each search with somebody to find loses, and at which appearance of its person.

    ``average_precision + parts.sum(1)`` is 1 for every search, to rounding. The parts of a search
    are those of its appearances and, at no appearance, ``REPEATED``.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        average_precision: (S,) float64.
        counts: (S,) int64 appearances that should have been found, P.
        parts: (S, K) float64 share of 1 that is lost for each :class:`Part`.
        appearances: What should have been found. An image that an explicit gallery repeats counts
            in ``counts`` each time and has one row here.
        appearance_parts: (R, K) float64, what its search loses at each row of ``appearances``.
    """

    queries: np.ndarray
    average_precision: np.ndarray
    counts: np.ndarray
    parts: np.ndarray
    appearances: Positives
    appearance_parts: np.ndarray

    @property
    def mean_average_precision(self) -> float:
        """mAP, 0..1."""
        return float(self.average_precision.mean())

    @property
    def mean_parts(self) -> np.ndarray:
        """(K,) float64: what each part takes from mAP. Sums to ``1 - mAP``."""
        return self.parts.mean(0)

    @property
    def worst_queries(self) -> list[int]:
        """The queries by ascending average precision; of the searches of one the first counts."""
        queries, first = np.unique(self.queries, return_index=True)
        order = np.argsort(self.average_precision[first], kind='stable')
        return queries[order].tolist()

    @property
    def search_of_appearance(self) -> np.ndarray:
        """(R,) int64 search of each appearance."""
        return owners_of(self.appearances.splits)

    @property
    def not_found(self) -> np.ndarray:
        """(R,) bool: whether no detection stands for the appearance."""
        return self.appearance_parts[:, Part.MISSED : Part.LOCALISED + 1].any(1)


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
    iou_thr: IouRule = 'adaptive',
    **options: Unpack[SearchOptions],
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
    ranking it once. Searches that have nobody to find are left out. The arguments are those of
    :func:`~mmps.evaluation.functional.evaluate_search`.

    Raises:
        ValueError: Predictions of another test set, an option out of range, or no query that has
            somebody to find.
    """
    everything = align_predictions(predictions, annotations)
    searches = Searches.of(annotations, everything, [iou_thr], **options)
    predictions, (gallery,) = searches.predictions, searches.galleries
    positives, number = gallery.positives, len(gallery.queries)
    kept = positives.counts > 0
    if not kept.any():
        raise ValueError('no query of this test set has anybody to find, so nothing is lost')
    shown, best_iou = _people_shown(annotations, predictions, iou_thr)
    owner = owners_of(positives.splits)
    share = np.divide(1.0, positives.counts, out=np.zeros(number), where=kept)
    parts, average_precision = np.zeros((len(owner), len(Part))), np.zeros(number)
    lost = np.ones(len(owner), bool)
    for query, row, among, found in searches:
        person = annotations.query_person_ids[query]
        for search in found:
            people, right, wrong = _judge(search, row, among, searches.images, shown, person)
            entries = right + wrong.sum(1)
            lost[people] = False
            parts[people] = wrong * (share[search.number] / entries)[:, None]
            average_precision[search.number] = np.sum(right / entries) * share[search.number]
    lost = np.flatnonzero(lost)
    reasons = _reasons(positives, lost, everything, predictions, best_iou, iou_thr)
    parts[lost, reasons] = share[owner[lost]]
    by_search = np.stack([np.bincount(owner, column, number) for column in parts.T], axis=1)
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
    image = owners_of(predictions.image_splits)
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


def _judge(
    search: Search,
    row: np.ndarray,
    among: np.ndarray,
    images: np.ndarray,
    shown: np.ndarray,
    person: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The appearances found (t,), and how many of the detections at least as similar as each are
    right (t,) and wrong (t, K), by :class:`Part`.

    Detections (N,) have similarities ``row``, ``images`` and people that are ``shown``; those of
    ``among`` (n,) may be as similar as one that shows the ``person`` who is searched for.
    """
    ((people, rows, _),) = search.candidates
    # of equally similar candidates one that shows the person is taken
    order = np.lexsort((shown[rows], shown[rows] == person, row[rows], people))
    last = order[np.flatnonzero(np.diff(people[order], append=-1))]
    last = last[np.argsort(row[rows[last]], kind='stable')]
    hits = rows[last]
    level = row[hits]  # ascending
    if not len(hits):
        return people[last], np.zeros(0), np.zeros((0, len(Part)))
    among = among[search.images[images[among]] & (row[among] >= level[0])]

    def by_level(some: np.ndarray) -> np.ndarray:
        """(t, K) how many of some detections reach a hit's similarity, but not the next one's."""
        cells = len(Part) * (np.searchsorted(level, row[some], side='right') - 1)
        cells += _part_of(shown[some], person)
        return np.bincount(cells, minlength=len(level) * len(Part)).reshape(len(level), -1)

    steps = by_level(among) - by_level(hits)
    wrong = steps[::-1].cumsum(0)[::-1]
    return people[last], len(level) - np.searchsorted(level, level, side='left'), wrong


def _part_of(shown: np.ndarray, person: int) -> np.ndarray:
    """(n,) what detections that show somebody (n,) are where they are wrong."""
    which = [shown == person, shown == UNLABELLED, shown == NOBODY]
    kinds = [Part.SAME_PERSON, Part.UNLABELLED, Part.BACKGROUND]
    return np.select(which, kinds, Part.OTHER_IDENTITY)


HEIGHTS = (0, 50, 100, 150, 200, 300, 400)
"""Lower bounds of the classes of height, in original pixels."""

OCCLUSIONS = (0.0, 0.01, 0.1, 0.25, 0.5)
"""Lower bounds of the classes of :func:`covered_share`."""

APPEARANCES = (1, 2, 4, 8, 16, 32, 64)
"""Lower bounds of the classes of the number of appearances."""


@dataclass(frozen=True)
class Breakdown:
    """One way to divide the loss; the groups together are the whole.

    Attributes:
        groups: G mappings that say which group a row below is for: ``{'from': 50, 'below': 75}``,
            ``below`` None in the last class, or ``{'query_camera': 1, 'gallery_camera': 2}``. The
            values are None where something is lost at no appearance.
        searches: (G,) int64 searches with a share in the group.
        appearances: (G,) int64 appearances that should have been found.
        worth: (G,) float64, mAP of the group if nothing were lost. Sums to 1.
        parts: (G, K) float64, what each :class:`Part` takes. Sums to ``1 - mAP``.
    """

    groups: tuple[Mapping[str, float | None], ...]
    searches: np.ndarray
    appearances: np.ndarray
    worth: np.ndarray
    parts: np.ndarray

    @property
    def reached(self) -> np.ndarray:
        """(G,) share of its worth that each group keeps, 0..1."""
        return np.clip(1 - self.parts.sum(1) / self.worth, 0, 1)


class _Shares:
    """What mAP is made of: each appearance, then for each search what it loses at none."""

    def __init__(self, loss: SearchLoss) -> None:
        search, searches = loss.search_of_appearance, len(loss.queries)
        nowhere = np.flatnonzero(loss.parts[:, Part.REPEATED])
        repeated = np.zeros((len(nowhere), len(Part)))
        repeated[:, Part.REPEATED] = loss.parts[nowhere, Part.REPEATED]
        self.search = np.concatenate([search, nowhere])
        self.shown = np.arange(len(self.search)) < len(search)
        self.worth = np.concatenate([1 / loss.counts[search], repeated.sum(1)]) / searches
        self.parts = np.concatenate([loss.appearance_parts, repeated]) / searches

    def of_appearances(self, values: np.ndarray, otherwise: float) -> np.ndarray:
        """(U,) what the appearances (R,) have, and what is lost at none."""
        return np.concatenate([values, np.full((~self.shown).sum(), otherwise)])

    def by_value(self, values: np.ndarray, bounds: tuple[float, ...]) -> Breakdown:
        """Group by a value (U,) of each share, NaN for those at no appearance."""
        ends = zip(bounds, [*bounds[1:], None], strict=True)
        groups = [{'from': low, 'below': high} for low, high in ends]
        classes = np.searchsorted(bounds, values, side='right') - 1
        classes[np.isnan(values)] = len(bounds)
        return self.group(classes, [*groups, {'from': None, 'below': None}])

    def group(self, classes: np.ndarray, groups: Sequence[Mapping[str, float | None]]) -> Breakdown:
        """Add up the shares of each class; classes without any are left out."""
        used, row = np.unique(classes, return_inverse=True)
        row, searches = row.reshape(-1), self.search.max(initial=0) + 1
        once = np.unique(row * searches + self.search)
        columns = [np.bincount(row, column, len(used)) for column in self.parts.T]
        return Breakdown(
            groups=tuple(groups[k] for k in used),
            searches=np.bincount(once // searches, minlength=len(used)),
            appearances=np.bincount(row[self.shown], minlength=len(used)),
            worth=np.bincount(row, self.worth, len(used)),
            parts=np.stack(columns, axis=1),
        )


def break_down(annotations: SearchAnnotations, loss: SearchLoss) -> dict[str, Breakdown]:
    """Divide the loss of a diagnosis.

    Returns:
        ``camera_pair`` (absent where every camera is unknown), ``query_height``,
        ``gallery_height``, ``query_occlusion``, ``gallery_occlusion`` and ``appearances``. Where
        the query decides, :attr:`Breakdown.reached` is the mAP of the searches of a group.
    """
    shares, found, queries = _Shares(loss), loss.appearances, loss.queries
    person = annotations.query_person_ids[queries]
    own, boxes = annotations.query_images[queries], annotations.query_bboxes[queries]
    person_there = person[loss.search_of_appearance]
    values = {
        'height': (HEIGHTS, boxes[:, 3] - boxes[:, 1], found.bboxes[:, 3] - found.bboxes[:, 1]),
        'occlusion': (
            OCCLUSIONS,
            covered_share(annotations, own, boxes, person),
            covered_share(annotations, found.images, found.bboxes, person_there),
        ),
    }
    breakdowns = {}
    for name, (bounds, asked, there) in values.items():
        there = shares.of_appearances(there, np.nan)
        breakdowns[f'query_{name}'] = shares.by_value(asked[shares.search], bounds)
        breakdowns[f'gallery_{name}'] = shares.by_value(there, bounds)
    breakdowns['appearances'] = shares.by_value(loss.counts[shares.search], APPEARANCES)
    cameras, code = np.unique(annotations.cameras, return_inverse=True)
    if (cameras >= 0).any():
        names = [*cameras.tolist(), None]
        groups = [{'query_camera': q, 'gallery_camera': g} for q in names for g in names]
        there = shares.of_appearances(code[found.images], len(cameras))
        classes = code[own][shares.search] * len(names) + there
        breakdowns['camera_pair'] = shares.group(classes, groups)
    return breakdowns


def covered_share(
    annotations: SearchAnnotations, images: np.ndarray, bboxes: np.ndarray, person_ids: np.ndarray
) -> np.ndarray:
    """Largest share (n,) of each box (n, 4) xyxy that the box of one other annotated person covers.

    An estimate of occlusion, which data sets do not annotate. Boxes with the same id do not cover
    each other. ``images`` (n,) and ``person_ids`` (n,) are those of the boxes.
    """
    boxes, rows = gather_slices(annotations.box_splits, images)
    other = annotations.person_ids[rows] != person_ids[boxes]
    boxes, rows = boxes[other], rows[other]
    a, b = bboxes[boxes].astype(np.float64), annotations.bboxes[rows].astype(np.float64)
    overlap = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    share = np.clip(overlap, 0, None).prod(1) / (a[:, 2:] - a[:, :2]).prod(1)
    covered = np.zeros(len(images))
    np.maximum.at(covered, boxes, share)
    return covered


def diagnosis_report(
    annotations: SearchAnnotations, loss: SearchLoss, breakdowns: Mapping[str, Breakdown]
) -> dict[str, Any]:
    """Everything a diagnosis says, for a JSON file; all values are fractions of 1.

    Returns:
        ``mAP``; ``parts``, by name, which sum to ``1 - mAP``; ``appearances``, how many should have
        been found and how many were or were not, by reason; ``breakdowns``, a list of groups each;
        ``searches``, columns of equal length.
    """
    searches = {
        'query': loss.queries,
        'image': [annotations.image_names[i] for i in annotations.query_images[loss.queries]],
        'person_id': annotations.query_person_ids[loss.queries],
        'appearances': loss.counts,
        'average_precision': loss.average_precision,
    }
    by_reason = (loss.appearance_parts[:, Part.MISSED : Part.LOCALISED + 1] > 0).sum(0)
    reasons = [part.name.lower() for part in (Part.MISSED, Part.CUT, Part.LOCALISED)]
    return {
        'mAP': loss.mean_average_precision,
        'parts': _by_name(loss.mean_parts),
        'appearances': {
            'wanted': int(loss.counts.sum()),
            'found': int((~loss.not_found).sum()),
            **dict(zip(reasons, by_reason.tolist(), strict=True)),
        },
        'breakdowns': {
            name: [
                {
                    **group,
                    'searches': int(breakdown.searches[row]),
                    'appearances': int(breakdown.appearances[row]),
                    'worth': float(breakdown.worth[row]),
                    'reached': float(breakdown.reached[row]),
                    'parts': _by_name(breakdown.parts[row]),
                }
                for row, group in enumerate(breakdown.groups)
            ]
            for name, breakdown in breakdowns.items()
        },
        'searches': {
            **{name: np.asarray(column).tolist() for name, column in searches.items()},
            **{part.name.lower(): loss.parts[:, part].tolist() for part in Part},
        },
    }


def _by_name(parts: np.ndarray) -> dict[str, float]:
    return {part.name.lower(): float(parts[part]) for part in Part}
