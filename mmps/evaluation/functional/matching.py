"""Which detections count as found people, and the average precision of a ranking of them."""

from __future__ import annotations

import numpy as np

from .annotations import gather_slices, owners_of

IouRule = float | str
"""A number in 0..1, or ``'adaptive'``; see :func:`iou_thresholds`."""


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU (n,) float64 of corresponding boxes (n, 4) xyxy; 0 where one has no area."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    overlap = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inter = np.clip(overlap, 0, None).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    return np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)


def check_iou_rule(rule: IouRule) -> None:
    """Raise ``ValueError`` unless ``rule`` is ``'adaptive'`` or a number in (0, 1]."""
    number = isinstance(rule, (int, float)) and not isinstance(rule, bool) and 0 < rule <= 1
    if not number and rule != 'adaptive':
        raise ValueError(f"iou_thr: {rule!r} given; use 'adaptive' or a number in (0, 1]")


def iou_thresholds(bboxes: np.ndarray, rule: IouRule) -> np.ndarray:
    """IoU (n,) float64 that a detection must reach to count as each annotated person, (n, 4) xyxy.

    ``'adaptive'`` forgives small people an error of about ten pixels: the threshold is
    ``min(0.5, w h / ((w + 10) (h + 10)))`` (OIM, Xiao et al. 2017, evaluation protocol).
    """
    check_iou_rule(rule)
    if not isinstance(rule, str):
        return np.full(len(bboxes), float(rule))
    size = (bboxes[:, 2:] - bboxes[:, :2]).astype(np.float64)
    return np.minimum(0.5, size.prod(1) / (size + 10).prod(1))


def match_people(
    images: np.ndarray,
    bboxes: np.ndarray,
    splits: np.ndarray,
    detections: np.ndarray,
    rules: list[IouRule],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find the detections that may stand for each annotated person.

    People have an image (P,) int64 and a box (P, 4) xyxy; rows ``splits`` (I+1,) of the boxes
    ``detections`` (N, 4) belong to an image.

    Returns:
        For each IoU rule ``(people, rows)``: person ``people[i]`` may be detection ``rows[i]``, in
        ascending order of people.
    """
    people, rows = gather_slices(splits, images)
    iou = box_iou(bboxes[people], detections[rows])
    found = []
    for rule in rules:
        keep = iou >= iou_thresholds(bboxes, rule)[people]
        found.append((people[keep], rows[keep]))
    return found


def match_mutually(
    gt_splits: np.ndarray,
    gt_bboxes: np.ndarray,
    splits: np.ndarray,
    detections: np.ndarray,
    scores: np.ndarray,
    iou_thr: float,
) -> np.ndarray:
    """(N,) bool: which detections and annotated boxes are each other's best, from ``iou_thr`` on.

    Of several annotated boxes with the same IoU a detection takes the first; of several detections
    with the same IoU an annotated box takes the highest score, then the first. The splits (I+1,)
    say which rows of the boxes (G, 4) and (N, 4) xyxy, and of ``scores`` (N,), an image has.
    """
    gts, rows = gather_slices(splits, owners_of(gt_splits))
    iou = box_iou(gt_bboxes[gts], detections[rows])
    # a pair below the threshold cannot be anybody's best if a pair above it exists
    keep = iou >= iou_thr
    gts, rows, iou = gts[keep], rows[keep], iou[keep]
    of_row = _first_of_each(np.lexsort((gts, -iou, rows)), rows)
    of_gt = _first_of_each(np.lexsort((rows, -scores[rows], -iou, gts)), gts)
    found = np.zeros(len(detections), bool)
    found[rows[np.intersect1d(of_row, of_gt)]] = True
    return found


def _first_of_each(order: np.ndarray, keys: np.ndarray) -> np.ndarray:
    return order[np.unique(keys[order], return_index=True)[1]]


def entries_above(hits: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    """How many (t,) of all scores, ``ranked`` (n,) ascending, reach those of ``hits`` (t,)."""
    return len(ranked) - ranked.searchsorted(hits)


def average_precision(hits: np.ndarray, entries: np.ndarray, positives: int) -> float:
    """Average precision times recall, person search's AP.

    The area under the step-wise precision-recall curve (scikit-learn's definition: one point per
    distinct score, no interpolation) is the mean precision at the t right entries; times the recall
    ``t / positives`` it is the sum of those precisions over ``positives``. Equal scores share a
    threshold, so the order of the input does not matter.

    Args:
        hits: (t,) scores of the right entries.
        entries: (t,) how many entries, right or wrong, score at least as much as each of them.
        positives: How many entries should have been found, at least t.

    Returns:
        A number in 0..1; 0 where nothing was found.
    """
    if not len(hits):
        return 0.0
    ordered = hits.copy()
    ordered.sort()
    precisions = entries_above(hits, ordered) / entries
    # in an order that is not the input's, on which the last bit of a sum would depend
    precisions.sort()
    return float(precisions.sum() / positives)


def best_rank(hits: np.ndarray, entries: np.ndarray) -> int:
    """Rank of the best right entry, from 1, behind all wrong entries of the same score.

    0 where nothing was found. The arguments are those of :func:`average_precision`.
    """
    if not len(hits):
        return 0
    best = hits.argmax()
    return int(entries[best] - np.count_nonzero(hits == hits[best]) + 1)
