"""The bytes of a MATLAB 5 struct array, taken apart by numpy without an object per value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from .layouts import read_columns
from .mat5 import STRUCT, Elements, Head
from .table import Irregular, Numbers, Table

_BATCH_BYTES = 2**22
_BLOCK_BYTES = 2**24
_HEAD_BYTES = 2**12
"""More than name and fields of an array take that this reader is meant for."""


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


def struct_head(content: bytes | memoryview) -> tuple[Head, list[str], int]:
    """Of an array without its tag: its head, its fields, and where their values start.

    Raises:
        ValueError: It is no array of structs.
    """
    front = bytes(content[:_HEAD_BYTES])
    elements = Elements(front, '<')
    head, at = elements.head(0, len(front))
    if head.kind != STRUCT:
        raise Irregular
    return head, *elements.field_names(at, len(front))


class StructArrays:
    """Struct arrays that are added one by one and taken apart many at a time.

    Args:
        wanted: Fields to give; each has to hold text or real numbers in every struct.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = wanted
        self._names: list[str] = []
        self._counts: list[int] = []
        self._waiting: list[tuple[int, bytes | memoryview]] = []
        self._bytes = 0
        self._done: dict[str, list[np.ndarray | Numbers]] = {name: [] for name in wanted}

    def add(self, content: bytes | memoryview) -> None:
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
            self._waiting.append((head.size, leaves))
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
            places = [self._names.index(name) for name in self._done]
            columns = read_columns(self._waiting, places, len(self._names))
            for parts, column in zip(self._done.values(), columns, strict=True):
                parts.append(column)
        self._waiting, self._bytes = [], 0


def _joined(parts: list[np.ndarray | Numbers]) -> np.ndarray | Numbers:
    if not parts:
        return np.empty(0, 'S1')
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    if not all(isinstance(part, Numbers) for part in parts):
        raise Irregular
    counts = np.concatenate([np.diff(part.splits) for part in parts])
    splits = np.concatenate([[0], np.cumsum(counts)])
    return Numbers(np.concatenate([part.values for part in parts]), splits)
