"""Arrays of numbers and text that follow each other, found and read by their tags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mat5 import CHAR, COMPLEX_FLAG, MATRIX, NUMBERS, NUMERIC_CLASSES
from .table import Irregular, Numbers

_NUMBER_BYTES = {kind: int(name[1]) for kind, name in NUMBERS.items()}
CHARACTER_BYTES = {1: 1, 2: 1, 4: 2, 16: 1, 17: 2}
_FLAGS_TAG = 6 | 8 << 32
_DIMS_TAG = 5 | 8 << 32
_NAME_TAG = 1
LEAF_WORDS = 7
"""Of eight bytes: its tag, flags and dimensions (two each), its name and the tag of its data."""


def find_leaves(words: np.ndarray) -> np.ndarray:
    """Where arrays seem to start: the first word behind an array's tag is the same for all."""
    return np.flatnonzero(words == _FLAGS_TAG) - 1


@dataclass(frozen=True)
class Places:
    """Where the values of n arrays of one class are.

    Attributes:
        is_text: Whether they are text or numbers.
        kind: (n,) type the values are stored as.
        size: (n,) bytes.
        data: (n,) first byte.
        shape: (n, 2) rows and columns.
    """

    is_text: bool
    kind: np.ndarray
    size: np.ndarray
    data: np.ndarray
    shape: np.ndarray


class Leaves:
    """Arrays that follow each other without a gap.

    That each ends where the next one begins proves that nothing else has been taken for one.

    Args:
        content: Their bytes, a multiple of eight.
        count: How many there have to be.

    Attributes:
        starts: (count,) int64 word that each starts with.

    Raises:
        Irregular: There are others.
    """

    def __init__(self, content: bytes, count: int) -> None:
        self._bytes = np.frombuffer(content, np.uint8)
        self._words = np.frombuffer(content, '<u8')
        self._halves = np.frombuffer(content, '<u4').reshape(-1, 2)
        starts = find_leaves(self._words)
        if len(starts) != count or starts[:1].any():
            raise Irregular
        tag, size = self._halves[starts].T.astype(np.int64)
        ends = starts + 1 + size // 8
        chained = (ends == np.append(starts, len(self._words))[1:]).all()
        regular = (tag == MATRIX) & (size % 8 == 0) & (ends - starts >= LEAF_WORDS)
        if not chained or not regular.all():
            raise Irregular
        self.starts, self._ends = starts, ends

    def places(self, first: int, step: int) -> Places:
        """Where the values of every ``step``-th leaf from ``first`` on are.

        Raises:
            Irregular: They are neither text everywhere nor real numbers everywhere.
        """
        starts, ends = self.starts[first::step], self._ends[first::step]
        plain = (self._words[starts + 3] == _DIMS_TAG) & (self._words[starts + 5] == _NAME_TAG)
        flags, tag = self._halves[starts + 2, 0], self._halves[starts + 6].astype(np.int64)
        short = tag[:, 0] >> 16
        kind, size = tag[:, 0] & 0xFFFF, np.where(short, short, tag[:, 1])
        data = 8 * starts + 48 + np.where(short, 4, 8)
        fits = (short <= 4) & (-(-(data + size) // 8) == ends)
        if not (plain & fits & (flags & COMPLEX_FLAG == 0)).all():
            raise Irregular
        shape = self._halves[starts + 4].astype(np.int64)
        array_class = flags & 0xFF
        is_text = bool((array_class == CHAR).all())
        if not is_text and not np.isin(array_class, NUMERIC_CLASSES).all():
            raise Irregular
        return Places(is_text, kind, size, data, shape)

    def column(self, first: int, step: int) -> np.ndarray | Numbers:
        """Every ``step``-th leaf from ``first`` on.

        Raises:
            Irregular: They are neither plain text everywhere nor real numbers everywhere.
        """
        found = self.places(first, step)
        read = self._text if found.is_text else self._numbers
        return read(found.kind, found.size, found.data, found.shape)

    def _text(
        self, kind: np.ndarray, size: np.ndarray, data: np.ndarray, shape: np.ndarray
    ) -> np.ndarray:
        width = _lookup(kind, CHARACTER_BYTES)
        length = size // width
        if (size % width).any() or ((length > 0) & (shape[:, 0] != 1)).any():
            raise Irregular
        column = np.arange(max(1, int(length.max())))
        inside = column < length[:, None]
        place = np.where(inside, data[:, None] + column * width[:, None], 0)
        letters = np.where(inside, self._bytes[place], 0)
        upper = inside & (width == 2)[:, None]
        plain = np.where(inside, (letters > 0) & (letters < 128), True).all()
        if not plain or self._bytes[place[upper] + 1].any():
            raise Irregular
        return np.ascontiguousarray(letters, np.uint8).view(f'S{len(column)}')[:, 0]

    def _numbers(
        self, kind: np.ndarray, size: np.ndarray, data: np.ndarray, shape: np.ndarray
    ) -> Numbers:
        count = shape[:, 0] * shape[:, 1]
        if (size != count * _lookup(kind, _NUMBER_BYTES)).any():
            raise Irregular
        splits = np.concatenate([[0], np.cumsum(count)])
        values = np.empty(splits[-1])
        for number in np.unique(kind[count > 0]):
            dtype = np.dtype(f'<{NUMBERS[int(number)]}')
            rows = np.flatnonzero((kind == number) & (count > 0))
            to = np.concatenate([np.arange(splits[row], splits[row + 1]) for row in rows])
            offset = to - np.repeat(splits[rows], count[rows])
            place = np.repeat(data[rows], count[rows]) + dtype.itemsize * offset
            raw = self._bytes[place[:, None] + np.arange(dtype.itemsize)]
            values[to] = raw.view(dtype)[:, 0]
        return Numbers(values, splits)


def _lookup(kind: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """``table[k]`` for each k of ``kind``."""
    values = np.zeros(32, np.int64)
    values[list(table)] = list(table.values())
    found = values[np.minimum(kind, 31)]
    if not found.all():
        raise Irregular
    return found
