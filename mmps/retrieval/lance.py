"""Rows in a LanceDB table: a folder on this machine, in memory, or in an object store."""

from __future__ import annotations

import fcntl
import re
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmps.utils.errors import require_extra

from .engine import places_of, ranked, tie_keys
from .exact_search import nearest_rows
from .filters import among, passing, to_sql
from .records import (
    DamagedGalleryError,
    GalleryError,
    Hit,
    MissingGalleryError,
    ModelTag,
    Where,
)
from .rows import (
    COLUMNS,
    FIX,
    NOBODY,
    TEXTS,
    check_rows,
    column,
    embeddings_in,
    hits_of,
    model_of,
    schema_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar('T')

MEMORY = 'memory:'
SUFFIX = '.lance'
TABLE = 'people'
"""Name of the table where the address is that of a folder of tables."""
LOCK = 'mmps_lock'
CHANGES = 200
"""Changes after which the table is compacted by whoever makes the next one: each adds files, and a
version that lists all of them.
"""
IN_USE = timedelta(hours=1)
"""What compacting leaves in an object store, where no lock tells who uses an older version."""
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


@dataclass(frozen=True)
class Snapshot:
    """A table as it was at one moment, in memory, to be read by any number of threads.

    Attributes:
        version: That of the table.
        rows: All rows (n), without embeddings; each column of texts keeps every text once.
        embeddings: (n, D) float32, or None if they were not read.
    """

    version: int
    rows: pa.Table
    embeddings: np.ndarray | None

    @cached_property
    def people(self) -> np.ndarray | None:
        """(n,) bool which rows are people; None: all."""
        someone = column(self.rows, 'detection') != NOBODY
        return None if someone.all() else someone

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Place (m,) of each person of ``ids`` (m,).

        Raises:
            KeyError: One is not there.
        """
        ascending, places = self._ids
        return places[places_of(ids, ascending)]

    @cached_property
    def _ids(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids (p,) of all people, ascending, and their places (p,)."""
        everywhere = np.arange(len(self.rows))
        places = everywhere if self.people is None else everywhere[self.people]
        ids = column(self.rows, 'id')[places]
        order = np.argsort(ids)
        return ids[order], places[order]


class LanceEngine:
    """Keeps rows in one table; each change is one commit, and exact searches are in memory.

    Args:
        address: ``memory:``, ``.../NAME.lance``, or a folder of tables.
        model: The model, or None to open what is there.
        create: Whether to make the table if it is missing.
    """

    def __init__(self, address: str, model: ModelTag | None, *, create: bool) -> None:
        lancedb = require_extra('lancedb', 'gallery')
        if address == MEMORY and (model is None or not create):
            raise GalleryError(f'{MEMORY} always begins empty; give the model to make a gallery')
        self.address = address
        uri, self._name, self.folder = _place_of(address)
        # Where others can change the table without a lock, older versions may be in use.
        self._exclusive = self.folder is not None or address == MEMORY
        self._session = lancedb.Session(**SESSION)
        self._thread_lock = threading.RLock()
        self._snapshot_lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        with self._understood():
            self._connection = lancedb.connect(uri, session=self._session)
            if not self._exists():
                if model is None or not create:
                    raise MissingGalleryError(address)
                self._create(model)
            self._table = self._reading(lambda table: table)
            self.model = model_of(self._table.schema, address)

    def select(self, where: Where | None) -> pa.Table:
        rows = self.snapshot(embeddings=False).rows
        mask = passing(rows, where)
        return rows if mask is None else rows.take(np.flatnonzero(mask))

    def people(self, ids: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        snapshot = self.snapshot(embeddings=True)
        places = snapshot.find(ids)
        return snapshot.rows.take(places), snapshot.embeddings[places]

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[pa.Table]:
        for condition in among('frame_id', frame_ids, step=step):
            rows = self._reading(
                lambda table, which=condition: self._checked(
                    _scan(table, [*COLUMNS, _EMBEDDING], which).to_arrow()
                )
            )
            if len(rows):
                yield rows

    def search(
        self, queries: np.ndarray, top_k: int, where: Where | None, *, approximate: bool
    ) -> list[list[Hit]]:
        if approximate and self._reading(_indexed):
            return [self._search_index(query, top_k, where) for query in queries]
        snapshot = self.snapshot(embeddings=True)
        rows, people = snapshot.rows, snapshot.people
        allowed = passing(rows, where)
        if people is not None:
            allowed = people if allowed is None else allowed & people
        if allowed is not None and allowed.all():
            allowed = None
        found = nearest_rows(
            queries, snapshot.embeddings, top_k, allowed, lambda some: tie_keys(rows, some)
        )
        return [hits_of(rows.take(places), similarities) for places, similarities in found]

    def replace(self, rows: pa.Table) -> None:
        frames = next(among('frame_id', np.unique(column(rows, 'frame_id')), step=len(rows)))
        with self._changing():
            merge = self._table.merge_insert('id')
            merge = merge.when_matched_update_all().when_not_matched_insert_all()
            # This reads the whole table, so it is left out where nothing has to go.
            if not self._exclusive or self._any_other(frames, column(rows, 'id')):
                merge = merge.when_not_matched_by_source_delete(frames)
            merge.execute(rows)

    def remove(self, chosen: Where | np.ndarray) -> None:
        if isinstance(chosen, Where):
            conditions = [' AND '.join(to_sql(chosen)) or 'true']
        else:
            conditions = list(among('id', chosen))
        for condition in conditions:
            with self._changing():
                self._table.delete(condition)

    def compact(self) -> str:
        with self._changing(compacts=False):
            indices = self._table.list_indices()
            for index in indices:  # it holds the embeddings once more, deleted ones too
                self._table.drop_index(index.name)
            # Lance leaves deleted rows in a file of which they are few, so all are written anew.
            self._table.update(values_sql={'detection': 'detection'})
            self._optimize()
            if indices:
                self._build_index()
        left = f'what was deleted less than {IN_USE} ago is left until later'
        return '' if self._exclusive else left

    def build_index(self) -> None:
        with self._changing():
            self._build_index()

    def size(self) -> int | None:
        if self.folder is None:
            return self._reading(lambda table: table.stats()['total_bytes'])
        return sum(path.stat().st_size for path in self.folder.rglob('*') if path.is_file())

    def drop(self) -> None:
        with self._alone(), self._understood():
            if self.folder is None:
                self._connection.drop_table(self._name)
            else:
                shutil.rmtree(self.folder)

    def snapshot(self, *, embeddings: bool) -> Snapshot:
        """All rows as they are now, read again when the table has changed.

        Args:
            embeddings: Whether theirs are needed.
        """
        version = self._reading(lambda table: table.version)
        with self._snapshot_lock:
            latest = self._snapshot
            if (
                latest is None
                or latest.version < version
                or (embeddings and latest.embeddings is None)
            ):
                latest = self._snapshot = None  # before the new one takes as much memory again
                latest = self._reading(lambda table: self._read(table, embeddings))
                self._snapshot = latest
            return latest

    def _read(self, table: Any, embeddings: bool) -> Snapshot:
        pa = require_extra('pyarrow', 'gallery')
        names = [*COLUMNS, _EMBEDDING] if embeddings else COLUMNS
        count, dim = table.count_rows(), self.model.embed_dim
        matrix = np.empty((count, dim), np.float32) if embeddings else None
        parts, start = [], 0
        for batch in _scan(table, names).to_batches(_BATCH):
            if matrix is not None:
                flat = batch.column(_EMBEDDING).flatten().to_numpy()
                matrix[start : start + len(batch)] = flat.reshape(-1, dim)
            parts.append(batch.select([*COLUMNS]))
            start += len(batch)
        if start != count:
            raise ValueError(f'{start} rows instead of {count}')
        columns = {}
        for name in COLUMNS:
            kind = table.schema.field(name).type
            chunks = pa.chunked_array([part.column(name) for part in parts], kind)
            # Texts repeat: each is kept once, and a filter looks at it once.
            columns[name] = chunks.dictionary_encode() if name in TEXTS else chunks
            columns[name] = columns[name].combine_chunks()
        rows = pa.table(columns)
        check_rows(rows, matrix, self.address)
        return Snapshot(table.version, rows, matrix)

    def _checked(self, rows: pa.Table) -> pa.Table:
        check_rows(rows, embeddings_in(rows), self.address)
        return rows

    def _search_index(self, query: np.ndarray, top_k: int, where: Where | None) -> list[Hit]:
        condition = ' AND '.join([f'detection != {NOBODY}', *to_sql(where)])

        def search(table: Any) -> pa.Table:
            found = table.search(query, vector_column_name=_EMBEDDING)
            found = found.where(condition, prefilter=True)
            # It warns where the distance is left out.
            found = found.select([*COLUMNS, _EMBEDDING, '_distance'])
            return found.distance_type('dot').nprobes(PROBED).limit(top_k).to_arrow()

        rows = self._checked(self._reading(search))
        return ranked(query, rows, embeddings_in(rows), top_k)

    def _any_other(self, condition: str, ids: np.ndarray) -> bool:
        """Whether a condition holds for rows that are not among some ids (n,)."""
        found = _scan(self._table, ['id'], condition).to_arrow().column('id').to_numpy()
        return not np.isin(found, ids).all()

    def _exists(self) -> bool:
        if self.folder:  # without looking into the files
            return any((self.folder / '_versions').glob('*.manifest'))
        return self._name in self._connection.list_tables(limit=10**6).tables

    def _create(self, model: ModelTag) -> None:
        with self._alone():
            if not self._exists():  # nor has another process made it meanwhile
                self._connection.create_table(self._name, schema=schema_of(model), exist_ok=True)

    def _build_index(self) -> None:
        cells = int(np.clip(self._table.count_rows() // ROWS_PER_CELL, 1, 2**12))
        index = require_extra('lancedb.index', 'gallery')
        config = index.IvfFlat(distance_type='dot', num_partitions=cells)
        self._table.create_index(_EMBEDDING, config=config, replace=True)

    def _optimize(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # the lock keeps others from changing it
            self._table.optimize(
                cleanup_older_than=timedelta(0) if self._exclusive else IN_USE,
                delete_unverified=self._exclusive,
            )

    @contextmanager
    def _changing(self, *, compacts: bool = True) -> Iterator[None]:
        """Change the latest version; no other process does meanwhile, where a lock is possible."""
        with self._alone(), self._understood():
            self._table.checkout_latest()
            yield
            if compacts and self._table.version % CHANGES == 0:
                with suppress(*_ERRORS):  # the change is made; the next one will see to it
                    self._optimize()

    def _reading(self, task: Callable[[Any], T]) -> T:
        """The result of a task on the latest version, which another process may just compact."""
        with suppress(*_ERRORS):
            return task(self._connection.open_table(self._name))
        with self._alone(), self._understood():
            return task(self._connection.open_table(self._name))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep all others from changing a gallery on this machine: threads, processes."""
        if self.folder is None:
            with self._thread_lock:
                yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOCK, 'a') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Tells whose files LanceDB's errors are about."""
        try:
            yield
        except _ERRORS as error:
            if self.folder is None:
                raise GalleryError(f'{self.address}: {_reason(error)}') from error
            raise DamagedGalleryError(f'{self.address}: {_reason(error)}; {FIX}') from error


def _place_of(address: str) -> tuple[str, str, Path | None]:
    """Address of a database, name of the table in it, and its folder if on this machine."""
    if address == MEMORY:
        return 'memory://', TABLE, None
    uri, _, name = address.rstrip('/').rpartition('/')
    if not name.endswith(SUFFIX):
        uri, name = address.rstrip('/'), TABLE + SUFFIX
    if '://' in address:
        return uri, name.removesuffix(SUFFIX), None
    folder = Path(uri or ('/' if address.startswith('/') else '.')) / name
    return str(folder.parent), name.removesuffix(SUFFIX), folder


def _reason(error: Exception) -> str:
    """What an object store answered, which comes in a page of Rust; else the first line."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    answer = re.search('<Code>(.*?)</Code>.*?<Message>(.*?)</Message>', text)
    if answer:
        return ': '.join(answer.groups())
    return next(iter(re.findall(r'message: "(.*?)"', text)[-1:]), text)


def _indexed(table: Any) -> bool:
    return any(_EMBEDDING in index.columns for index in table.list_indices())


def _scan(table: Any, columns: Sequence[str], condition: str | None = None) -> Any:
    """A query for columns of all rows, or of those for which a condition holds."""
    query = table.search().select([*columns]).limit(table.count_rows())
    return query.where(condition) if condition else query
