"""Rows as tables of pyarrow's, which LanceDB takes and gives."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from mmps.utils.errors import require_extra

from ..records import ModelTag
from ..rows import NUMBERS, TEXTS, Rows
from ..texts import Texts

_MODEL = b'mmps_model'
_UNKNOWN = ('offset', 'time')
"""Columns in which NaN stands for unknown, and is stored as null."""


def schema_of(model: ModelTag) -> Any:
    """The schema of the table of a model's embeddings."""
    pa = require_extra('pyarrow', 'gallery')
    fields = [(name, pa.from_numpy_dtype(dtype)) for name, dtype in NUMBERS.items()]
    fields += [(name, pa.string()) for name in TEXTS]
    fields.append(('embedding', pa.list_(pa.float32(), model.embed_dim)))
    return pa.schema(fields, metadata={_MODEL: json.dumps(asdict(model))})


def model_of(schema: Any) -> ModelTag | None:
    """The model named in a schema; None if it is not one of a gallery."""
    stored = (schema.metadata or {}).get(_MODEL)
    return None if stored is None else ModelTag(**json.loads(stored))


def to_arrow(rows: Rows, embeddings: np.ndarray) -> Any:
    """Rows and their embeddings (n, D) as a table."""
    pa = require_extra('pyarrow', 'gallery')
    columns = {name: pa.array(rows[name], from_pandas=name in _UNKNOWN) for name in NUMBERS}
    for name in TEXTS:
        column = rows.texts[name]
        values = pa.array([*column.values, None], pa.string())
        places = np.where(column.codes < 0, len(values) - 1, column.codes)
        columns[name] = values.take(pa.array(places))
    flat = pa.array(np.ascontiguousarray(embeddings, np.float32).reshape(-1))
    columns['embedding'] = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    return pa.table(columns)


def from_arrow(
    batches: Iterable[Any], count: int, dim: int | None
) -> tuple[Rows, np.ndarray | None]:
    """Rows from record batches, and their embeddings (n, dim) in one block.

    Args:
        batches: As they come; each is let go before the next.
        count: Their rows in all.
        dim: Length of the embeddings; None: the batches have none.
    """
    pa = require_extra('pyarrow', 'gallery')
    numbers = {name: np.empty(count, dtype) for name, dtype in NUMBERS.items()}
    texts: dict[str, list[Any]] = {name: [] for name in TEXTS}
    embeddings = None if dim is None else np.empty((count, dim), np.float32)
    start = 0
    for batch in batches:
        rows = slice(start, start + len(batch))
        for name, column in numbers.items():
            values = batch.column(name)
            if name in _UNKNOWN:
                values = values.fill_null(np.nan)
            column[rows] = values.to_numpy(zero_copy_only=False)
        for name, chunks in texts.items():
            chunks.append(batch.column(name))
        if embeddings is not None:
            flat = batch.column('embedding').flatten().to_numpy()
            embeddings[rows] = flat.reshape(-1, dim)
        start = rows.stop
    if start != count:
        raise ValueError(f'{start} rows instead of {count}')
    columns = {
        name: _texts(pa.chunked_array(chunks, pa.string())) for name, chunks in texts.items()
    }
    return Rows(numbers, columns), embeddings


def _texts(column: Any) -> Texts:
    encoded = column.dictionary_encode().combine_chunks()
    if isinstance(encoded, list) or not hasattr(encoded, 'indices'):
        encoded = encoded.chunk(0)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    values = np.empty(len(encoded.dictionary), object)
    values[:] = encoded.dictionary.to_pylist()
    return Texts(codes, values)
