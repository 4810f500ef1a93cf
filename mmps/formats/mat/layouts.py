"""Structs that differ in nothing but the values of their arrays, taken apart together.

Of the millions of structs in a search protocol nearly all have a name of nine or ten letters and no
box. Where the tags, types and sizes of one of them stand, another with the same words there has the
same, so that only the first has to be followed from tag to tag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .leaves import CHARACTER_BYTES, LEAF_WORDS, Leaves, Places, find_leaves
from .mat5 import NUMBERS
from .table import Irregular, Numbers

_MOST_LAYOUTS = 16
_FEWEST_STRUCTS = 200
"""Layouts to look for among structs of one length, and structs for which that is worth it. What is
left is followed from tag to tag."""

Column = np.ndarray | Numbers


def read_columns(
    groups: Sequence[tuple[int, bytes | memoryview]], wanted: Sequence[int], fields: int
) -> list[Column]:
    """Columns of structs that follow each other without a gap.

    Args:
        groups: Pairs of a number of structs and the bytes of all their arrays.
        wanted: Which of the fields to give.
        fields: How many there are.

    Raises:
        Irregular: The bytes are no such structs, or a field is neither plain text everywhere nor
            real numbers everywhere.
    """
    content = b''.join(part for _, part in groups)
    if any(len(part) % 8 for _, part in groups):
        raise Irregular
    words = np.frombuffer(content, '<u8')
    leaves = find_leaves(words)
    last = np.cumsum([0, *(count for count, _ in groups)])
    if len(leaves) != last[-1] * fields:
        raise Irregular
    bounds = np.append(leaves[::fields], len(words))
    if (bounds[last] != np.cumsum([0, *(len(part) // 8 for _, part in groups)])).any():
        raise Irregular
    lengths = np.diff(bounds)
    parts: list[tuple[np.ndarray, list[Column]]] = []
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        rows = np.flatnonzero(lengths == length)
        parts += _by_layout(_gather(content, bounds[rows], length), rows, wanted, fields)
    return [
        _in_order([(rows, columns[n]) for rows, columns in parts], int(last[-1]))
        for n in range(len(wanted))
    ]


def _gather(content: bytes, starts: np.ndarray, length: int) -> np.ndarray:
    """(n, length) words of the structs that start at the given words."""
    # One item that begins at every word: numpy copies those that are chosen as a whole.
    places = len(content) // 8 - length + 1
    every = np.ndarray(places, np.dtype((np.void, 8 * length)), content, strides=(8,))
    return every[starts].view('<u8').reshape(-1, length)


def _by_layout(
    structs: np.ndarray, rows: np.ndarray, wanted: Sequence[int], fields: int
) -> Iterator[tuple[np.ndarray, list[Column]]]:
    """Columns of the structs of each layout, and the rows they belong into."""
    for _ in range(_MOST_LAYOUTS):
        if len(structs) < _FEWEST_STRUCTS:
            break
        layout = _Layout(structs[0], wanted, fields)
        same = layout.is_that_of(structs)
        chosen, others = np.flatnonzero(same), np.flatnonzero(~same)
        yield rows[chosen], layout.columns(structs.take(chosen, 0))
        structs, rows = structs.take(others, 0), rows[others]
    if len(structs):
        leaves = Leaves(structs.tobytes(), len(structs) * fields)
        yield rows, [leaves.column(field, fields) for field in wanted]


class _Layout:
    """What the first of some structs has where.

    Args:
        struct: (w,) its words.
        wanted: Which of its fields to give.
        fields: How many it has.

    Raises:
        Irregular: It is no struct of arrays, or a wanted one is neither text nor real numbers.
    """

    def __init__(self, struct: np.ndarray, wanted: Sequence[int], fields: int) -> None:
        leaves = Leaves(struct.tobytes(), fields)
        for field in wanted:
            leaves.column(field, fields)  # where its values are not regular, no other's are
        self._places = [leaves.places(field, fields) for field in wanted]
        self._struct = struct
        data_tags = leaves.starts + LEAF_WORDS - 1
        fixed = data_tags[:, None] + np.arange(1 - LEAF_WORDS, 0)
        # The tag of few values holds them itself, in its second half.
        short = struct.view('<u4')[2 * data_tags] >> 16 != 0
        self._words = [*fixed.ravel().tolist(), *data_tags[~short].tolist()]
        self._halves = (2 * data_tags[short]).tolist()

    def is_that_of(self, structs: np.ndarray) -> np.ndarray:
        """(n,) bool: which of (n, w) structs have this layout."""
        same = np.ones(len(structs), bool)
        for view, places in (('<u8', self._words), ('<u4', self._halves)):
            items, wanted = structs.view(view), self._struct.view(view)
            for place in places:
                same &= items[:, place] == wanted[place]
        return same

    def columns(self, structs: np.ndarray) -> list[Column]:
        """The wanted columns of (n, w) structs that have this layout."""
        content = structs.view(np.uint8)
        return [self._column(content, places) for places in self._places]

    @staticmethod
    def _column(content: np.ndarray, places: Places) -> Column:
        kind, size, start = (int(a[0]) for a in (places.kind, places.size, places.data))
        stored = content[:, start : start + size]
        if not places.is_text:
            values = np.empty((len(stored), 0))
            if size:
                values = np.ascontiguousarray(stored).view(f'<{NUMBERS[kind]}')
            splits = values.shape[1] * np.arange(len(stored) + 1)
            return Numbers(values.ravel().astype(np.float64), splits)
        width = CHARACTER_BYTES[kind]
        letters = np.ascontiguousarray(stored[:, ::width])
        upper = stored[:, 1::2] if width == 2 else stored[:, :0]
        if ((letters == 0) | (letters > 127)).any() or upper.any():
            raise Irregular
        if not size:
            return np.zeros(len(stored), 'S1')
        return letters.view(f'S{letters.shape[1]}')[:, 0]


def _in_order(parts: Sequence[tuple[np.ndarray, Column]], total: int) -> Column:
    """One column from parts of it and the rows they belong into."""
    texts = [(rows, part) for rows, part in parts if isinstance(part, np.ndarray)]
    if len(texts) == len(parts):
        width = max((part.itemsize for _, part in texts), default=1)
        column = np.zeros(total, f'S{width}')
        for rows, part in texts:
            column[rows] = part
        return column
    numbers = [(rows, part) for rows, part in parts if isinstance(part, Numbers)]
    if len(numbers) != len(parts):
        raise Irregular
    counts = np.zeros(total, np.int64)
    for rows, part in numbers:
        counts[rows] = np.diff(part.splits)
    splits = np.concatenate([[0], np.cumsum(counts)])
    values = np.empty(splits[-1])
    for rows, part in numbers:
        shift = np.repeat(splits[rows] - part.splits[:-1], np.diff(part.splits))
        values[np.arange(len(part.values)) + shift] = part.values
    return Numbers(values, splits)
