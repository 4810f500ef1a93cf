"""Rows in a LanceDB table: a folder on this machine, in memory, or in an object store."""

from __future__ import annotations

import fcntl
import re
import shutil
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mmps.evaluation.functional.similarities import margin_of, nearest_rows, scene_factors
from mmps.utils.errors import require_extra
from mmps.utils.memory import share_heap

from .engine import SPREAD, one_of_each, ranked
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
    GROUPING,
    NOBODY,
    SCENE,
    check_rows,
    column,
    completed,
    count_people,
    embeddings_in,
    hits_of,
    model_of,
    places_of,
    schema_of,
    tie_keys,
)
from .snapshot import (
    ADDRESS,
    BATCH,
    EMBEDDING,
    FileChecksums,
    Scenes,
    Snapshot,
    extended,
    read_scenes,
    read_snapshot,
    scan,
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
ROWS_PER_CELL = 4000
"""Rows that a cell of the index holds on average."""
CELLS = 2**16
"""Cells of an index at most."""
BITS = 3
"""Bits for each number of an embedding in the index."""
PROBED = (32, 0.5)
"""Cells that an approximate search looks into: so many, or this share of all if that is more."""
REFINED = 10
"""Embeddings that it reads, to compare them exactly, for each person wanted."""
SPARE = 32
"""Rows asked for beyond those wanted, for frames without people and for ties."""
SAMPLED = 64
"""Embeddings for each cell from which the cells are learned."""
SOMEONE = f'detection != {NOBODY}'
_ZEROS = {np.int64: 'cast(0 as bigint)', np.float32: 'cast(0 as float)', str: "''"}
"""Columns of zeros and empty texts in LanceDB's SQL."""
_ERRORS = (OSError, RuntimeError, ValueError)
"""What LanceDB raises when it cannot read or write."""


class LanceEngine:
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
        self._files = None if self.folder is None else FileChecksums(self.folder)
        self._session = lancedb.Session(**SESSION)
        self._thread_lock = threading.RLock()
        self._snapshot_lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._scenes: Scenes | None = None
        with self._understood():
            self._connection = lancedb.connect(uri, session=self._session)
            if not self._exists():
                if model is None or not create:
                    raise MissingGalleryError(address)
                self._create(model)
            self._table = self._reading(lambda table: table)
            self.model = model_of(self._table.schema, address)

    @property
    def indexed(self) -> bool:
        return self._reading(_indexed)

    def select(self, where: Where | None) -> pa.Table:
        conditions = self._sql(where)
        if conditions and self._on_disk(embeddings=False):
            return self._where(' AND '.join(conditions), embeddings=False)
        snapshot = self.snapshot(embeddings=False)
        rows = snapshot.rows
        mask = None if where is None else passing(rows, where)
        if snapshot.alive is not None:
            mask = snapshot.alive if mask is None else mask & snapshot.alive
        return rows if mask is None else rows.take(np.flatnonzero(mask))

    def count(self, where: Where | None) -> int:
        if self._on_disk(embeddings=False):
            conditions = ' AND '.join([SOMEONE, *self._sql(where)])
            return self._reading(lambda table: table.count_rows(conditions))
        return count_people(self.select(where))

    def people(self, ids: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        if self._on_disk(embeddings=True):
            rows = self._where_any(among('id', np.unique(ids))).sort_by('id')
            rows = rows.take(places_of(ids, column(rows, 'id')))
            return rows, embeddings_in(rows)
        snapshot = self.snapshot(embeddings=True)
        places = snapshot.find(ids)
        return snapshot.rows.take(places), snapshot.embeddings[places]

    def of_tracklets(self, tracklets: np.ndarray) -> tuple[pa.Table, np.ndarray]:
        if self._on_disk(embeddings=True):
            rows = self._where_any(among('tracklet', tracklets))
            return rows, embeddings_in(rows)
        snapshot = self.snapshot(embeddings=True)
        places = snapshot.of_tracklets(tracklets)
        return snapshot.rows.take(places), snapshot.embeddings[places]

    def frames(self, frame_ids: np.ndarray, step: int) -> Iterator[pa.Table]:
        for condition in among('frame_id', frame_ids, step=step):
            rows = self._reading(
                lambda table, which=condition: self._checked(
                    scan(table, [*COLUMNS, EMBEDDING, SCENE], which).to_arrow()
                )
            )
            if len(rows):
                yield rows

    def search(
        self,
        queries: np.ndarray,
        top_k: int,
        where: Where | None,
        *,
        of_each: bool,
        approximate: bool,
        scene_filters: np.ndarray | None = None,
    ) -> list[list[Hit]]:
        if approximate and scene_filters is None and self.indexed:

            def search(some: np.ndarray, many: int) -> list[list[Hit]]:
                return [self._search_index(query, many, where) for query in some]

            return one_of_each(search, queries, top_k) if of_each else search(queries, top_k)
        snapshot = self.snapshot(embeddings=True)
        weights = self._weights(snapshot, scene_filters)
        if not of_each:
            return _hits(snapshot, self._nearest(snapshot, queries, top_k, where, weights))
        tracklets, many = column(snapshot.rows, 'tracklet'), SPREAD * top_k
        best: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        while left := [number for number in range(len(queries)) if number not in best]:
            some = weights and (weights[0][left], weights[1])
            found = self._nearest(snapshot, queries[left], many, where, some)
            for number, (places, similarities) in zip(left, found, strict=True):
                own = tracklets[places]
                own = np.where(own == 0, -1 - places, own)  # who is in none is one alone
                first = np.sort(np.unique(own, return_index=True)[1])[:top_k]
                if len(first) == top_k or len(places) < many:
                    best[number] = places[first], similarities[first]
            many *= SPREAD
        return _hits(snapshot, [best[number] for number in range(len(queries))])

    def _nearest(
        self,
        snapshot: Snapshot,
        queries: np.ndarray,
        top_k: int,
        where: Where | None,
        weights: tuple[np.ndarray, np.ndarray] | None,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Places and similarities of the most similar people of each query."""
        rows, people = snapshot.rows, snapshot.people
        allowed = None if where is None else passing(rows, where)
        if people is not None:
            allowed = people if allowed is None else allowed & people
        if allowed is not None and allowed.all():
            allowed = None
        ties = lambda some: tie_keys(rows, some)  # noqa: E731
        return nearest_rows(queries, snapshot.embeddings, top_k, allowed, ties, weights)

    def _weights(
        self, snapshot: Snapshot, filters: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Factors (q, I) of the scenes of a snapshot, and which is that of each row (n,)."""
        if filters is None:
            return None
        with self._snapshot_lock:
            self._scenes = self._reading(
                lambda table: read_scenes(self._scenes, snapshot, table, self.address)
            )
            scenes = self._scenes
        parts = [
            scene_factors(filters.reshape(-1, filters.shape[-1]), some)
            for some in np.split(scenes.rows, range(BATCH, len(scenes.rows), BATCH))
        ]
        factors = np.concatenate(parts, 1).reshape(*filters.shape[:2], -1).mean(1)
        return factors, scenes.of_row

    def sample(self, count: int) -> np.ndarray:
        def take(table: Any) -> pa.Table:
            there = table.count_rows()
            places = np.linspace(0, there - 1, min(count, there)).astype(np.int64)
            taken = table.take_offsets(np.unique(places).tolist()).to_arrow()
            return self._checked(taken)

        rows = self._reading(take)
        return embeddings_in(rows)[column(rows, 'detection') != NOBODY]

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
        frames = next(among('frame_id', np.unique(column(rows, 'frame_id')), step=len(rows)))
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
            if self.folder is None:
                self._connection.drop_table(self._name)
            else:
                shutil.rmtree(self.folder)

    def snapshot(self, *, embeddings: bool) -> Snapshot:
        """All rows as they are now; when the table has changed, what is new of them is read."""
        version = self._reading(lambda table: table.version)
        with self._snapshot_lock:
            latest = self._snapshot
            if latest is not None and embeddings and latest.embeddings is None:
                latest = self._snapshot = None
            if latest is not None and latest.version < version:
                latest = self._reading(
                    lambda table, known=latest: extended(known, table, self.address)
                )
                self._snapshot = latest
            if latest is None:  # the one before is gone, for this takes as much memory
                latest = self._reading(
                    lambda table: read_snapshot(table, self.address, embeddings=embeddings)
                )
                self._snapshot = latest
            return latest

    def _sql(self, where: Where | None) -> list[str]:
        """Conditions; in a table of before, nobody's colours are known."""
        asked = where is not None and (where.upper is not None or where.lower is not None)
        if asked and self._reading(lambda table: 'colours' not in table.schema.names):
            return ['false']
        return to_sql(where)

    def _on_disk(self, *, embeddings: bool) -> bool:
        """Whether to read what is asked for only: not all is in memory, which may not suffice."""
        held = self._snapshot
        if held is not None and (held.embeddings is not None or not embeddings):
            return False
        return self.indexed

    def _where(self, condition: str, *, embeddings: bool) -> pa.Table:
        """Rows for which a condition holds, read from disk."""
        names = [*COLUMNS, *([EMBEDDING] if embeddings else [])]

        def read(table: Any) -> pa.Table:
            rows = completed(scan(table, names, condition).to_arrow())
            check_rows(rows, embeddings_in(rows) if embeddings else None, self.address)
            return rows

        return self._reading(read)

    def _where_any(self, conditions: Iterable[str]) -> pa.Table:
        """People for whom one of some conditions holds, with embeddings."""
        pa = require_extra('pyarrow', 'gallery')
        conditions = [f'{SOMEONE} AND {one}' for one in conditions] or ['false']
        return pa.concat_tables([self._where(one, embeddings=True) for one in conditions])

    def _checked(self, rows: pa.Table) -> pa.Table:
        rows = completed(rows)
        check_rows(rows, embeddings_in(rows), self.address)
        return rows

    def _search_index(self, query: np.ndarray, top_k: int, where: Where | None) -> list[Hit]:
        conditions, limit = self._sql(where), top_k + SPARE
        rows = self._indexed_rows(query, limit, conditions)
        someone = column(rows, 'detection') != NOBODY
        if len(rows) == limit and np.count_nonzero(someone) < top_k:
            # Not asked for at once, for it takes longer than all the rest.
            rows = self._indexed_rows(query, limit, [SOMEONE, *conditions])
            someone = np.ones(len(rows), bool)
        return ranked(query, rows.filter(someone), embeddings_in(rows)[someone], top_k)

    def _indexed_rows(self, query: np.ndarray, limit: int, conditions: list[str]) -> pa.Table:
        """The rows that the index finds for a query (D,), compared exactly, and all that it does
        not have yet.
        """
        least, share = PROBED

        def search(table: Any) -> pa.Table:
            found = table.search(query, vector_column_name=EMBEDDING)
            if conditions:
                found = found.where(' AND '.join(conditions), prefilter=True)
            # It warns where the distance is left out.
            there = [name for name in COLUMNS if name in table.schema.names]
            found = found.select([*there, EMBEDDING, '_distance']).distance_type('dot')
            probed = max(least, int(share * min(CELLS, table.count_rows() / ROWS_PER_CELL)))
            # further ones where a filter leaves too few in these
            found = found.minimum_nprobes(probed).maximum_nprobes(0)
            return found.refine_factor(REFINED).limit(limit).to_arrow()

        return self._checked(self._reading(search))

    def _exists(self) -> bool:
        if self.folder:  # without looking into the files
            return any((self.folder / '_versions').glob('*.manifest'))
        return self._name in self._connection.list_tables(limit=10**6).tables

    def _create(self, model: ModelTag) -> None:
        with self._alone():
            if not self._exists():  # nor has another process made it meanwhile
                self._connection.create_table(self._name, schema=schema_of(model), exist_ok=True)

    def _build_index(self) -> None:
        """Cells of embeddings, quantised as by RaBitQ (Gao and Long, SIGMOD 2024)."""
        index = require_extra('lancedb.index', 'gallery')
        cells = int(np.clip(self._table.count_rows() // ROWS_PER_CELL, 1, CELLS))
        options = dict(distance_type='dot', num_partitions=cells, sample_rate=SAMPLED)
        if self._table.schema.field(EMBEDDING).type.list_size % 8:  # which RaBitQ needs
            config = index.IvfFlat(**options)
        else:
            config = index.IvfRq(num_bits=BITS, **options)
        self._table.create_index(EMBEDDING, config=config, replace=True)

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
            if self._files is not None:
                self._files.check_deletions()
            self._table.checkout_latest()
            missing = GROUPING.keys() - {*self._table.schema.names}
            if missing:  # a table of before
                self._table.add_columns({name: _ZEROS[GROUPING[name]] for name in missing})
            yield
            if compacts and self._table.version % CHANGES == 0:
                with suppress(*_ERRORS):  # the change is made; the next one will see to it
                    self._optimize()
            if self._files is not None:
                self._files.record()

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
        if self._files is not None:
            self._files.check_deletions()
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
            raise DamagedGalleryError(f'{reason}{self._damage()}; {FIX}') from error

    def _damage(self) -> str:
        """Which files are damaged, and whom they are about, as far as that can be read."""
        try:
            damaged = [f'data/{path.name}' for path in self._files.damaged()]
        except OSError:
            return ''
        if not damaged:
            return ''
        sources: dict[str, None] = {}
        unknown = False
        with suppress(Exception):
            table = self._connection.open_table(self._name)
            addresses = scan(table, [ADDRESS]).to_arrow().column(ADDRESS).to_numpy()
            for part in np.unique(addresses >> np.uint64(32)).tolist():
                here = f'_rowid >= {part << 32} and _rowid < {(part + 1) << 32}'
                try:
                    scan(table, [*COLUMNS, EMBEDDING], here).to_arrow()
                except Exception:
                    try:
                        found = scan(table, ['source'], here).to_arrow().column('source')
                        sources |= dict.fromkeys(found.unique().to_pylist())
                    except Exception:
                        unknown = True
        some = ', '.join(map(repr, [*sources][:5])) + (', ...' if len(sources) > 5 else '')
        about = f', which hold rows of {len(sources)} sources: {some}' if sources else ''
        left = '; the sources of some cannot be read either' if unknown else ''
        return f'; not what was written: {", ".join(damaged)}{about}{left}'


def _hits(snapshot: Snapshot, found: list[tuple[np.ndarray, np.ndarray]]) -> list[list[Hit]]:
    """The people at the places (m,) that each query found, with their similarities (m,)."""
    if not found:
        return []
    places, similarities = map(np.concatenate, zip(*found, strict=True))
    hits = iter(hits_of(snapshot.rows.take(places), similarities))
    return [list(islice(hits, len(some))) for some, _ in found]


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


def _indexed(table: Any) -> bool:
    return any(EMBEDDING in index.columns for index in table.list_indices())
