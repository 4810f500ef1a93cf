"""Rows in a collection of Milvus, a distributed engine."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from mmps.utils.errors import require_extra

from ..errors import GalleryError, MissingGalleryError
from ..ids import NOBODY
from ..records import ModelTag, Where
from ..rows import COLUMNS, NUMBERS, TEXTS, Rows
from ..texts import Texts
from .expressions import among, to_milvus

CELLS = 1024
"""Cells that the index divides the embeddings into. Searching all of them is exact."""
PROBED = 32
"""Cells that an approximate search looks into."""
MOST = 16_384
"""Rows that Milvus gives at a time."""
_BYTES = 2**24
"""Of embeddings sent or asked for at a time; Milvus takes no messages above 64 MiB."""
_TEXT = 65_535
_MODEL_ROW = 0
_UNKNOWN = ('offset', 'time')
_TYPES = {np.int32: 'INT32', np.int64: 'INT64', np.float32: 'FLOAT', np.float64: 'DOUBLE'}


class MilvusEngine:
    """Keeps rows in one collection. A frame is added as a whole, several frames one by one.

    Args:
        address: ``milvus://HOST:PORT/COLLECTION``; ``milvus://USER:PASSWORD@HOST...`` signs in.
        model: The model, or None to open what is there.
        create: Whether to make the collection if it is missing.
    """

    def __init__(self, address: str, model: ModelTag | None, *, create: bool) -> None:
        host, _, self._name = address.removeprefix('milvus://').partition('/')
        user, _, host = host.rpartition('@')
        self.address = f'milvus://{host}/{self._name}'  # without the password
        if not host or not self._name.isidentifier():
            raise GalleryError(f'{self.address}: expected milvus://HOST:PORT/COLLECTION')
        with _logs_kept_open():
            self._milvus = require_extra('pymilvus', 'milvus')
        with self._understood():
            self._client = self._milvus.MilvusClient(f'http://{host}', token=user)
            if not self._client.has_collection(self._name):
                if model is None or not create:
                    raise MissingGalleryError(self.address)
                self._create(model)
            self._client.load_collection(self._name)
            self.model = self._stored_model()
        self._step = max(1, min(MOST, _BYTES // (4 * self.model.embed_dim)))

    def version(self) -> object:
        return object()  # another process may have changed it

    def read(self, *, embeddings: bool) -> tuple[Rows, np.ndarray | None]:
        return self.query([], embeddings=embeddings)

    def query(self, conditions: list[str], *, embeddings: bool) -> tuple[Rows, np.ndarray | None]:
        """Rows for which all conditions hold, as :meth:`read` gives them."""
        fields = [*COLUMNS, 'embedding'] if embeddings else list(COLUMNS)
        found: list[dict[str, Any]] = []
        with self._understood():
            pages = self._client.query_iterator(
                self._name,
                batch_size=self._step if embeddings else MOST,
                filter=_all([f'detection >= {NOBODY}', *conditions]),
                output_fields=fields,
            )
            while page := pages.next():
                found.extend(page)
            pages.close()
        return _rows(found), _embeddings(found, self.model.embed_dim) if embeddings else None

    def add(self, rows: Rows, embeddings: np.ndarray) -> None:
        columns: dict[str, list[Any]] = {}
        for name in NUMBERS:
            values = rows[name].tolist()
            columns[name] = [None if v != v else v for v in values] if name in _UNKNOWN else values
        columns |= {name: rows.texts[name].to_list() for name in TEXTS}
        entries = [
            {**dict(zip(columns, values, strict=True)), 'embedding': vector}
            for *values, vector in zip(*columns.values(), embeddings, strict=True)
        ]
        with self._understood():
            for start in range(0, len(entries), self._step):
                self._client.insert(self._name, entries[start : start + self._step])

    def newest(self, frame_ids: np.ndarray) -> int:
        newest = 0
        for condition in among('frame_id', frame_ids, '[]'):
            batches = self.query([condition], embeddings=False)[0]['batch']
            newest = max(newest, int(batches.max(initial=0)))
        return newest

    def remove(self, frame_ids: np.ndarray, before: int | None = None) -> None:
        older = [] if before is None else [f'batch < {before}']
        with self._understood():
            for condition in among('frame_id', frame_ids, '[]'):
                self._client.delete(self._name, filter=_all([condition, *older]))

    def nearest(
        self, queries: np.ndarray, limit: int, where: Where | None, *, approximate: bool
    ) -> list[tuple[Rows, np.ndarray]]:
        probed = PROBED if approximate else CELLS
        with self._understood():
            found = self._client.search(
                self._name,
                data=list(queries),
                limit=limit,
                filter=_all([f'detection > {NOBODY}', *to_milvus(where)]),
                search_params={'metric_type': 'IP', 'params': {'nprobe': probed}},
                output_fields=[*COLUMNS, 'embedding'],
            )
        dim = self.model.embed_dim
        entries = [[hit['entity'] for hit in hits] for hits in found]
        return [(_rows(some), _embeddings(some, dim)) for some in entries]

    def compact(self) -> str:
        with self._understood():
            self._client.flush(self._name)
            self._client.compact(self._name)
        return 'the server erases what was deleted by its own garbage collection'

    def drop(self) -> None:
        with self._understood():
            self._client.drop_collection(self._name)

    def size(self) -> None:
        return None

    def _create(self, model: ModelTag) -> None:
        types = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for name, dtype in NUMBERS.items():
            options = {'is_primary': True} if name == 'row' else {'nullable': name in _UNKNOWN}
            schema.add_field(name, getattr(types, _TYPES[dtype]), **options)
        for name in TEXTS:
            schema.add_field(name, types.VARCHAR, max_length=_TEXT, nullable=name == 'camera')
        schema.add_field('embedding', types.FLOAT_VECTOR, dim=model.embed_dim)
        index = self._client.prepare_index_params()
        index.add_index(
            'embedding', index_type='IVF_FLAT', metric_type='IP', params={'nlist': CELLS}
        )
        try:
            self._client.create_collection(
                self._name, schema=schema, index_params=index, consistency_level='Strong'
            )
        except self._milvus.MilvusException:
            if not self._client.has_collection(self._name):
                raise
            return  # another process has made it meanwhile
        entry = {name: 0 for name in NUMBERS} | {'row': _MODEL_ROW, 'detection': NOBODY - 1}
        entry |= {'source': '', 'camera': None, 'metadata': json.dumps(asdict(model))}
        entry |= {'embedding': np.zeros(model.embed_dim, np.float32)}
        self._client.insert(self._name, [entry])

    def _stored_model(self) -> ModelTag:
        for _ in range(50):  # another process may be making the collection
            found = self._client.query(
                self._name, filter=f'row == {_MODEL_ROW}', output_fields=['metadata']
            )
            if found:
                return ModelTag(**json.loads(found[0]['metadata']))
            time.sleep(0.1)
        raise GalleryError(f'{self.address}: a collection of Milvus, but no gallery of mmps')

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tells whose server Milvus's errors are about."""
        try:
            yield
        except self._milvus.MilvusException as error:
            raise GalleryError(f'{self.address}: {error.message or error}') from error


def _all(conditions: list[str]) -> str:
    return ' and '.join(f'({condition})' for condition in conditions)


def _rows(found: list[dict[str, Any]]) -> Rows:
    numbers = {}
    for name, dtype in NUMBERS.items():
        values = [entry[name] for entry in found]
        if name in _UNKNOWN:
            values = [np.nan if value is None else value for value in values]
        numbers[name] = np.array(values, dtype)
    texts = {name: Texts.of(entry[name] for entry in found) for name in TEXTS}
    return Rows(numbers, texts)


def _embeddings(found: list[dict[str, Any]], dim: int) -> np.ndarray:
    return np.array([entry['embedding'] for entry in found], np.float32).reshape(-1, dim)


@contextmanager
def _logs_kept_open() -> Iterator[None]:
    """pymilvus configures logging when it is imported, which closes the log files of all others."""
    handlers = logging._handlerList[:]
    logging._handlerList.clear()
    try:
        yield
    finally:
        logging._handlerList[:0] = handlers
