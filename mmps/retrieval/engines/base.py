"""What a gallery asks of the engine that keeps its rows."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import numpy as np

from ..records import ModelTag, Where
from ..rows import Rows


class Engine(Protocol):
    """Keeps rows. It knows neither frames nor which rows count: that is the gallery's.

    Attributes:
        address: Where the rows are.
        model: Which model made their embeddings.
    """

    address: str
    model: ModelTag

    def version(self) -> Hashable:
        """Equal only where the rows are the same."""

    def read(self, *, embeddings: bool) -> tuple[Rows, np.ndarray | None]:
        """All rows, with their embeddings (n, D) float32 in one block if asked for.

        Raises:
            DamagedGalleryError: They are not what was written.
        """

    def add(self, rows: Rows, embeddings: np.ndarray) -> None:
        """Add rows, all of them or none, and return when a crash cannot lose them."""

    def newest(self, frame_ids: np.ndarray) -> int:
        """The largest batch number among the rows of some frames; 0 if they have none."""

    def remove(self, frame_ids: np.ndarray, before: int | None = None) -> None:
        """Remove the rows of frames, or only those of the batches with a smaller number."""

    def compact(self) -> str:
        """Erase what has been removed, for good, and make reading fast again.

        Returns:
            What is left all the same, for people; empty if nothing is.
        """

    def drop(self) -> None:
        """Erase everything."""

    def size(self) -> int | None:
        """Bytes taken, if known."""

    def build_index(self) -> None:
        """Make what :meth:`nearest` needs.

        Raises:
            GalleryError: The engine has no such thing.
        """

    def indexed(self) -> bool:
        """Whether it is there."""

    def nearest(
        self, queries: np.ndarray, limit: int, where: Where | None
    ) -> list[tuple[Rows, np.ndarray]]:
        """For each query (q, D), rows of people who are about the most similar, with embeddings."""
