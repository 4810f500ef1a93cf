"""Rows in a collection of Milvus, a distributed engine.

Milvus changes rows one by one. So that a frame is replaced as a whole all the same, its new rows
are inserted beside the old ones, in one message and with the number of their batch, before the old
ones are deleted. Of a frame only the latest batch counts; readers pass over the rest.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mmps.evaluation.functional.similarities import margin_of
from mmps.utils.errors import require_extra

from .engine import Engine
from .filters import among, to_milvus
from .records import GalleryError, MissingGalleryError, ModelTag, Where
from .rows import (
    COLUMNS,
    NOBODY,
    TEXTS,
    UNKNOWN,
    Found,
    Search,
    check_rows,
    column,
    embeddings_in,
    mixed,
    no_gallery,
    schema_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

SCHEME = 'milvus://'
CELLS = 1024
"""Cells that the index divides the embeddings into. Searching all of them is exact."""
PROBED = 32
"""Cells that an approximate search looks into."""
MOST = 16_384
"""Rows that Milvus gives at a time."""
SPARE = 32
"""People asked for beyond those wanted, for what does not count and for ties."""
_BYTES = 2**24
"""Of embeddings sent or asked for at a time; Milvus takes no messages above 64 MiB."""
_TEXT = 65_535
_OWN = ('row', 'batch')
"""Columns that only Milvus has: number of a row, and of what was written at once."""
_MODEL_ROW = 0
_NO_MODEL = f'row != {_MODEL_ROW}'
_TYPES = {'int32': 'INT32', 'int64': 'INT64', 'float': 'FLOAT', 'double': 'DOUBLE'}
_CALM = {'grpc.keepalive_time_ms': 310_000}
"""Servers of gRPC hang up on who asks more often than every five minutes whether they are there, as
pymilvus does.
"""


class MilvusEngine(Engine):
    """Keeps rows in one collection. A frame is added as a whole, several frames one by one.

    The address is ``milvus://HOST:PORT/COLLECTION``; ``milvus://USER:PASSWORD@HOST...`` signs in.
    """

    folder = None
    indexed = True

    def __init__(self, address: str, model: ModelTag | None, *, create: bool) -> None:
        host, _, self._name = address.removeprefix(SCHEME).partition('/')
        user, _, host = host.rpartition('@')
        self.address = f'{SCHEME}{host}/{self._name}'  # without the password
        if not host or not self._name.isidentifier():
            raise GalleryError(f'{self.address}: expected {SCHEME}HOST:PORT/COLLECTION')
        if model is not None and model.scene_dim:
            raise GalleryError(
                f'{self.address}: galleries in Milvus keep no embeddings of scenes, and '
                f'{model.name} makes some; use a gallery of LanceDB, or the config without a '
                'scene_head, which takes the same checkpoint'
            )
        with _logs_kept_open():
            self._milvus = require_extra('pymilvus', 'milvus')
        with self._understood():
            self._client = self._milvus.MilvusClient(
                f'http://{host}', token=user, grpc_options=_CALM
            )
            if not self._client.has_collection(self._name):
                if model is None or not create:
                    raise MissingGalleryError(self.address)
                self._create(model)
            self._client.load_collection(self._name)
            self.model = self._stored_model()
        self._schema = _schema_of(self.model)
        self._step = max(1, min(MOST, _BYTES // (4 * self.model.embed_dim)))

    def select(self, where: Where | None) -> pa.Table:
        conditions = to_milvus(where)
        rows = self._query(conditions, embeddings=False)
        return self._counting(rows) if conditions else _latest(rows)

    def count(self, where: Where | None) -> int:
        return np.count_nonzero(column(self.select(where), 'detection') != NOBODY)

    def having(self, name: str, numbers: np.ndarray, *, stored: bool = False) -> pa.Table:
        return self._counting(self._with_one_of(name, numbers, embeddings=True))

    def search(self, asked: Search) -> list[Found]:
        limit = min(MOST, asked.top_k + SPARE)
        done: dict[int, Found] = {}
        while left := [number for number in range(len(asked.queries)) if number not in done]:
            found = self._nearest(asked.of(left, limit))
            counting = self._of_frames(np.concatenate([column(one, 'frame_id') for one in found]))
            for number, rows in zip(left, found, strict=True):
                query, kept = asked.queries[number], rows.filter(_among_rows(rows, counting))
                complete = asked.approximate or len(rows) < limit or limit == MOST
                if complete or _settled(query, rows, kept, asked.top_k):
                    done[number] = Found.among(query, kept, asked.top_k)
            limit = min(MOST, 4 * limit)
        return [done[number] for number in range(len(asked.queries))]

    def levels(self, queries: np.ndarray, top_k: int) -> np.ndarray:
        found = self.search(Search(queries, top_k))
        return np.array([one.similarities[-1] for one in found], np.float32)

    def replace(self, rows: pa.Table) -> None:
        rows = rows.take(np.argsort(column(rows, 'frame_id'), kind='stable'))
        frame_ids, starts = np.unique(column(rows, 'frame_id'), return_index=True)
        older = self._with_one_of('frame_id', frame_ids, embeddings=False)
        newest = int(column(older, 'batch').max(initial=0))
        # later than what is there, and no two processes' the same
        batch = max(time.time_ns(), newest) + 1 + secrets.randbelow(2**16)
        numbers = mixed(column(rows, 'id'), np.full(len(rows), batch)).tolist()
        entries = [
            {**entry, 'row': number, 'batch': batch}
            for entry, number in zip(rows.to_pylist(), numbers, strict=True)
        ]
        ends, start = np.append(starts[1:], len(rows)), 0
        with self._understood():
            while start < len(rows):  # whole frames, as many as a message takes, and at least one
                last = np.searchsorted(ends, start + self._step, 'right') - 1
                end = int(ends[max(last, np.searchsorted(ends, start, 'right'))])
                self._client.insert(self._name, entries[start:end])
                start = end
            if newest:
                self._delete('frame_id', frame_ids, f'batch < {batch}')

    def remove(self, chosen: Where | np.ndarray) -> None:
        with self._understood():
            if not isinstance(chosen, Where):
                self._delete('id', chosen)
                return
            rows = self.select(chosen)
            every = self._of_frames(column(rows, 'frame_id'))
            left = column(every, 'frame_id')[~_among_rows(every, rows)]
            parts = np.isin(column(rows, 'frame_id'), left)
            # with what an older batch may have left of them
            self._delete('frame_id', np.unique(column(rows, 'frame_id')[~parts]))
            self._delete('row', column(rows, 'row')[parts])

    def compact(self) -> str:
        with self._understood():
            self._client.flush(self._name)
            self._client.compact(self._name)
        return 'the server erases what was deleted by its own garbage collection'

    def build_index(self) -> None:
        """Milvus keeps its index without being told."""

    def size(self) -> None:
        return None

    def drop(self) -> None:
        with self._understood():
            self._client.drop_collection(self._name)

    def _query(self, conditions: list[str], *, embeddings: bool) -> pa.Table:
        """Rows for which all conditions hold, those that do not count included."""
        found: list[dict[str, Any]] = []
        with self._understood():
            pages = self._client.query_iterator(
                self._name,
                batch_size=self._step if embeddings else MOST,
                filter=_all([_NO_MODEL, *conditions]),
                output_fields=[*COLUMNS, *_OWN, *(['embedding'] if embeddings else [])],
            )
            while page := pages.next():
                found.extend(page)
            pages.close()
        return self._table(found, embeddings=embeddings)

    def _with_one_of(self, name: str, numbers: np.ndarray, *, embeddings: bool) -> pa.Table:
        """The rows with one of some numbers (n,) in a column."""
        import pyarrow as pa

        conditions = among(name, np.unique(numbers), '[]')
        parts = [self._query([one], embeddings=embeddings) for one in conditions]
        return pa.concat_tables([self._table([], embeddings=embeddings), *parts])

    def _counting(self, rows: pa.Table) -> pa.Table:
        """Those of some rows that count."""
        return rows.filter(_among_rows(rows, self._of_frames(column(rows, 'frame_id'))))

    def _of_frames(self, frame_ids: np.ndarray) -> pa.Table:
        """The rows of some frames (m,) that count."""
        return _latest(self._with_one_of('frame_id', frame_ids, embeddings=False))

    def _nearest(self, asked: Search) -> list[pa.Table]:
        """For each query, rows of the people who are about the most similar."""
        with self._understood():
            found = self._client.search(
                self._name,
                data=list(asked.queries),
                limit=asked.top_k,
                filter=_all([_NO_MODEL, f'detection != {NOBODY}', *to_milvus(asked.where)]),
                search_params={
                    'metric_type': 'IP',
                    'params': {'nprobe': PROBED if asked.approximate else CELLS},
                },
                output_fields=[*COLUMNS, *_OWN, 'embedding'],
            )
        return [self._table([hit['entity'] for hit in hits], embeddings=True) for hits in found]

    def _table(self, entries: list[dict[str, Any]], *, embeddings: bool) -> pa.Table:
        """What Milvus gave, once it has been compared with its checksums."""
        import pyarrow as pa

        schema = self._schema if embeddings else self._schema.remove(len(self._schema) - 1)
        rows = pa.Table.from_pylist(entries, schema)
        own = mixed(column(rows, 'id'), column(rows, 'batch')) == column(rows, 'row')
        check_rows(rows, self.address, good=own)
        return rows

    def _create(self, model: ModelTag) -> None:
        types = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        empty: dict[str, Any] = {}
        for field in _schema_of(model):
            options: dict[str, Any] = {'nullable': field.name in UNKNOWN}
            if field.name == 'embedding':
                kind, options = 'FLOAT_VECTOR', {'dim': model.embed_dim}
            elif field.name in TEXTS:
                kind, options = 'VARCHAR', {**options, 'max_length': _TEXT}
            else:
                kind = _TYPES[str(field.type)]
            if field.name == 'row':
                options = {'is_primary': True}
            schema.add_field(field.name, getattr(types, kind), **options)
            empty[field.name] = None if field.name in UNKNOWN else 0
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
        empty |= {'row': _MODEL_ROW, 'source': '', 'colours': ''}
        empty |= {'metadata': json.dumps(model.as_dict())}
        empty |= {'embedding': np.zeros(model.embed_dim, np.float32)}
        self._client.insert(self._name, [empty])

    def _stored_model(self) -> ModelTag:
        fields = {field['name'] for field in self._client.describe_collection(self._name)['fields']}
        if not fields.issuperset(COLUMNS):
            raise no_gallery(self.address)
        for _ in range(50):  # another process may be making the collection
            found = self._client.query(
                self._name, filter=f'row == {_MODEL_ROW}', output_fields=['metadata']
            )
            if found:
                return ModelTag(**json.loads(found[0]['metadata']))
            time.sleep(0.1)
        raise no_gallery(self.address)

    def _delete(self, name: str, numbers: np.ndarray, *conditions: str) -> None:
        for condition in among(name, numbers, '[]'):
            self._client.delete(self._name, filter=_all([condition, *conditions]))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tells whose server Milvus's errors are about."""
        try:
            yield
        except self._milvus.MilvusException as error:
            raise GalleryError(f'{self.address}: {error.message or error}') from error


def _schema_of(model: ModelTag) -> pa.Schema:
    import pyarrow as pa

    *fields, embedding = schema_of(model)
    return pa.schema([*fields, *((name, pa.int64()) for name in _OWN), embedding])


def _all(conditions: list[str]) -> str:
    return ' and '.join(f'({condition})' for condition in conditions)


def _latest(rows: pa.Table) -> pa.Table:
    """The rows that count: of each frame those of its latest batch."""
    frames, of_row = np.unique(column(rows, 'frame_id'), return_inverse=True)
    newest = np.zeros(len(frames), np.int64)
    np.maximum.at(newest, of_row, column(rows, 'batch'))
    return rows.take(np.flatnonzero(column(rows, 'batch') == newest[of_row]))


def _among_rows(rows: pa.Table, others: pa.Table) -> np.ndarray:
    """(n,) bool which rows are among others."""
    return np.isin(column(rows, 'row'), column(others, 'row'))


def _settled(query: np.ndarray, rows: pa.Table, kept: pa.Table, top_k: int) -> bool:
    """Whether nobody who is not in rows can be among the ``top_k`` of a query (D,) who are kept."""
    best = np.sort(embeddings_in(kept) @ query)[::-1][:top_k]
    least = (embeddings_in(rows) @ query).min()
    return len(best) == top_k and best[-1] - least > margin_of(query[None])


@contextmanager
def _logs_kept_open() -> Iterator[None]:
    """pymilvus configures logging when it is imported, which closes the log files of all others."""
    handlers = logging._handlerList[:]
    logging._handlerList.clear()
    try:
        yield
    finally:
        logging._handlerList[:0] = handlers
