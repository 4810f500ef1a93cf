"""What struct arrays are read into: a column for each field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
