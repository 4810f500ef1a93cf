"""What a gallery asks of the engine that keeps its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .records import ModelTag, Where
from .rows import Found, Search

if TYPE_CHECKING:
    import pyarrow as pa


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

    def having(self, name: str, numbers: np.ndarray, *, stored: bool = False) -> pa.Table:
        """People with one of some numbers (k,) in a column, in any order, with embeddings.

        ``stored``: as they are kept, with all columns, empty frames included.
        """

    def frames(self, frame_ids: np.ndarray, step: int = 10_000) -> Iterator[pa.Table]:
        """All rows of ``step`` frames at a time, as they are kept."""
        for some in np.split(frame_ids, range(step, len(frame_ids), step)):
            rows = self.having('frame_id', some, stored=True)
            if len(rows):
                yield rows

    def search(self, asked: Search) -> list[Found]:
        """The most similar people of each query."""

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
