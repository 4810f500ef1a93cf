"""The bytes of a MATLAB 5 struct array, taken apart by numpy without an object per value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from .mat5 import CHAR, COMPLEX_FLAG, MATRIX, NUMBERS, NUMERIC_CLASSES, STRUCT, Elements, Head

_NUMBER_BYTES = {kind: int(name[1]) for kind, name in NUMBERS.items()}
_CHARACTER_BYTES = {1: 1, 2: 1, 4: 2, 16: 1, 17: 2}
_FLAGS_TAG = 6 | 8 << 32
_DIMS_TAG = 5 | 8 << 32
_NAME_TAG = 1
_LEAF_WORDS = 7
"""Of eight bytes: its tag, flags and dimensions (two each), its name and the tag of its data."""
_BATCH_BYTES = 2**22
_BLOCK_BYTES = 2**24


class Irregular(ValueError):
    """The bytes are not of the form that this reader knows."""


@dataclass(frozen=True)
class Numbers:
    """Numeric arrays of n structs, flattened: row i is ``values[splits[i]:splits[i+1]]``.

    Attributes:
        values: (K,) float64.
        splits: (n+1,) int64.
    """

    values: np.ndarray
    splits: np.ndarray


@dataclass(frozen=True)
class Table:
    """Struct arrays, one behind the other.

    Attributes:
        columns: By field, (n,) bytes of UTF-8 text, or :class:`Numbers`.
        splits: (a+1,) int64. Rows ``splits[i]:splits[i+1]`` of the columns are array i.
    """

    columns: dict[str, np.ndarray | Numbers]
    splits: np.ndarray


def read_element(stream: BinaryIO) -> bytes:
    """The next data element with its tag and its padding."""
    tag = stream.read(8)
    if len(tag) < 8:
        raise Irregular
    kind, size = int.from_bytes(tag[:4], 'little'), int.from_bytes(tag[4:], 'little')
    if kind >> 16:  # tag and content share eight bytes
        return tag
    parts, left = [tag], size + -size % 8
    while left:  # a damaged size must not ask for memory that the stream cannot fill
        parts.append(stream.read(min(left, _BLOCK_BYTES)))
        left -= len(parts[-1])
        if not parts[-1]:
            raise Irregular
    return b''.join(parts)


def struct_head(content: bytes) -> tuple[Head, list[str], int]:
    """Of an array without its tag: its head, its fields, and where their values start.

    Raises:
        ValueError: It is no array of structs.
    """
    elements = Elements(content, '<')
    head, at = elements.head(0, len(content))
    if head.kind != STRUCT:
        raise Irregular
    return head, *elements.field_names(at, len(content))


class StructArrays:
    """Struct arrays that are added one by one and taken apart many at a time.

    Args:
        wanted: Fields to give; each has to hold text or real numbers in every struct.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self._names: list[str] = []
        self._counts: list[int] = []
        self._waiting: list[tuple[int, bytes]] = []
        self._bytes = 0
        self._done: dict[str, list[np.ndarray | Numbers]] = {name: [] for name in wanted}

    def add(self, content: bytes) -> None:
        """Add an array, given without its tag.

        Raises:
            ValueError: It is none, or its fields are others than those of the arrays before.
        """
        head, names, start = struct_head(content)
        self._names = self._names or names
        if names != self._names or not set(self._wanted) <= set(names):
            raise Irregular
        self._counts.append(head.size)
        leaves = content[start:]
        if head.size or leaves:
            self._waiting.append((head.size * len(names), leaves))
        self._bytes += len(leaves)
        if self._bytes > _BATCH_BYTES:
            self._take_apart()

    def finish(self) -> Table:
        """Everything that was added."""
        self._take_apart()
        columns = {name: _joined(parts) for name, parts in self._done.items()}
        return Table(columns, np.cumsum([0, *self._counts]))

    def _take_apart(self) -> None:
        if self._waiting:
            leaves = _Leaves(self._waiting)
            for name, parts in self._done.items():
                parts.append(leaves.column(self._names.index(name), len(self._names)))
        self._waiting, self._bytes = [], 0


def _joined(parts: list[np.ndarray | Numbers]) -> np.ndarray | Numbers:
    if not parts:
        return np.empty(0, 'S1')
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    if not all(isinstance(part, Numbers) for part in parts):
        raise Irregular
    counts = np.concatenate([np.diff(part.splits) for part in parts])
    return Numbers(np.concatenate([p.values for p in parts]), np.cumsum([0, *counts]))


class _Leaves:
    """Arrays that follow each other without a gap.

    The first word behind a leaf's tag is the same for all. That finds the leaves, and that each
    ends where the next one begins proves that nothing else has been taken for one.

    Args:
        groups: Pairs of the number of leaves and their bytes.
    """

    def __init__(self, groups: list[tuple[int, bytes]]) -> None:
        content = b''.join(content for _, content in groups)
        if any(len(content) % 8 for _, content in groups):
            raise Irregular
        self._bytes = np.frombuffer(content, np.uint8)
        self._words = np.frombuffer(content, '<u8')
        self._halves = np.frombuffer(content, '<u4').reshape(-1, 2)
        starts = np.flatnonzero(self._words == _FLAGS_TAG) - 1
        last = np.cumsum([0, *(count for count, _ in groups)])
        if len(starts) != last[-1]:
            raise Irregular
        tag, size = self._halves[starts].T.astype(np.int64)
        ends = starts + 1 + size // 8
        bounds = np.append(starts, len(self._words))
        group_bounds = np.cumsum([0, *(len(content) // 8 for _, content in groups)])
        chained = (ends == bounds[1:]).all() and (bounds[last] == group_bounds).all()
        regular = (tag == MATRIX) & (size % 8 == 0) & (ends - starts >= _LEAF_WORDS)
        if not chained or not regular.all():
            raise Irregular
        self._starts, self._ends = starts, ends

    def column(self, first: int, step: int) -> np.ndarray | Numbers:
        """Every ``step``-th leaf from ``first`` on."""
        starts, ends = self._starts[first::step], self._ends[first::step]
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
        if (array_class == CHAR).all():
            return self._text(kind, size, data, shape)
        if np.isin(array_class, NUMERIC_CLASSES).all():
            return self._numbers(kind, size, data, shape)
        raise Irregular

    def _text(
        self, kind: np.ndarray, size: np.ndarray, data: np.ndarray, shape: np.ndarray
    ) -> np.ndarray:
        width = _lookup(kind, _CHARACTER_BYTES)
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
