"""The rows of a LanceDB table in memory, how they follow its changes, and sums of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmps.utils.errors import require_extra
from mmps.utils.files import whole_file

from .records import DamagedGalleryError
from .rows import (
    COLUMNS,
    FIX,
    NOBODY,
    SCENE,
    TEXTS,
    check_rows,
    column,
    completed,
    embeddings_in,
    places_of,
    scenes_in,
)

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 2**14
"""Rows read at a time."""
EMBEDDING = 'embedding'
ADDRESS = '_rowid'
"""Lance's name for where a row is: the number of its file, and its place in it."""
RECORD = 'mmps_files'
_DIGITS = 16
"""Of a checksum of a file."""
_CONTENT = ('id', 'checksum', 'embedding_checksum')
"""What tells that two rows are the same."""


@dataclass(frozen=True)
class Snapshot:
    """A table as it was at one moment, in memory, to be read by any number of threads.

    Rows that have been removed since others were read stay in their places, and do not count.

    Attributes:
        version: That of the table.
        rows: All rows (n), without embeddings; each column of texts keeps every text once.
        embeddings: (n, D) float32, or None if they were not read.
        addresses: (n,) int64, where Lance keeps each row. What is at an address never changes.
        alive: (n,) bool which rows count; None: all.
    """

    version: int
    rows: pa.Table
    embeddings: np.ndarray | None
    addresses: np.ndarray
    alive: np.ndarray | None = None
    _space: np.ndarray | None = field(default=None, repr=False)
    """Begins with the embeddings; behind them is room for more."""

    @property
    def count(self) -> int:
        """How many rows count."""
        return len(self.rows) if self.alive is None else int(np.count_nonzero(self.alive))

    @cached_property
    def people(self) -> np.ndarray | None:
        """(n,) bool which rows are people; None: all."""
        someone = column(self.rows, 'detection') != NOBODY
        if self.alive is not None:
            someone &= self.alive
        return None if someone.all() else someone

    def find(self, ids: np.ndarray) -> np.ndarray:
        """Place (m,) of each person of ``ids`` (m,).

        Raises:
            KeyError: One is not there.
        """
        ascending, places = self._ids
        return places[places_of(ids, ascending)]

    def of_tracklets(self, tracklets: np.ndarray) -> np.ndarray:
        """Places (m,) of all people of some tracklets (t,)."""
        ascending, places = self._tracklets
        first, last = (np.searchsorted(ascending, tracklets, side) for side in ('left', 'right'))
        parts = [places[a:b] for a, b in zip(first, last, strict=True)]
        return np.concatenate([places[:0], *parts])

    @cached_property
    def _tracklets(self) -> tuple[np.ndarray, np.ndarray]:
        return self._ascending('tracklet')

    @cached_property
    def _ids(self) -> tuple[np.ndarray, np.ndarray]:
        return self._ascending('id')

    def _ascending(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A column (p,) of all people, ascending, and their places (p,)."""
        everywhere = np.arange(len(self.rows))
        places = everywhere if self.people is None else everywhere[self.people]
        values = column(self.rows, name)[places]
        order = np.argsort(values, kind='stable')
        return values[order], places[order]

    def moved(self, present: np.ndarray, added: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Find rows that compacting has moved, which need not be read again.

        Args:
            present: (m,) int64 addresses of all rows of a later version.
            added: Addresses, ids and checksums of the rows (k) that are not at a known address.

        Returns:
            Addresses (n,) of the rows, -1 for those that are gone, and which rows of ``added``
            (k,) bool they are.
        """
        addresses = np.where(np.isin(self.addresses, present), self.addresses, -1)
        missing = addresses < 0
        if self.alive is not None:
            missing &= self.alive
            addresses[~self.alive] = -1
        missing = np.flatnonzero(missing)
        known = {name: column(self.rows, name)[missing] for name in _CONTENT}
        order = np.argsort(known['id'])
        places = np.searchsorted(known['id'], column(added, 'id'), sorter=order)
        places = order[np.minimum(places, len(order) - 1)] if len(order) else places[:0]
        same = np.full(len(added), bool(len(order)))
        for name in _CONTENT if len(order) else ():
            same &= known[name][places] == column(added, name)
        addresses[missing[places[same]]] = column(added, ADDRESS)[same].astype(np.int64)
        return addresses, same


def read_snapshot(table: Any, address: str, *, embeddings: bool) -> Snapshot:
    """All rows of a table of LanceDB, at the version that it is at, of the gallery at an address.

    Raises:
        DamagedGalleryError: A row is not what was written. So does :func:`extended`.
    """
    names = [*COLUMNS, EMBEDDING] if embeddings else COLUMNS
    count, dim = table.count_rows(), table.schema.field(EMBEDDING).type.list_size
    space = np.empty((_room(count), dim), np.float32) if embeddings else None
    parts, addresses = [], np.empty(count, np.int64)
    start = 0
    for batch in scan(table, names, addresses=True).to_batches(BATCH):
        end = start + len(batch)
        if space is not None:
            flat = batch.column(EMBEDDING).flatten().to_numpy()
            space[start:end] = flat.reshape(-1, dim)
        addresses[start:end] = batch.column(ADDRESS).to_numpy()
        parts.append(
            batch.drop_columns([n for n in (EMBEDDING, ADDRESS) if n in batch.schema.names])
        )
        start = end
    if start != count:
        raise ValueError(f'{start} rows instead of {count}')
    rows = _in_memory(parts, table.schema)
    matrix = None if space is None else space[:count]
    check_rows(rows, matrix, address)
    return Snapshot(table.version, rows, matrix, addresses, None, space)


def extended(known: Snapshot, table: Any, address: str) -> Snapshot | None:
    """A snapshot with what later versions of its table have added and removed.

    Returns:
        None where so much has changed that everything is better read anew.
    """
    last = int(known.addresses.max(initial=-1))
    added = scan(table, _CONTENT, f'_rowid >= {last + 1}', addresses=True).to_arrow()
    addresses, alive = known.addresses, known.alive
    if table.count_rows() - len(added) != known.count:
        present = scan(table, [ADDRESS]).to_arrow().column(ADDRESS)
        addresses, same = known.moved(present.to_numpy().astype(np.int64), added)
        alive, added = addresses >= 0, added.filter(~same)
    most = len(addresses) // 4 + BATCH
    if len(added) > most or (alive is not None and np.count_nonzero(~alive) > most):
        return None
    if len(added):
        return _with_rows(known, table, addresses, alive, column(added, ADDRESS), address)
    return replace(known, version=table.version, addresses=addresses, alive=alive)


@dataclass(frozen=True)
class Scenes:
    """The scenes that the rows of a snapshot are of.

    Attributes:
        addresses: (I,) int64, ascending: of the row that each was read from.
        rows: (I, S) float32.
        of_row: (n,) which of them is that of each row of the snapshot.
    """

    addresses: np.ndarray
    rows: np.ndarray
    of_row: np.ndarray


def read_scenes(known: Scenes | None, snapshot: Snapshot, table: Any, address: str) -> Scenes:
    """The scenes of a snapshot, of which those known of an earlier one are not read again.

    Raises:
        DamagedGalleryError: A scene is not what was written.
    """
    frames = column(snapshot.rows, 'frame_id')
    alive = np.arange(len(frames))
    if snapshot.alive is not None:
        alive = alive[snapshot.alive]
    _, first, inverse = np.unique(frames[alive], return_index=True, return_inverse=True)
    wanted = snapshot.addresses[alive[first]]
    order = np.argsort(wanted)
    of_row = np.zeros(len(frames), np.int64)
    of_row[alive] = np.argsort(order)[inverse]
    wanted = wanted[order]
    space = np.empty((len(wanted), table.schema.field(SCENE).type.list_size - 2), np.float32)
    missing = np.ones(len(wanted), bool)
    if known is not None and len(known.addresses):
        places = np.minimum(np.searchsorted(known.addresses, wanted), len(known.addresses) - 1)
        missing = known.addresses[places] != wanted
        space[~missing] = known.rows[places[~missing]]
    unread = np.flatnonzero(missing)
    for some in np.split(unread, range(BATCH, len(unread), BATCH)) if len(unread) else ():
        taken = table.take_row_ids(wanted[some].tolist()).select(['frame_id', SCENE])
        taken = taken.with_row_id().to_arrow()
        places = np.searchsorted(wanted, column(taken, ADDRESS).astype(np.int64))
        space[places] = scenes_in(taken, address)
    return Scenes(wanted, space, of_row)


def _with_rows(
    known: Snapshot,
    table: Any,
    addresses: np.ndarray,
    alive: np.ndarray | None,
    added: np.ndarray,
    address: str,
) -> Snapshot:
    """A later snapshot with the rows at the addresses ``added`` (k,) behind the known ones."""
    pa = require_extra('pyarrow', 'gallery')
    names = [*COLUMNS, *([EMBEDDING] if known.embeddings is not None else [])]
    parts = [
        table.take_row_ids(some.tolist())
        .select([n for n in names if n in table.schema.names])
        .with_row_id()
        .to_arrow()
        for some in np.split(added, range(BATCH, len(added), BATCH))
    ]
    taken = pa.concat_tables(parts)
    if len(taken) != len(added):
        raise ValueError(f'{len(taken)} new rows instead of {len(added)}')
    rows = _in_memory(taken.to_batches(), table.schema)
    start, end = len(addresses), len(addresses) + len(added)
    matrix, space = None, known._space
    if known.embeddings is not None:
        fresh = embeddings_in(taken)
        check_rows(rows, fresh, address)
        if end > len(space):
            space = np.empty((_room(end), space.shape[1]), np.float32)
            space[:start] = known.embeddings
        space[start:end] = fresh  # behind what other snapshots see of it
        matrix = space[:end]
    else:
        check_rows(rows, None, address)
    rows = pa.concat_tables([known.rows, rows]).unify_dictionaries().combine_chunks()
    addresses = np.concatenate([addresses, column(taken, ADDRESS).astype(np.int64)])
    if alive is not None:
        alive = np.append(alive, np.ones(len(added), bool))
    return Snapshot(table.version, rows, matrix, addresses, alive, space)


def scan(
    table: Any, columns: Sequence[str], condition: str | None = None, *, addresses: bool = False
) -> Any:
    """A query for columns of all rows, or of those for which a condition holds."""
    there = {*table.schema.names, ADDRESS}  # tables of before have fewer
    query = (
        table.search().select([name for name in columns if name in there]).limit(table.count_rows())
    )
    query = query.with_row_id(True) if addresses else query
    return query.where(condition) if condition else query


def _room(count: int) -> int:
    """Rows to make room for; what is not used takes no memory."""
    return count + count // 2 + BATCH


def _in_memory(parts: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Rows without embeddings, each column in one piece.

    Texts repeat: each is kept once, and a filter looks at it once.
    """
    pa = require_extra('pyarrow', 'gallery')
    columns = {}
    for name in (name for name in COLUMNS if name in schema.names):
        kind = schema.field(name).type
        columns[name] = pa.chunked_array([part.column(name) for part in parts], kind)
    rows = completed(pa.table(columns)).select([*COLUMNS])
    for name in TEXTS:
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, rows.column(name).dictionary_encode())
    return rows.combine_chunks()


class FileChecksums:
    """Checksums of the files in a table's folder, in a file of their own beside them.

    A changed bit in a list of deleted rows can end the process that reads it, so those are compared
    before Lance reads them. Data are compared where Lance refuses them, to say which file it is.
    What a process that was killed had just written has none until the next change.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sound: set[tuple[str, int, int]] = set()

    def check_deletions(self) -> None:
        """Raise DamagedGalleryError if a list of deleted rows is not what was written."""
        found = {}
        for path in self._folder.glob('_deletions/*'):
            with suppress(FileNotFoundError):  # compacted meanwhile
                status = path.stat()
                found[path.name, status.st_size, status.st_mtime_ns] = path
        fresh = found.keys() - self._sound
        recorded = self._recorded() if fresh else {}
        for entry in sorted(fresh & {e for e in fresh if e[0] in recorded}):
            with suppress(FileNotFoundError):
                if _file_checksum(found[entry]) != recorded[entry[0]]:
                    raise DamagedGalleryError(
                        f'{found[entry]}: this list of deleted rows is not what was written; {FIX}'
                    )
                self._sound.add(entry)
        self._sound &= found.keys()

    def damaged(self) -> list[Path]:
        """Files that are not what was written."""
        recorded = self._recorded()
        return [
            path
            for name, path in sorted(self._present().items())
            if name in recorded and _file_checksum(path) != recorded[name]
        ]

    def record(self) -> None:
        """Take up new files; nobody else changes the table meanwhile."""
        recorded, present = self._recorded(), self._present()
        lines = [
            f'\n{name} {_file_checksum(path)}\n'  # whatever a killed process left is another line
            for name, path in sorted(present.items())
            if name not in recorded
        ]
        gone = recorded.keys() - present.keys()
        if len(gone) > len(present):
            lines += [f'\n{name} {recorded[name]}\n' for name in sorted(recorded.keys() - gone)]
            with whole_file(self._folder / RECORD) as temporary:
                temporary.write_text(''.join(lines))
        elif lines:
            with open(self._folder / RECORD, 'a') as file:
                file.write(''.join(lines))

    def _present(self) -> dict[str, Path]:
        kinds = ('data', '_deletions')
        return {path.name: path for kind in kinds for path in self._folder.glob(f'{kind}/*')}

    def _recorded(self) -> dict[str, str]:
        path = self._folder / RECORD
        lines = path.read_text(errors='replace').splitlines() if path.exists() else []
        parts = [line.rpartition(' ') for line in lines]
        return {name: checksum for name, _, checksum in parts if len(checksum) == _DIGITS}


def _file_checksum(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'blake2b').hexdigest()[:_DIGITS]
