"""What a gallery asks of the engine that keeps its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mmps.evaluation.functional.similarities import sorted_exactly

from .records import Hit, ModelTag, Where
from .rows import hits_of, tie_keys

if TYPE_CHECKING:
    import pyarrow as pa

SPREAD = 8
"""Detections looked at for each appearance wanted, and so many times as many where that is not
enough."""


class Engine(Protocol):
    """Keeps rows, as :mod:`mmps.retrieval.rows` describes them, and searches among them.

    Every method that reads compares what it reads with its checksums.

    Attributes:
        address: Where the rows are.
        model: Which model made their embeddings.
        folder: The folder of the gallery on this machine, if it has one.
        indexed: Whether there is an index, so that a search can be approximate.
    """

    address: str
    model: ModelTag
    folder: Path | None

    @property
    def indexed(self) -> bool: ...

    def select(self, where: Where | None) -> pa.Table:
        """Rows that pass a filter, empty frames included, without embeddings.

        Raises:
            DamagedGalleryError: They are not what was written. So do the other methods that read.
        """

    def count(self, where: Where | None) -> int:
        """How many people pass a filter."""

    def people(self, ids: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """Some people (m,) in that order, and their embeddings (m, D).

        Raises:
            KeyError: One is not there.
        """

    def of_tracklets(self, tracklets: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        """All people (m,) of some tracklets (t,), and their embeddings (m, D)."""

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[pa.Table]:
        """All rows of ``step`` frames at a time, with their embeddings."""

    def search(
        self,
        queries: np.ndarray,
        top_k: int,
        where: Where | None,
        *,
        of_each: bool,
        approximate: bool,
        scene_filters: np.ndarray | None = None,
    ) -> list[list[Hit]]:
        """The most similar people of each query (q, D), best first.

        Args:
            of_each: Of each tracklet only the most similar; who is in none counts.
            scene_filters: (q, p, 3 * S + 2), given only where the model embeds scenes: they weigh
                the similarities, which are then computed exactly.
        """

    def sample(self, count: int) -> np.ndarray:
        """Embeddings (m, D) of about so many people, spread evenly over all."""

    def levels(self, queries: np.ndarray, top_k: int) -> np.ndarray:
        """Similarity (q,) of the ``top_k``-th best of each query (q, D), or less by rounding; that
        of the last one where there are fewer.
        """

    def replace(self, rows: pa.Table) -> None:
        """Put rows in the place of all rows of their frames, and return when a crash cannot lose
        them. A crash before leaves each frame as it was.
        """

    def remove(self, chosen: Where | np.ndarray) -> None:
        """Remove the rows that pass a filter, empty frames included, or people by id (m,)."""

    def compact(self) -> str:
        """Erase what has been removed, for good, and make reading fast again.

        Says, for people, what is left all the same; empty if nothing is.
        """

    def build_index(self) -> None:
        """Make what an approximate search needs."""

    def size(self) -> int | None:
        """Bytes taken, if known."""

    def drop(self) -> None:
        """Erase everything."""


def one_of_each(
    search: Callable[[np.ndarray, int], list[list[Hit]]], queries: np.ndarray, top_k: int
) -> list[list[Hit]]:
    """Of each tracklet the first hit, by a search of queries (q, D) for so many people."""
    found: dict[int, list[Hit]] = {}
    many = SPREAD * top_k
    while left := [number for number in range(len(queries)) if number not in found]:
        for number, hits in zip(left, search(queries[left], many), strict=True):
            first: dict[int, Hit] = {}
            for hit in hits:
                first.setdefault(hit.tracklet or hit.id, hit)
            if len(first) >= top_k or len(hits) < many:
                found[number] = [*first.values()][:top_k]
        many *= SPREAD
    return [found[number] for number in range(len(queries))]


def ranked(query: np.ndarray, rows: pa.Table, embeddings: np.ndarray, top_k: int) -> list[Hit]:
    """The people of some rows, with their embeddings (n, D), that look most like a query (D,)."""
    every = np.arange(len(rows))
    places, similarities = sorted_exactly(
        query, embeddings, every, top_k, lambda some: tie_keys(rows, some)
    )
    return hits_of(rows.take(places), similarities)
