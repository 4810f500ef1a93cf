"""Context bipartite graph matching: people who walk together support each other's match.

Source: Li and Miao, Sequential End-to-end Network for Efficient Person Search (AAAI 2021), section
"Context Bipartite Graph Matching".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .annotations import SearchAnnotations, gather_slices, splits_of
from .matching import box_iou
from .predictions import SearchPredictions
from .similarities import Similarities

SAME_PERSON_IOU = 0.5
"""A detection that overlaps the query's box by more is the query, not its context."""


@dataclass(frozen=True)
class ContextMatching:
    """Options of the matching; the defaults are the source's for PRW.

    Example:
        >>> from mmps.evaluation.functional import evaluate_search
        >>> from mmps.testing.search import tiny_test_set
        >>> evaluate_search(*tiny_test_set())['top1']
        0.5
        >>> evaluate_search(*tiny_test_set(), context_matching=ContextMatching(k1=10, k2=3))['top1']
        1.0

    Attributes:
        k1: Only images that hold one of the ``k1`` most similar detections are matched again.
            Detections as similar as the last of them belong to them. CUHK-SYSU: 10.
        k2: How many people of the query's image take part, the query included. CUHK-SYSU: 3.
        similarity: What the detection assigned to the query receives: ``'max'``, the largest edge
            of the assignment (SeqNet), ``'mean'`` of that and its own similarity (PSTR), or
            ``'sum'`` of all its edges, the weight of the assignment.

    Raises:
        ValueError: An option out of range.
    """

    k1: int = 30
    k2: int = 4
    similarity: Literal['max', 'mean', 'sum'] = 'max'

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or self.similarity not in _REVISED:
            raise ValueError(
                f'context_matching: k1 and k2 must be at least 1 and similarity one of '
                f'{list(_REVISED)}; {self} given'
            )


_REVISED: dict[str, Callable[[np.ndarray], float]] = {
    'max': lambda edges: edges.max(),
    'mean': lambda edges: (edges.max() + edges[0]) / 2,
    'sum': lambda edges: edges.sum(),
}
"""What the query's match receives, from the edges of the assignment, the query's own first."""


def query_contexts(
    annotations: SearchAnnotations, predictions: SearchPredictions, k2: int
) -> list[np.ndarray]:
    """For each query (1..k2, D) float32 embeddings of it and the people around it, itself first.

    Without context arrays in the predictions, they are what was detected in its image, apart from
    the query, in descending order of score.

    Raises:
        ValueError: Row 0 of a given context is not the query.
    """
    queries = predictions.query_embeddings
    splits, rows = predictions.query_context_splits, predictions.query_context_embeddings
    if rows is not None:
        cosine = np.einsum('qd,qd->q', rows[splits[:-1]], queries)
        if (cosine < 0.99).any():
            query = int(np.flatnonzero(cosine < 0.99)[0])
            raise ValueError(
                f'query_context_embeddings: the first row of query {query} is not the query '
                f'(cosine {cosine[query]:.3f}); put the query first in its slice'
            )
        return [rows[a : min(b, a + k2)] for a, b in zip(splits, splits[1:], strict=False)]
    owners, found = gather_slices(predictions.image_splits, annotations.query_images)
    iou = box_iou(annotations.query_bboxes[owners], predictions.bboxes[found])
    keep = iou <= SAME_PERSON_IOU
    owners, found = owners[keep], found[keep]
    order = np.lexsort((-predictions.scores[found], owners))
    owners, found = owners[order], found[order]
    cuts = splits_of(owners, len(queries))
    return [
        np.concatenate([queries[q, None], predictions.embeddings[found[a : min(b, a + k2 - 1)]]])
        for q, (a, b) in enumerate(zip(cuts, cuts[1:], strict=False))
    ]


def match_context(
    query: int,
    row: np.ndarray,
    columns: np.ndarray,
    context: np.ndarray,
    splits: np.ndarray,
    similarities: Similarities,
    options: ContextMatching,
) -> np.ndarray:
    """Revise one query's similarities ``row`` (N,) in place; gives the detections that are final.

    ``columns`` (n,) are the detections of its gallery, ``splits`` (I+1,) those of each image;
    row 0 of the embeddings ``context`` (c, D) is the query.
    """
    # importing scipy.optimize takes longer than most evaluations that have no context
    from scipy.optimize import linear_sum_assignment

    if not len(columns):
        return columns
    values = row[columns]
    near = columns[values >= _kth_largest(values, options.k1) - similarities.margin]
    row[near] = similarities.exact(query, near)
    near = near[row[near] >= _kth_largest(row[near], options.k1)]
    images = np.unique(np.searchsorted(splits, near, side='right') - 1)
    owners, rows = gather_slices(splits, images)
    edges = similarities.to_context(context, rows)
    edges[0] = row[rows] = similarities.exact(query, rows)
    ends = splits_of(owners, len(images))
    revise = _REVISED[options.similarity]
    for a, b in zip(ends, ends[1:], strict=False):
        people, detections = linear_sum_assignment(edges[:, a:b], maximize=True)
        # the people come back in ascending order, so the query is first if it was assigned at all
        if people[0] == 0:
            row[rows[a + detections[0]]] = revise(edges[people, a + detections])
    return rows


def _kth_largest(values: np.ndarray, k: int) -> np.ndarray:
    place = max(len(values) - k, 0)
    return np.partition(values, place)[place]
