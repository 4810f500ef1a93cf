"""Rows in a LanceDB table: a folder on this machine, in memory, or in an object store."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmps.evaluation.functional.similarities import margin_of, nearest_rows, scene_factors
from mmps.utils.errors import require_extra
from mmps.utils.files import write_json
from mmps.utils.memory import share_heap

from .engine import Engine
from .filters import among, one_of, passing, to_sql
from .records import DamagedGalleryError, GalleryError, MissingGalleryError, ModelTag, Where
from .rows import (
    COLUMNS,
    EMBEDDING,
    FIX,
    GROUPING,
    NOBODY,
    SCENE,
    TEXTS,
    Found,
    Search,
    check_rows,
    column,
    embedding_column,
    model_of,
    scenes_in,
    schema_of,
    tie_keys,
)

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar('T')

MEMORY = 'memory:'
SUFFIX = '.lance'
TABLE = 'people'
"""Name of the table where the address is that of a folder of tables."""
LOCK, RECORD = 'mmps_lock', 'mmps_deletions.json'
BATCH = 2**14
"""Rows read at a time."""
ADDRESS = '_rowid'
"""Lance's name for where a row is: the number of its file, and its place in it."""
CHANGES = 200
"""Changes after which the table is compacted by whoever makes the next one: each adds files, and a
version that lists all of them.
"""
TRIES = 10  # at compacting an object store, which others may change at any time
IN_USE = timedelta(hours=1)
"""What compacting leaves in an object store, where no lock tells who uses an older version."""
SESSION = {'metadata_cache_size_bytes': 2**25, 'index_cache_size_bytes': 2**30}
"""What LanceDB may remember. Every change adds a list of all files, and it forgets nothing before
its bound, which would be gigabytes.
"""
ROWS_PER_CELL = 4000  # of the index, on average
CELLS = 2**16  # of an index, at most
BITS = 3  # for each number of an embedding in the index
PROBED = (32, 0.5)
"""Cells that an approximate search looks into: so many, or this share of all if that is more."""
REFINED = 10  # embeddings compared exactly for each person wanted
SPARE = 32  # rows beyond those wanted, for frames without people and for ties
SAMPLED = 64  # embeddings for each cell, from which the cells are learned
SOMEONE = f'detection != {NOBODY}'
_ZEROS = {np.int64: 'cast(0 as bigint)', np.float32: 'cast(0 as float)', str: "''"}
"""Columns of zeros and empty texts in LanceDB's SQL."""
_ERRORS = (OSError, RuntimeError, ValueError)
"""What LanceDB raises when it cannot read or write."""


class LanceEngine(Engine):
    """Keeps rows in one table; each change is one commit, and exact searches are in memory.

    The address is ``memory:``, ``.../NAME.lance``, or a folder of tables.
    """

    def __init__(self, address: str, model: ModelTag | None, *, create: bool) -> None:
        share_heap()  # before the import makes threads
        lancedb = require_extra('lancedb', 'gallery')
        if address == MEMORY and (model is None or not create):
            raise GalleryError(f'{MEMORY} always begins empty; give the model to make a gallery')
        self.address = address
        uri, self._name, self.folder = _place_of(address)
        # Where others can change the table without a lock, older versions may be in use.
        self._exclusive = self.folder is not None or address == MEMORY
        self._deletions = None if self.folder is None else _Deletions(self.folder)
        self._session = lancedb.Session(**SESSION)
        self._thread_lock = threading.RLock()
        self._snapshot_lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._scenes: tuple[Snapshot, np.ndarray, np.ndarray] | None = None
        with self._understood():
            self._connection = lancedb.connect(uri, session=self._session)
            if not self._exists():
                if model is None or not create:
                    raise MissingGalleryError(address)
                with self._alone():
                    if not self._exists():  # nor has another process made it meanwhile
                        schema = schema_of(model)
                        self._connection.create_table(self._name, schema=schema, exist_ok=True)
            self._table = self._reading(lambda table: table)
            self.model = model_of(self._table.schema, address)
        missing = GROUPING.keys() - {*self._table.schema.names}
        if missing:  # a table of before
            with self._changing():
                self._table.add_columns({name: _ZEROS[GROUPING[name]] for name in missing})

    @property
    def indexed(self) -> bool:
        return self._reading(
            lambda table: any(EMBEDDING in index.columns for index in table.list_indices())
        )

    def select(self, where: Where | None) -> pa.Table:
        conditions = to_sql(where)
        if conditions and self._on_disk(embeddings=False):
            return self._read([' AND '.join(conditions)], COLUMNS)
        snapshot = self.snapshot(embeddings=False)
        mask = snapshot.passing(where, snapshot.alive)
        return snapshot.rows if mask.all() else snapshot.rows.filter(mask)

    def count(self, where: Where | None) -> int:
        if self._on_disk(embeddings=False):
            conditions = ' AND '.join([SOMEONE, *to_sql(where)])
            return self._reading(lambda table: table.count_rows(conditions))
        snapshot = self.snapshot(embeddings=False)
        return np.count_nonzero(snapshot.passing(where, snapshot.people))

    def having(self, name: str, numbers: np.ndarray, *, stored: bool = False) -> pa.Table:
        if stored or self._on_disk(embeddings=True):
            names = [*COLUMNS, EMBEDDING, *([SCENE] if stored else [])]
            return self._read([*among(name, numbers)] or ['false'], names)
        snapshot = self.snapshot(embeddings=True)
        places = snapshot.having(name, numbers)
        embeddings = embedding_column(snapshot.embeddings[places])
        return snapshot.rows.take(places).append_column(EMBEDDING, embeddings)

    def search(self, asked: Search) -> list[Found]:
        if asked.approximate and asked.scene_filters is None and self.indexed:
            return [self._search_index(query, asked) for query in asked.queries]
        snapshot = self.snapshot(embeddings=True)
        rows, weights = snapshot.rows, None
        if asked.scene_filters is not None:
            weights = self._scene_weights(snapshot, asked.scene_filters)
        allowed = snapshot.passing(asked.where, snapshot.people)
        found = nearest_rows(
            asked.queries,
            snapshot.embeddings,
            asked.top_k,
            None if allowed.all() else allowed,
            lambda some: tie_keys(rows, some),
            weights,
        )
        return [Found(rows, *one) for one in found]

    def _scene_weights(
        self, snapshot: Snapshot, filters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Factors (q, I) of the scenes of a snapshot, and which is that of each row (n,)."""
        with self._snapshot_lock:
            if self._scenes is None or self._scenes[0] is not snapshot:
                scenes = self._reading(lambda table: _read_scenes(snapshot, table, self.address))
                self._scenes = snapshot, *scenes
            _, scenes, of_row = self._scenes
        parts = [
            scene_factors(filters.reshape(-1, filters.shape[-1]), some)
            for some in np.split(scenes, range(BATCH, len(scenes), BATCH))
        ]
        return np.concatenate(parts, 1).reshape(*filters.shape[:2], -1).mean(1), of_row

    def levels(self, queries: np.ndarray, top_k: int) -> np.ndarray:
        def best(table: Any) -> np.ndarray:
            best = np.full((len(queries), top_k), -np.inf, np.float32)
            for batch in scan(table, [EMBEDDING], SOMEONE).to_batches(BATCH):
                embeddings = batch.column(EMBEDDING).flatten().to_numpy()
                similarities = queries @ embeddings.reshape(-1, queries.shape[1]).T
                both = np.concatenate([best, similarities], 1)
                best = np.partition(both, -top_k, axis=1)[:, -top_k:]
            return best

        found = self._reading(best)
        return np.min(found, 1, initial=2, where=np.isfinite(found)) - margin_of(queries)

    def replace(self, rows: pa.Table) -> None:
        frames = one_of('frame_id', np.unique(column(rows, 'frame_id')))
        with self._changing():
            if self._exclusive:
                there = scan(self._table, ['id'], frames).to_arrow()
                if not len(there):  # a merge reads the whole table, and takes memory for it
                    self._table.add(rows)
                    return
                others = not np.isin(column(there, 'id'), column(rows, 'id')).all()
            merge = self._table.merge_insert('id')
            merge = merge.when_matched_update_all().when_not_matched_insert_all()
            if not self._exclusive or others:
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
            self._connection.drop_table(self._name)

    def snapshot(self, *, embeddings: bool) -> Snapshot:
        """All rows as they are now; when the table has changed, what is new of them is read."""
        version = self._reading(lambda table: table.version)
        with self._snapshot_lock:
            known = self._snapshot
            if known is not None and embeddings and known.embeddings is None:
                known = self._snapshot = None
            if known is not None and known.version < version:
                known = self._snapshot = self._reading(
                    lambda table, known=known: _follow(known, table, self.address)
                )
            if known is None:  # the one before is gone, for this takes as much memory
                known = self._snapshot = self._reading(
                    lambda table: _read_all(table, self.address, embeddings=embeddings)
                )
            return known

    def _on_disk(self, *, embeddings: bool) -> bool:
        """Whether to read what is asked for only: not all is in memory, which may not suffice."""
        held = self._snapshot
        if held is not None and (held.embeddings is not None or not embeddings):
            return False
        return self.indexed

    def _read(self, conditions: Iterable[str], names: Iterable[str]) -> pa.Table:
        """Columns of the rows for which one of some conditions holds, read from disk."""
        import pyarrow as pa

        rows = pa.concat_tables(
            self._reading(lambda table, which=one: scan(table, names, which).to_arrow())
            for one in conditions
        )
        check_rows(rows, self.address)
        return rows

    def _search_index(self, query: np.ndarray, asked: Search) -> Found:
        """Of the people that the index finds for a query (D,), and of all that it does not have
        yet, those who look most like it, compared exactly.
        """
        conditions, limit = to_sql(asked.where), asked.top_k + SPARE
        for some in (conditions, [SOMEONE, *conditions]):  # which takes longer than all the rest
            rows = self._reading(
                lambda table, some=some: _in_index(table, query, limit, some).to_arrow()
            )
            people = rows.filter(column(rows, 'detection') != NOBODY)
            if len(rows) < limit or len(people) >= asked.top_k:
                break
        check_rows(people, self.address)
        return Found.among(query, people, asked.top_k)

    def _exists(self) -> bool:
        if self.folder:  # without looking into the files
            return any((self.folder / '_versions').glob('*.manifest'))
        return self._name in self._connection.list_tables(limit=10**6).tables

    def _build_index(self) -> None:
        """Cells of embeddings, quantised as by RaBitQ (Gao and Long, SIGMOD 2024)."""
        from lancedb import index

        cells = int(np.clip(self._table.count_rows() // ROWS_PER_CELL, 1, CELLS))
        options = dict(distance_type='dot', num_partitions=cells, sample_rate=SAMPLED)
        if self._table.schema.field(EMBEDDING).type.list_size % 8:  # which RaBitQ needs
            config = index.IvfFlat(**options)
        else:
            config = index.IvfRq(num_bits=BITS, **options)
        self._table.create_index(EMBEDDING, config=config, replace=True)

    def _optimize(self) -> None:
        keep = timedelta(0) if self._exclusive else IN_USE
        for left in reversed(range(TRIES)):
            try:
                with warnings.catch_warnings():
                    # the lock keeps others from changing it
                    warnings.simplefilter('ignore', UserWarning)
                    self._table.optimize(cleanup_older_than=keep, delete_unverified=self._exclusive)
                return
            except RuntimeError as error:  # without a lock, others may change it meanwhile
                if not left or 'Please retry' not in str(error):
                    raise
                self._table.checkout_latest()

    @contextmanager
    def _changing(self, *, compacts: bool = True) -> Iterator[None]:
        """Change the latest version; no other process does meanwhile, where a lock is possible."""
        with self._alone(), self._understood():
            if self._deletions is not None:
                self._deletions.check()
            self._table.checkout_latest()
            yield
            if compacts and self._table.version % CHANGES == 0:
                with suppress(*_ERRORS):  # the change is made; the next one will see to it
                    self._optimize()
            if self._deletions is not None:
                self._deletions.record()

    def _reading(self, task: Callable[[Any], T]) -> T:
        """The result of a task on the latest version, which another process may just compact."""
        try:
            return self._task(task)
        except Exception as error:
            if not _is_of_lance(error):
                raise
        with self._alone(), self._understood():
            return self._task(task)

    def _task(self, task: Callable[[Any], T]) -> T:
        if self._deletions is not None:
            self._deletions.check()
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
        except Exception as error:
            if not _is_of_lance(error):
                raise
            reason = f'{self.address}: {_reason(error)}'
            if self.folder is None:
                raise GalleryError(reason) from error
            raise DamagedGalleryError(f'{reason}{self._unreadable()}; {FIX}') from error

    def _unreadable(self) -> str:
        """Whose rows cannot be read, as far as that can be told."""
        sources: dict[str, None] = {}
        with suppress(Exception):
            table = self._connection.open_table(self._name)
            addresses = scan(table, [ADDRESS]).to_arrow().column(ADDRESS).to_numpy()
            for part in np.unique(addresses >> np.uint64(32)).tolist():
                here = f'{ADDRESS} >= {part << 32} and {ADDRESS} < {(part + 1) << 32}'
                try:
                    for _ in scan(table, table.schema.names, here).to_batches(BATCH):
                        pass
                except Exception:
                    found = scan(table, ['source'], here).to_arrow().column('source')
                    sources |= dict.fromkeys(found.unique().to_pylist())
        some = ', '.join(map(repr, [*sources][:5])) + (', ...' if len(sources) > 5 else '')
        return f'; among rows of {len(sources)} sources: {some}' if sources else ''


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


def _is_of_lance(error: Exception) -> bool:
    """Whether LanceDB raised an error because it cannot read or write."""
    return isinstance(error, _ERRORS) or type(error).__name__ == 'RustPanic'


def scan(table: Any, columns: Iterable[str], condition: str | None = None) -> Any:
    """A query for columns, as far as they are there, of the rows for which a condition holds."""
    names = [name for name in columns if name == ADDRESS or name in table.schema.names]
    query = table.search().select(names).limit(table.count_rows())
    return query.where(condition) if condition else query


def _in_index(table: Any, query: np.ndarray, limit: int, conditions: list[str]) -> Any:
    """What asks a table's index for the rows that are most similar to a query (D,)."""
    least, share = PROBED
    probed = max(least, int(share * min(CELLS, table.count_rows() / ROWS_PER_CELL)))
    found = table.search(query, vector_column_name=EMBEDDING)
    if conditions:
        found = found.where(' AND '.join(conditions), prefilter=True)
    # It warns where the distance is left out.
    found = found.select([*COLUMNS, EMBEDDING, '_distance']).distance_type('dot')
    # further cells where a filter leaves too few in these
    found = found.minimum_nprobes(probed).maximum_nprobes(0)
    return found.refine_factor(REFINED).limit(limit)


@dataclass(frozen=True)
class Snapshot:
    """A table as it was at one moment, in memory, to be read by any number of threads.

    Rows that have been removed since others were read stay in their places, and do not count.

    Attributes:
        version: That of the table.
        rows: All rows (n), without embeddings; each column of texts keeps every text once.
        embeddings: (n, D) float32, or None if they were not read.
        addresses: (n,) int64, where Lance keeps each row. What is at an address never changes.
        alive: (n,) bool which rows count.
        space: Begins with the embeddings; behind them is room for more.
    """

    version: int
    rows: pa.Table
    embeddings: np.ndarray | None
    addresses: np.ndarray
    alive: np.ndarray
    space: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def people(self) -> np.ndarray:
        """(n,) bool which rows are people, and count."""
        return self.alive & (column(self.rows, 'detection') != NOBODY)

    def passing(self, where: Where | None, among: np.ndarray) -> np.ndarray:
        """(n,) bool which of some rows (n,) bool pass a filter."""
        return among if where is None else among & passing(self.rows, where)

    def having(self, name: str, numbers: np.ndarray) -> np.ndarray:
        """Places (m,) of all people with one of some numbers (k,) in a column."""
        if name not in self._ascending:
            values = column(self.rows, name)
            places = np.flatnonzero(self.people)
            places = places[np.argsort(values[places], kind='stable')]
            self._ascending[name] = values[places], places
        values, places = self._ascending[name]
        first, last = (np.searchsorted(values, numbers, side) for side in ('left', 'right'))
        parts = [places[a:b] for a, b in zip(first, last, strict=True)]
        return np.concatenate([places[:0], *parts])

    @cached_property
    def _ascending(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {}


def _read_all(table: Any, address: str, *, embeddings: bool) -> Snapshot:
    """All rows of a table, at the version that it is at.

    Raises:
        DamagedGalleryError: A row is not what was written.
    """
    rows = _in_memory([], table.schema)
    dim = table.schema.field(EMBEDDING).type.list_size
    space = np.zeros((0, dim), np.float32) if embeddings else None
    none = Snapshot(0, rows, space, np.zeros(0, np.int64), np.zeros(0, bool), space)
    return _extended(none, table, address, None)


def _follow(known: Snapshot, table: Any, address: str) -> Snapshot | None:
    """A snapshot with what later versions of its table have added and removed.

    None where so much has changed that everything is better read anew.
    """
    new = f'{ADDRESS} >= {int(known.addresses.max(initial=-1)) + 1}'
    added, alive = table.count_rows(new), known.alive
    if table.count_rows() - added != np.count_nonzero(alive):
        present = scan(table, [ADDRESS]).to_arrow().column(ADDRESS).to_numpy()
        alive = np.isin(known.addresses, present.astype(np.int64))
    if max(added, np.count_nonzero(~alive)) > len(alive) // 4 + BATCH:
        return None
    return _extended(replace(known, alive=alive), table, address, new)


def _extended(known: Snapshot, table: Any, address: str, condition: str | None) -> Snapshot:
    """A snapshot at a table's version, with the rows for which a condition holds at its end."""
    import pyarrow as pa

    start, count, space = len(known.rows), table.count_rows(condition), known.space
    end = start + count
    if space is not None and end > len(space):  # what is not used takes no memory
        space = np.empty((end + end // 2 + BATCH, space.shape[1]), np.float32)
        space[:start] = known.embeddings
    addresses = np.concatenate([known.addresses, np.empty(count, np.int64)])
    names = [*COLUMNS, ADDRESS, *([] if space is None else [EMBEDDING])]
    parts, place = [], start
    for batch in scan(table, names, condition).to_batches(BATCH):
        here = slice(place, place + len(batch))
        if space is not None:  # behind what other snapshots see of it
            flat = batch.column(EMBEDDING).flatten().to_numpy()
            space[here] = flat.reshape(-1, space.shape[1])
        addresses[here] = batch.column(ADDRESS).to_numpy()
        parts.append(batch.select([*COLUMNS]))
        place = here.stop
    if place != end:
        raise ValueError(f'{place - start} rows instead of {count}')
    rows = _in_memory(parts, table.schema)
    check_rows(rows, address, None if space is None else space[start:end])
    if start:
        rows = pa.concat_tables([known.rows, rows]).unify_dictionaries().combine_chunks()
    alive = np.append(known.alive, np.ones(count, bool))
    matrix = None if space is None else space[:end]
    return Snapshot(table.version, rows, matrix, addresses, alive, space)


def _in_memory(parts: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Rows without embeddings, each column in one piece.

    Texts repeat: each is kept once, and a filter looks at it once.
    """
    import pyarrow as pa

    rows = pa.Table.from_batches(parts) if parts else schema.empty_table().select([*COLUMNS])
    for name in TEXTS:
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, rows.column(name).dictionary_encode())
    return rows.combine_chunks()


def _read_scenes(snapshot: Snapshot, table: Any, address: str) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (I, S) float32 of the scenes of a snapshot, and which is that of each row (n,).

    Raises:
        DamagedGalleryError: A scene is not what was written.
    """
    frame_ids, of_row = np.unique(column(snapshot.rows, 'frame_id'), return_inverse=True)
    there = scan(table, ['frame_id', ADDRESS]).to_arrow()
    found, first = np.unique(column(there, 'frame_id'), return_index=True)
    addresses = column(there, ADDRESS)[first[np.isin(found, frame_ids)]]
    scenes = np.zeros((len(frame_ids), table.schema.field(SCENE).type.list_size - 2), np.float32)
    for start in range(0, len(addresses), BATCH):
        some = addresses[start : start + BATCH].tolist()
        taken = table.take_row_ids(some).select(['frame_id', SCENE]).to_arrow()
        scenes[np.searchsorted(frame_ids, column(taken, 'frame_id'))] = scenes_in(taken, address)
    return scenes, of_row


class _Deletions:
    """Checksums of a table's lists of deleted rows, in a file of their own beside them.

    A changed bit in one can end the process that reads it, so they are compared before Lance reads
    them. What a process that was killed had just written has none until the next change.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sound: set[tuple[str, int, int]] = set()

    def check(self) -> None:
        """Raise DamagedGalleryError if one is not what was written."""
        sound, recorded = set(), None
        for path in self._folder.glob('_deletions/*'):
            with suppress(FileNotFoundError):  # compacted meanwhile
                status = path.stat()
                entry = path.name, status.st_size, status.st_mtime_ns
                if entry not in self._sound:
                    recorded = self._recorded() if recorded is None else recorded
                    if path.name not in recorded:
                        continue
                    if _checksum(path) != recorded[path.name]:
                        raise DamagedGalleryError(
                            f'{path}: this list of deleted rows is not what was written; {FIX}'
                        )
                sound.add(entry)
        self._sound = sound

    def record(self) -> None:
        """Take up new ones; nobody else changes the table meanwhile."""
        before = self._recorded()
        paths = sorted(self._folder.glob('_deletions/*'))
        if {path.name for path in paths} != before.keys():
            checksums = {path.name: before.get(path.name) or _checksum(path) for path in paths}
            write_json(self._folder / RECORD, checksums)

    def _recorded(self) -> dict[str, str]:
        path = self._folder / RECORD
        return json.loads(path.read_text()) if path.exists() else {}


def _checksum(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'blake2b').hexdigest()[:16]
