"""The loss of a search by camera pair, height, occlusion and number of appearances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .annotations import SearchAnnotations
from .ragged import gather_slices
from .search_loss import Part, SearchLoss

HEIGHTS = (0, 50, 100, 150, 200, 300, 400)
"""Lower bounds of the classes of height, in original pixels."""

OCCLUSIONS = (0.0, 0.01, 0.1, 0.25, 0.5)
"""Lower bounds of the classes of :func:`covered_share`."""

APPEARANCES = (1, 2, 4, 8, 16, 32, 64)
"""Lower bounds of the classes of the number of appearances."""

UNKNOWN = -1
"""Class of what is lost at no appearance: :attr:`Part.REPEATED`."""


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


@dataclass(frozen=True)
class _Shares:
    """What mAP is made of: each appearance, and for each search what it loses at none.

    Attributes:
        search: (U,) int64.
        appearance: (U,) int64 row of the appearance, or :data:`UNKNOWN`.
        worth: (U,) float64.
        parts: (U, K) float64.
    """

    search: np.ndarray
    appearance: np.ndarray
    worth: np.ndarray
    parts: np.ndarray


def break_down(annotations: SearchAnnotations, loss: SearchLoss) -> dict[str, Breakdown]:
    """Divide the loss of a diagnosis.

    Args:
        annotations: Those that were diagnosed.
        loss: The diagnosis.

    Returns:
        ``camera_pair`` (absent where every camera is unknown), ``query_height``,
        ``gallery_height``, ``query_occlusion``, ``gallery_occlusion`` and ``appearances``. Where
        the query decides, :attr:`Breakdown.reached` is the mAP of the searches of a group.
    """
    shares = _shares(loss)
    found, queries = loss.appearances, loss.queries
    person = annotations.query_person_ids[queries]
    query_images = annotations.query_images[queries]
    query_boxes = annotations.query_bboxes[queries]
    query_cover = covered_share(annotations, query_images, query_boxes, person)
    cover = covered_share(
        annotations, found.images, found.bboxes, person[loss.search_of_appearance]
    )

    def by_query(values: np.ndarray, bounds: tuple[float, ...]) -> Breakdown:
        return _group(shares, _classes(values, bounds)[shares.search], _intervals(bounds))

    def by_appearance(values: np.ndarray, bounds: tuple[float, ...]) -> Breakdown:
        # what belongs to no appearance takes the last entry, by the index -1
        classes = np.append(_classes(values, bounds), len(bounds))
        return _group(
            shares,
            classes[shares.appearance],
            [*_intervals(bounds), {'from': None, 'below': None}],
        )

    breakdowns = {
        'query_height': by_query(query_boxes[:, 3] - query_boxes[:, 1], HEIGHTS),
        'gallery_height': by_appearance(found.bboxes[:, 3] - found.bboxes[:, 1], HEIGHTS),
        'query_occlusion': by_query(query_cover, OCCLUSIONS),
        'gallery_occlusion': by_appearance(cover, OCCLUSIONS),
        'appearances': by_query(loss.counts, APPEARANCES),
    }
    if (annotations.cameras >= 0).any():
        own = annotations.cameras[query_images]
        breakdowns['camera_pair'] = _by_camera_pair(shares, own, annotations.cameras[found.images])
    return breakdowns


def covered_share(
    annotations: SearchAnnotations, images: np.ndarray, bboxes: np.ndarray, person_ids: np.ndarray
) -> np.ndarray:
    """Largest share of each box that the box of one other annotated person covers.

    Data sets say nothing about occlusion. This stands in for it: somebody who is half covered by a
    neighbour's box is seen well at most in front of that neighbour.

    Args:
        annotations: Ground truth.
        images: (n,) int64 image of each box.
        bboxes: (n, 4) xyxy.
        person_ids: (n,) int64 whom each box shows; boxes with the same id do not cover it.

    Returns:
        (n,) float64, 0..1.
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


def _shares(loss: SearchLoss) -> _Shares:
    searches = len(loss.queries)
    search = loss.search_of_appearance
    worth = 1 / loss.counts[search]
    nowhere = np.zeros_like(loss.parts)
    nowhere[:, Part.REPEATED] = loss.parts[:, Part.REPEATED]
    empty = np.flatnonzero(nowhere.any(1))
    return _Shares(
        search=np.concatenate([search, empty]),
        appearance=np.concatenate([np.arange(len(search)), np.full(len(empty), UNKNOWN)]),
        worth=np.concatenate([worth, nowhere[empty].sum(1)]) / searches,
        parts=np.concatenate([loss.appearance_parts, nowhere[empty]]) / searches,
    )


def _classes(values: np.ndarray, bounds: tuple[float, ...]) -> np.ndarray:
    return np.searchsorted(bounds, values, side='right') - 1


def _intervals(bounds: tuple[float, ...]) -> list[dict[str, float | None]]:
    return [
        {'from': low, 'below': high} for low, high in zip(bounds, [*bounds[1:], None], strict=True)
    ]


def _group(
    shares: _Shares, classes: np.ndarray, groups: list[Mapping[str, float | None]]
) -> Breakdown:
    """Add up the shares of each class; classes without any are left out."""
    used, row = np.unique(classes, return_inverse=True)
    row = row.reshape(-1)
    searches = shares.search.max(initial=0) + 1
    once = np.unique(row * searches + shares.search)
    return Breakdown(
        groups=tuple(groups[k] for k in used),
        searches=np.bincount(once // searches, minlength=len(used)),
        appearances=np.bincount(row[shares.appearance != UNKNOWN], minlength=len(used)),
        worth=np.bincount(row, shares.worth, len(used)),
        parts=np.stack([np.bincount(row, column, len(used)) for column in shares.parts.T], axis=1),
    )


def _by_camera_pair(shares: _Shares, own: np.ndarray, seen: np.ndarray) -> Breakdown:
    """Group by the camera of the query (S,) and that of the appearance (R,)."""
    cameras, code = np.unique(np.concatenate([own, seen]), return_inverse=True)
    code = code.reshape(-1)
    size = len(cameras) + 1
    gallery_code = np.append(code[len(own) :], len(cameras))
    names = [*cameras.tolist(), None]
    groups = [{'query_camera': q, 'gallery_camera': g} for q in names for g in names]
    classes = code[: len(own)][shares.search] * size + gallery_code[shares.appearance]
    return _group(shares, classes, groups)
