"""What to search for once a user has said which hits are right and which are wrong."""

from __future__ import annotations

import numpy as np

RIGHT, WRONG = 0.75, 0.15
"""Weights of the mean right and the mean wrong hit, that of the mean query being 1: what the
textbook recommends (Manning et al., Introduction to Information Retrieval, section 9.1.1)."""


def refined_query(
    queries: np.ndarray, right: np.ndarray | None = None, wrong: np.ndarray | None = None
) -> np.ndarray:
    """One embedding to search with, for several pictures of a person and marked hits.

    The rule is Rocchio's: the mean of the queries, plus 0.75 times that of the right hits, minus
    0.15 times that of the wrong ones, scaled to unit norm.

    Args:
        queries: (q, D) embeddings of the person, q at least 1.
        right: (r, D) of hits that are the person.
        wrong: (w, D) of hits that are not.

    Returns:
        (D,) float32 of unit norm; for one query without marks that query itself, to the last bit.

    Raises:
        ValueError: There is no query, or nothing is left of the sum.
    """
    queries = np.asarray(queries, np.float32)
    if queries.ndim != 2 or not len(queries):
        raise ValueError('refined_query: queries must be (q, D) with at least one row')
    marked = [
        (weight, np.asarray(rows, np.float32))
        for weight, rows in ((RIGHT, right), (-WRONG, wrong))
        if rows is not None and len(rows)
    ]
    if len(queries) == 1 and not marked:
        return queries[0]
    total = queries.mean(0, dtype=np.float64)
    for weight, rows in marked:
        total = total + weight * rows.mean(0, dtype=np.float64)
    norm = np.linalg.norm(total)
    if norm < 1e-6:
        raise ValueError('the queries and marks cancel out; take some of them back')
    return (total / norm).astype(np.float32)
