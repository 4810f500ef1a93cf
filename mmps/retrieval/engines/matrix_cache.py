"""The embeddings of a gallery once more, as one matrix in a file that memory is mapped to.

Reading a table copies it into newly allocated memory; mapping a file that the operating system
already holds copies nothing, is shared by all processes, and goes beyond the size of the memory.
New rows are appended to the file. Where rows are gone, it is written anew without them. It is only
a copy: whatever is wrong with it, it is made again from the table.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np

from mmps.utils.files import write_json

from .seals import digest

Fetch = Callable[[np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Given the row ids (m,) that are missing, gives ids and embeddings of those, part by part."""


class MatrixCache:
    """The matrix of a gallery. To be used by one process at a time.

    Args:
        folder: Where to keep it.
        dim: Length of the embeddings.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self._folder = folder
        self._dim = dim
        self._intact: list[str] = []

    def load(self, rows: np.ndarray, fetch: Fetch) -> tuple[np.ndarray | None, np.ndarray]:
        """The matrix of the rows of a table.

        Args:
            rows: (n,) int64 row ids.
            fetch: Gives what is not in the file.

        Returns:
            The order (n,) in which the rows stand in the matrix, None if as they are given; and
            the matrix (n, D) float32.
        """
        name, pieces = self._current()
        cached = self._map(name, pieces)[0]
        kept = len(cached)
        if not np.array_equal(cached, rows[:kept]):
            stays = np.isin(cached, rows)
            if not stays.all():
                name, pieces = self._rewrite(name, pieces, stays)
                cached = self._map(name, pieces)[0]
            missing = rows[~np.isin(rows, cached)]
        else:
            missing = rows[kept:]
        if len(missing):
            pieces = self._append(name, pieces, fetch(missing))
        cached, matrix = self._map(name, pieces)
        if np.array_equal(cached, rows):
            return None, matrix
        by_id = np.argsort(rows)
        return by_id[np.searchsorted(rows, cached, sorter=by_id)], matrix

    def erase(self) -> None:
        """Delete the file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _current(self) -> tuple[str, list[list]]:
        """Name of the files and their pieces, each its number of rows and its digest."""
        try:
            content = json.loads((self._folder / 'current.json').read_text())
            name, pieces = content['name'], content['pieces']
            start = 0
            for place, (count, seal) in enumerate(pieces):
                known = self._intact[place : place + 1] == [seal]
                if not known and self._digest(name, start, count) != seal:
                    raise ValueError(f'{name}: damaged')
                start += count
        except (OSError, ValueError, KeyError, TypeError):
            self.erase()
            return uuid4().hex, []
        self._intact = [seal for _, seal in pieces]
        return name, pieces

    def _map(self, name: str, pieces: list[list]) -> tuple[np.ndarray, np.ndarray]:
        count = sum(count for count, _ in pieces)
        if not count:
            return np.zeros(0, np.int64), np.zeros((0, self._dim), np.float32)
        ids, embeddings = self._files(name)
        return (
            np.asarray(np.memmap(ids, np.int64, 'r', shape=(count,))),
            np.asarray(np.memmap(embeddings, np.float32, 'r', shape=(count, self._dim))),
        )

    def _rewrite(self, name: str, pieces: list[list], stays: np.ndarray) -> tuple[str, list[list]]:
        cached, matrix = self._map(name, pieces)
        step = 2**14
        parts = (
            (cached[i : i + step][stays[i : i + step]], matrix[i : i + step][stays[i : i + step]])
            for i in range(0, len(cached), step)
        )
        fresh = uuid4().hex
        pieces = self._append(fresh, [], parts)
        for file in self._files(name):
            file.unlink()
        return fresh, pieces

    def _append(
        self, name: str, pieces: list[list], parts: Iterator[tuple[np.ndarray, np.ndarray]]
    ) -> list[list]:
        start, added = sum(count for count, _ in pieces), 0
        self._folder.mkdir(exist_ok=True)
        ids, embeddings = self._files(name)
        with open(ids, 'ab') as id_file, open(embeddings, 'ab') as embedding_file:
            # what a killed process wrote is not in the list
            id_file.truncate(start * 8)
            embedding_file.truncate(start * 4 * self._dim)
            for part_ids, part in parts:
                id_file.write(np.ascontiguousarray(part_ids, np.int64))
                embedding_file.write(np.ascontiguousarray(part, np.float32))
                added += len(part_ids)
        pieces = [*pieces, [added, self._digest(name, start, added)]]
        write_json(self._folder / 'current.json', {'name': name, 'pieces': pieces})
        self._intact = [seal for _, seal in pieces]
        return pieces

    def _digest(self, name: str, start: int, count: int) -> str:
        ids, embeddings = self._files(name)
        width = 4 * self._dim
        return digest(ids, 8 * start, 8 * count) + digest(embeddings, width * start, width * count)

    def _files(self, name: str) -> tuple[Path, Path]:
        return self._folder / f'{name}.ids', self._folder / f'{name}.embeddings'
