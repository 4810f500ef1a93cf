"""Rows in a LanceDB table: a folder on this machine, or in an object store."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmps.utils.errors import require_extra

from ..errors import DamagedGalleryError, GalleryError, MissingGalleryError
from ..ids import NOBODY
from ..records import ModelTag, Where
from ..rows import COLUMNS, Rows
from .arrow import from_arrow, model_of, schema_of, to_arrow
from .expressions import IDS, among, to_sql
from .matrix_cache import MatrixCache
from .seals import Seals, sizes_in

T = TypeVar('T')

SUFFIX = '.lance'
TABLE = 'people'
"""Name of the table where the address is that of a folder of tables."""
VERSIONS = 200
"""Changes after which the table is compacted by whoever makes the next one: each adds files, and a
version that lists all of them.
"""
IN_USE = timedelta(hours=1)
"""What compacting leaves in an object store, where no lock tells who uses an older version."""
CACHED = 2**25
"""Bytes of embeddings from which on they are kept once more, in a file that memory is mapped to."""
SESSION = {'metadata_cache_size_bytes': 2**25, 'index_cache_size_bytes': 2**30}
"""What LanceDB may remember. Every change adds a list of all files, and it forgets nothing before
its bound, which would be gigabytes.
"""
ROWS_PER_CELL = 1000
"""Rows that a cell of the index holds on average."""
PROBED = 32
"""Cells that an approximate search looks into."""
_BATCH = 2**14
_EMBEDDING = 'embedding'
_ERRORS = (OSError, RuntimeError, ValueError)
"""What LanceDB raises when it cannot read or write."""


class LanceEngine:
    """Keeps rows in one table; each change is one commit.

    Args:
        address: ``.../NAME.lance``, or a folder of tables.
        model: The model, or None to open what is there.
        create: Whether to make the table if it is missing.
    """

    def __init__(self, address: str, model: ModelTag | None, *, create: bool) -> None:
        self.address = address
        folder, _, name = address.rstrip('/').rpartition('/')
        if not name.endswith(SUFFIX):
            folder, name = address.rstrip('/'), TABLE + SUFFIX
        self._name = name[: -len(SUFFIX)]
        local = '://' not in address
        self._folder = Path(folder or ('/' if address.startswith('/') else '.')) / name
        self._seals = Seals(self._folder) if local else None
        self._cache: MatrixCache | None = None
        self._session = require_extra('lancedb', 'gallery').Session(**SESSION)
        self._uri = str(self._folder.parent) if local else folder
        with self._understood():
            if self._seals and self._seals.exist():
                self._seals.verify(data=False)
            if not self._exists():
                if model is None or not create:
                    raise MissingGalleryError(address)
                self._create(model)
            elif self._seals:
                self._seals.verify(data=False)  # so that a table without a log is refused
            self._table = self._open_now()
        stored = model_of(self._table.schema)
        if stored is None:
            raise GalleryError(f'{address}: a LanceDB table, but no gallery of mmps')
        self.model = stored
        if self._seals:
            self._cache = MatrixCache(self._folder / 'mmps_cache', stored.embed_dim)

    @property
    def folder(self) -> Path | None:
        """Where the files are, if on this machine."""
        return self._folder if self._seals else None

    def version(self) -> int:
        return self._retried(lambda: self._table.version)

    def read(self, *, embeddings: bool) -> tuple[Rows, np.ndarray | None]:
        # nobody replaces its files meanwhile, nor erases what goes into the cache
        with self._locked(), self._understood():
            return self._read(embeddings)

    def add(self, rows: Rows, embeddings: np.ndarray) -> None:
        table = to_arrow(rows, embeddings)
        with self._changing():
            self._table.add(table)
            if self._table.version % VERSIONS == 0:
                self._optimize()

    def newest(self, frame_ids: np.ndarray) -> int:
        def largest(condition: str) -> int:
            found = _scan(self._table, ['batch'], condition)
            return max((n for batch in found for n in batch.column('batch').to_pylist()), default=0)

        conditions = list(among('frame_id', frame_ids))
        self._verify()
        return self._retried(lambda: max(map(largest, conditions), default=0))

    def remove(self, frame_ids: np.ndarray, before: int | None = None) -> None:
        older = '' if before is None else f' AND batch < {before}'
        for condition in among('frame_id', frame_ids):
            with self._changing():
                self._table.delete(condition + older)

    def build_index(self) -> None:
        with self._changing():
            self._build_index()

    def indexed(self) -> bool:
        indices = self._retried(lambda: self._table.list_indices())
        return any(_EMBEDDING in index.columns for index in indices)

    def nearest(
        self, queries: np.ndarray, limit: int, where: Where | None
    ) -> list[tuple[Rows, np.ndarray]]:
        condition = ' AND '.join([f'detection > {NOBODY}', *to_sql(where)])

        def search(query: np.ndarray) -> tuple[Rows, np.ndarray | None]:
            found = self._table.search(query, vector_column_name=_EMBEDDING)
            found = found.where(condition, prefilter=True)
            # It warns where the distance is left out.
            found = found.select([*COLUMNS, _EMBEDDING, '_distance'])
            table = found.distance_type('dot').nprobes(PROBED).limit(limit).to_arrow()
            return from_arrow(table.to_batches(), len(table), self.model.embed_dim)

        self._verify()
        return self._retried(lambda: [search(query) for query in queries])

    def compact(self) -> str:
        indexed = self.indexed()
        with self._changing():
            if indexed:  # it holds the embeddings once more, deleted ones too
                for index in self._table.list_indices():
                    self._table.drop_index(index.name)
            self._optimize()
            if indexed:
                self._build_index()
        return '' if self._seals else f'what was deleted less than {IN_USE} ago is left until later'

    def drop(self) -> None:
        with self._locked():
            if self._seals:
                shutil.rmtree(self._folder)
            else:
                self._connect().drop_table(self._name)

    def size(self) -> int | None:
        if not self._seals:
            return None
        return sum(sizes_in(self._folder).values())

    def _exists(self) -> bool:
        if self._seals:  # without looking into the files
            return any((self._folder / '_versions').glob('*.manifest'))
        return self._name in self._connect().list_tables(limit=10**6).tables

    def _create(self, model: ModelTag) -> None:
        with self._seals.changing() if self._seals else nullcontext():
            if not self._exists():  # nor has another process made it meanwhile
                schema = schema_of(model)
                self._connect().create_table(self._name, schema=schema, exist_ok=True)

    def _connect(self) -> Any:
        return require_extra('lancedb', 'gallery').connect(self._uri, session=self._session)

    def _open(self) -> Any:
        return self._connect().open_table(self._name)

    def _open_now(self) -> Any:
        try:
            return self._open()
        except _ERRORS:  # another process may just compact it
            with self._locked():
                return self._open()

    def _read(self, embeddings: bool) -> tuple[Rows, np.ndarray | None]:
        if self._seals:
            self._seals.verify(data=True, held=True)
        table = self._open()  # of its own, so that no other thread moves it to another version
        count, dim = table.count_rows(), self.model.embed_dim
        if not embeddings or (self._cache and count * dim * 4 >= CACHED):
            rows, _ = from_arrow(_scan(table, COLUMNS), count, None)
            if not embeddings:
                return rows, None
            order, matrix = self._cache.load(rows['row'], partial(_fetch, table, rows))
            return rows if order is None else rows.take(order), matrix
        return from_arrow(_scan(table, [*COLUMNS, _EMBEDDING]), count, dim)

    def _build_index(self) -> None:
        cells = int(np.clip(self._table.count_rows() // ROWS_PER_CELL, 1, 2**12))
        index = require_extra('lancedb.index', 'gallery')
        config = index.IvfFlat(distance_type='dot', num_partitions=cells)
        self._table.create_index(_EMBEDDING, config=config, replace=True)

    def _optimize(self) -> None:
        if not self._seals:
            self._table.optimize(cleanup_older_than=IN_USE)
            return
        self._cache.erase()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # the lock keeps others from changing it
            self._table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
        self._seals.rewrite()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._seals.changing() if self._seals else nullcontext(), self._understood():
            self._table.checkout_latest()
            yield

    def _verify(self) -> None:
        if self._seals:
            self._seals.verify(data=True)

    def _retried(self, task: Callable[[], T]) -> T:
        """The result of a task on the latest version, which another process may just compact."""
        try:
            self._table.checkout_latest()
            return task()
        except _ERRORS:
            with self._locked(), self._understood():
                self._table.checkout_latest()
                return task()

    def _locked(self) -> Any:
        return self._seals.locked() if self._seals else nullcontext()

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tells whose files LanceDB's errors are about."""
        try:
            yield
        except _ERRORS as error:
            kind = DamagedGalleryError if self._seals else GalleryError
            raise kind(f'{self.address}: {_reason(error)}') from error


def _reason(error: Exception) -> str:
    """What an object store answered, which comes in a page of Rust; else the first line."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    answer = re.search('<Code>(.*?)</Code>.*?<Message>(.*?)</Message>', text)
    if answer:
        return ': '.join(answer.groups())
    return next(iter(re.findall(r'message: "(.*?)"', text)[-1:]), text)


def _scan(table: Any, columns: Sequence[str], condition: str | None = None) -> Iterator[Any]:
    """Columns of all rows, or of those for which a condition holds, as record batches."""
    query = table.search().select([*columns]).limit(table.count_rows())
    return iter((query.where(condition) if condition else query).to_batches(_BATCH))


def _fetch(table: Any, rows: Rows, missing: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids and embeddings of the missing rows, by the batches that they were written in."""
    wanted = np.isin(rows['row'], missing)
    written = np.unique(rows['batch'][wanted])
    condition = None if wanted.all() or len(written) > IDS else next(among('batch', written))
    for batch in _scan(table, ['row', _EMBEDDING], condition):
        ids = batch.column('row').to_numpy()
        vectors = batch.column(_EMBEDDING).flatten().to_numpy().reshape(len(ids), -1)
        chosen = np.isin(ids, missing)
        yield ids[chosen], vectors[chosen]
