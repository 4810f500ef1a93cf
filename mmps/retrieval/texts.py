"""Columns of strings, most of which repeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Texts:
    """A column of strings or None, each kept once.

    Attributes:
        codes: (n,) int32 index into ``values``; -1 is None.
        values: (v,) object array of the different strings; some may not occur.
    """

    codes: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Texts:
        """The column of some strings."""
        numbers: dict[str, int] = {}
        codes = [-1 if t is None else numbers.setdefault(t, len(numbers)) for t in texts]
        return cls(np.array(codes, np.int32), _objects(list(numbers)))

    @classmethod
    def concatenate(cls, columns: Sequence[Texts]) -> Texts:
        """One column after another."""
        numbers: dict[str, int] = {}
        codes = [np.zeros(0, np.int32)]
        for column in columns:
            table = [numbers.setdefault(value, len(numbers)) for value in column.values]
            codes.append(np.array([*table, -1], np.int32)[column.codes])
        return cls(np.concatenate(codes), _objects(list(numbers)))

    def take(self, rows: np.ndarray) -> Texts:
        """The column of some rows: indices (m,) or a mask (n,)."""
        return Texts(self.codes[rows], self.values)

    def repeat(self, counts: np.ndarray) -> Texts:
        """Each row ``counts`` (n,) times."""
        return Texts(np.repeat(self.codes, counts), self.values)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str | None:
        code = self.codes[row]
        return None if code < 0 else self.values[code]

    def to_list(self) -> list[str | None]:
        """The strings."""
        return np.append(self.values, None)[self.codes].tolist()

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Code of each string."""
        return dict(zip(self.values.tolist(), range(len(self.values)), strict=True))

    def containing(self, part: str) -> np.ndarray:
        """Codes of the strings that contain another; remembered."""
        if part not in self._containing:
            found = [code for code, value in enumerate(self.values) if part in value]
            self._containing[part] = np.array(found, np.int64)
        return self._containing[part]

    @cached_property
    def _containing(self) -> dict[str, np.ndarray]:
        return {}

    def used(self) -> list[str]:
        """The different strings that occur, sorted."""
        codes = np.unique(self.codes)
        return sorted(self.values[codes[codes >= 0]])


def _objects(values: list[str]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array
