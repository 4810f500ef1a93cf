"""Which rows pass a filter: as a mask over rows in memory, and in the engines' languages."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from .records import AsWritten, Value, Where
from .rows import column, metadata_item, texts

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS_LISTED = 10_000
"""How many numbers are listed in one expression."""
_NUMBER = re.compile(r'[+-]?(\d{1,300}\.?\d*|\.\d+)([eE][+-]?\d{1,3})?', re.ASCII)
_INTEGER = re.compile(r'[+-]?\d{1,300}', re.ASCII)
_LARGEST = float(np.finfo(np.float64).max)


def passing(rows: pa.Table, where: Where) -> np.ndarray:
    """Mask (n,) bool of the rows that pass a filter."""
    import pyarrow as pa
    import pyarrow.compute as compute

    masks = [np.ones(len(rows), bool)]
    for name, wanted in (('camera', where.cameras), ('source', where.sources)):
        if wanted is not None:
            codes, different = texts(rows, name)
            listed = pa.array(sorted(set(wanted)), pa.string())
            masks.append(_of_codes(codes, compute.is_in(different, value_set=listed)))
    if where.since is not None:
        masks.append(column(rows, 'time') >= where.since)
    if where.until is not None:
        masks.append(column(rows, 'time') < where.until)
    for name, items in _choices(where):
        codes, different = texts(rows, name)
        found = np.zeros(len(different), bool)
        for item in items:
            found |= np.asarray(compute.match_substring(different, f',{item},'))
        masks.append(_of_codes(codes, found))
    return np.logical_and.reduce(masks)


def to_sql(where: Where | None) -> list[str]:
    """Conditions in LanceDB's SQL, all of which have to hold."""

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    return _conditions(where, quoted, '()', 'false')


def to_milvus(where: Where | None) -> list[str]:
    """Conditions in Milvus's language, all of which have to hold."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    return _conditions(where, quoted, '[]', 'row == -1')


def among(name: str, numbers: np.ndarray, brackets: str = '()') -> Iterator[str]:
    """Conditions, of which one holds for each row with one of some numbers (n,) in a column."""
    for start in range(0, len(numbers), NUMBERS_LISTED):
        yield one_of(name, numbers[start : start + NUMBERS_LISTED], brackets)


def one_of(name: str, numbers: np.ndarray, brackets: str = '()') -> str:
    """The condition that a column has one of some numbers (n,)."""
    return f'{name} in {brackets[0]}{", ".join(map(str, numbers.tolist()))}{brackets[1]}'


def _of_codes(codes: np.ndarray, wanted: pa.Array | np.ndarray) -> np.ndarray:
    """Mask (n,) bool of the codes (n,) of wanted texts (v,) bool; -1, which is None, is not."""
    places = np.flatnonzero(wanted)
    if len(places) < 2:
        return codes == places[0] if len(places) else np.zeros(len(codes), bool)
    # -1 is the last; "wrap" saves a check of bounds
    return np.append(np.asarray(wanted), False).take(codes, mode='wrap')


def _conditions(
    where: Where | None, quoted: Callable[[str], str], brackets: str, never: str
) -> list[str]:
    where = where or Where()
    found = []
    for name, wanted in (('camera', where.cameras), ('source', where.sources)):
        if wanted is not None:
            listed = ', '.join(map(quoted, sorted(set(wanted))))
            found.append(f'{name} in {brackets[0]}{listed}{brackets[1]}' if listed else never)
    for sign, moment in (('>=', where.since), ('<', where.until)):
        if moment is not None:  # infinity cannot be written
            found.append(f'time {sign} {float(np.clip(moment, -_LARGEST, _LARGEST))!r}')
    for name, items in _choices(where):
        patterns = (i.replace('\\', '\\\\').replace('%', '\\%').replace('_', '\\_') for i in items)
        likes = [f'{name} like {quoted(f"%,{pattern},%")}' for pattern in patterns]
        found.append(f'({" or ".join(likes)})' if likes else never)
    return found


def _choices(where: Where) -> list[tuple[str, list[str]]]:
    """Columns of entries between commas, and the entries of which a row has to have one."""
    metadata = where.metadata or {}
    found = [
        ('metadata', [*dict.fromkeys(metadata_item(key, v) for v in _written_so(metadata[key]))])
        for key in sorted(metadata)
    ]
    for place, wanted in (('upper', where.upper), ('lower', where.lower)):
        if wanted is not None:
            found.append(('colours', [f'{place} {colour}' for colour in sorted({*wanted})]))
    return found


def _written_so(value: Value) -> Iterator[Value]:
    yield value
    if not isinstance(value, str):
        yield json.dumps(value)
    elif isinstance(value, AsWritten):
        if value in ('true', 'false'):
            yield value == 'true'
        if _NUMBER.fullmatch(value) and math.isfinite(number := float(value)):
            yield number
            if _INTEGER.fullmatch(value):
                yield int(value)
            elif number.is_integer():
                yield int(number)
