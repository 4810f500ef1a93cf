"""Filters in the languages of the engines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np

from ..records import Where
from ..rows import metadata_choices

IDS = 10_000
"""How many numbers are listed in one expression."""


def to_sql(where: Where | None) -> list[str]:
    """Conditions in LanceDB's SQL, all of which have to hold."""

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    return _conditions(where, quoted, lambda texts: f'({", ".join(texts)})', 'false')


def to_milvus(where: Where | None) -> list[str]:
    """Conditions in Milvus's language, all of which have to hold."""

    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    return _conditions(where, quoted, lambda texts: f'[{", ".join(texts)}]', 'row == -1')


def among(column: str, numbers: np.ndarray, brackets: str = '()', step: int = IDS) -> Iterator[str]:
    """Conditions that together hold for rows with some numbers (n,) in a column."""
    for start in range(0, len(numbers), step):
        listed = ', '.join(map(str, numbers[start : start + step].tolist()))
        yield f'{column} in {brackets[0]}{listed}{brackets[1]}'


def _conditions(
    where: Where | None,
    quoted: Callable[[str], str],
    listed: Callable[[list[str]], str],
    never: str,
) -> list[str]:
    where = where or Where()
    found = []
    for column, wanted in (('camera', where.cameras), ('source', where.sources)):
        if wanted is not None:
            texts = [quoted(text) for text in sorted(set(wanted))]
            found.append(f'{column} in {listed(texts)}' if texts else never)
    if where.since is not None:
        found.append(f'time >= {float(where.since)!r}')
    if where.until is not None:
        found.append(f'time < {float(where.until)!r}')
    for items in metadata_choices(where.metadata or {}):
        patterns = (i.replace('\\', '\\\\').replace('%', '\\%').replace('_', '\\_') for i in items)
        likes = [f'metadata like {quoted(f"%,{pattern},%")}' for pattern in patterns]
        found.append(f'({" or ".join(likes)})' if len(likes) > 1 else likes[0])
    return found
