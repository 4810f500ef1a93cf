"""What a gallery reads from its engine: only rows that count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from .exact_search import sorted_exactly
from .records import Hit, Where
from .rows import Rows


class Reader(Protocol):
    """Reads rows that count: of each frame what was written last."""

    def select(self, where: Where | None) -> Rows:
        """What passes a filter, empty frames included."""

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[tuple[Rows, np.ndarray]]:
        """All rows of ``step`` frames at a time, with their embeddings (n, D)."""

    def people(self, ids: np.ndarray) -> tuple[Rows, np.ndarray]:
        """Some people (m,) in that order, with their embeddings (m, D).

        Raises:
            KeyError: One is not there.
        """

    def search(
        self, queries: np.ndarray, top_k: int, where: Where | None, *, approximate: bool
    ) -> list[list[Hit]]:
        """The most similar people of each query (q, D)."""


def ranked(query: np.ndarray, rows: Rows, embeddings: np.ndarray, top_k: int) -> list[Hit]:
    """The people of some rows, with their embeddings (n, D), that look most like a query (D,)."""
    found = sorted_exactly(
        query, embeddings, np.arange(len(rows)), top_k, lambda some: tie_keys(rows.take(some))
    )
    return hits_of(rows, *found)


def hits_of(rows: Rows, places: np.ndarray, similarities: np.ndarray) -> list[Hit]:
    """The rows at some places (m,), with their similarities (m,)."""
    found = zip(places.tolist(), similarities.tolist(), strict=True)
    return [rows.hit(place, similarity) for place, similarity in found]


def tie_keys(rows: Rows) -> list[np.ndarray]:
    """What sorts equally similar people: source, frame, detection."""
    return [np.array(rows.texts['source'].to_list(), str), rows['frame'], rows['detection']]


def places_of(wanted: np.ndarray, ids: np.ndarray, order: np.ndarray | None = None) -> np.ndarray:
    """Where in ``ids`` (n,) each of ``wanted`` (m,) is.

    Args:
        wanted: Ids of people.
        ids: All ids.
        order: (n,) by which ``ids`` ascend, if known.

    Raises:
        KeyError: One is not there.
    """
    order = np.argsort(ids) if order is None else order
    ascending = ids[order]
    places = np.minimum(np.searchsorted(ascending, wanted), max(0, len(order) - 1))
    missing = ascending[places] != wanted if len(order) else np.ones(len(wanted), bool)
    if missing.any():
        raise KeyError(f'the gallery has nobody with id {wanted[missing][0]}')
    return order[places] if len(order) else places
