"""The table behind a gallery: a row per detection, and one per frame in which nobody was found."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .ids import NOBODY, frame_id, person_ids, row_ids
from .records import AsWritten, Hit, IndexedFrame, Value
from .texts import Texts

NUMBERS = {
    'row': np.int64,  # of this row alone
    'id': np.int64,  # of the person: the same whenever the frame is written again
    'frame_id': np.int64,
    'batch': np.int64,  # what was written at once; of a frame, only the latest counts
    'detection': np.int32,
    'frame_rows': np.int32,  # of the frame in this batch, so that a missing one is noticed
    'frame': np.int64,
    'width': np.int32,
    'height': np.int32,
    'x1': np.float32,
    'y1': np.float32,
    'x2': np.float32,
    'y2': np.float32,
    'score': np.float32,
    'offset': np.float64,  # NaN: unknown
    'time': np.float64,  # NaN: unknown
}
TEXTS = ('source', 'camera', 'metadata')
COLUMNS = (*NUMBERS, *TEXTS)

_NUMBER = re.compile(r'[+-]?(\d{1,300}\.?\d*|\.\d+)([eE][+-]?\d{1,3})?', re.ASCII)
_INTEGER = re.compile(r'[+-]?\d{1,300}', re.ASCII)
_BOX = ('x1', 'y1', 'x2', 'y2')


@dataclass(frozen=True)
class Rows:
    """Columns of the table, but for the embeddings.

    Attributes:
        numbers: (n,) arrays of the types in ``NUMBERS``.
        texts: The columns in ``TEXTS``; metadata as :func:`pack_metadata` writes it.
    """

    numbers: Mapping[str, np.ndarray]
    texts: Mapping[str, Texts]

    def __len__(self) -> int:
        return len(self.numbers['row'])

    def __getitem__(self, name: str) -> np.ndarray:
        """A column of numbers."""
        return self.numbers[name]

    def take(self, rows: np.ndarray) -> Rows:
        """Some rows: indices (m,) or a mask (n,)."""
        return Rows(
            {name: column[rows] for name, column in self.numbers.items()},
            {name: column.take(rows) for name, column in self.texts.items()},
        )

    def replace(self, **columns: np.ndarray | Texts) -> Rows:
        """The rows with other columns."""
        return Rows(
            {name: columns.get(name, column) for name, column in self.numbers.items()},
            {name: columns.get(name, column) for name, column in self.texts.items()},
        )

    def rewritten(self, batch: int, frame_rows: np.ndarray | None = None) -> Rows:
        """The rows as part of another batch, with other counts of rows (n,) per frame if given."""
        batches = np.full(len(self), batch, np.int64)
        return self.replace(
            batch=batches,
            row=row_ids(self['id'], batches),
            frame_rows=self['frame_rows'] if frame_rows is None else frame_rows.astype(np.int32),
        )

    def hit(self, row: int, similarity: float) -> Hit:
        """One row for people to read."""
        numbers = {name: column[row].item() for name, column in self.numbers.items()}
        return Hit(
            id=numbers['id'],
            similarity=similarity,
            bbox=tuple(numbers[name] for name in _BOX),
            score=numbers['score'],
            source=self.texts['source'][row],
            frame=numbers['frame'],
            offset=None if np.isnan(numbers['offset']) else numbers['offset'],
            time=None if np.isnan(numbers['time']) else numbers['time'],
            camera=self.texts['camera'][row],
            size=(numbers['width'], numbers['height']),
            metadata=unpack_metadata(self.texts['metadata'][row]),
        )


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Rows one after another; at least one part."""
    return Rows(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in NUMBERS},
        {name: Texts.concatenate([part.texts[name] for part in parts]) for name in TEXTS},
    )


def rows_of(frames: Sequence[IndexedFrame], batch: int, dim: int) -> tuple[Rows, np.ndarray]:
    """The rows of frames that have been checked, and their embeddings (n, D) float32."""
    people = np.array([len(frame.scores) for frame in frames], np.int64)
    counts = np.maximum(people, 1)
    starts = np.cumsum(counts) - counts
    total = int(counts.sum())
    real = np.repeat(people > 0, counts)
    detections = np.where(real, np.arange(total) - np.repeat(starts, counts), NOBODY)
    frame_ids = np.array([frame_id(f.source, f.frame) for f in frames], np.int64).repeat(counts)
    ids, batches = person_ids(frame_ids, detections), np.full(total, batch, np.int64)

    def each(values: Iterable[float | None]) -> np.ndarray:
        known = [np.nan if value is None else value for value in values]
        return np.repeat(np.array(known, np.float64), counts)

    def spread(arrays: Iterable[np.ndarray], *shape: int) -> np.ndarray:
        table = np.zeros((total, *shape), np.float32)
        if real.any():
            table[real] = np.concatenate([np.reshape(a, (-1, *shape)) for a in arrays])
        return table

    boxes = spread((f.bboxes for f in frames), 4)
    embeddings = spread((f.embeddings for f in frames), dim)
    numbers = {
        'row': row_ids(ids, batches),
        'id': ids,
        'frame_id': frame_ids,
        'batch': batches,
        'detection': detections.astype(np.int32),
        'frame_rows': counts.repeat(counts).astype(np.int32),
        'frame': np.array([f.frame for f in frames], np.int64).repeat(counts),
        'width': np.array([f.size[0] for f in frames], np.int32).repeat(counts),
        'height': np.array([f.size[1] for f in frames], np.int32).repeat(counts),
        **{name: boxes[:, i].copy() for i, name in enumerate(_BOX)},
        'score': spread(f.scores for f in frames),
        'offset': each(f.offset for f in frames),
        'time': each(f.time for f in frames),
    }
    texts = {
        'source': Texts.of(f.source for f in frames).repeat(counts),
        'camera': Texts.of(f.camera for f in frames).repeat(counts),
        'metadata': Texts.of(pack_metadata(f.metadata) for f in frames).repeat(counts),
    }
    return Rows(numbers, texts), embeddings


def metadata_items(metadata: Mapping[str, Value]) -> list[str]:
    """Each entry as JSON, sorted by name."""
    return [_item(key, metadata[key]) for key in sorted(metadata)]


def metadata_choices(metadata: Mapping[str, Value]) -> list[list[str]]:
    """For each entry of a filter, sorted by name, the items that it finds, as JSON."""
    return [
        list(dict.fromkeys(_item(key, value) for value in _written_so(metadata[key])))
        for key in sorted(metadata)
    ]


def _item(key: str, value: Value) -> str:
    return f'{json.dumps(key)}:{json.dumps(value)}'


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


def pack_metadata(metadata: Mapping[str, Value]) -> str:
    r"""One string of all entries, each between commas.

    An entry can be searched for as a substring with its commas: within a JSON string a quotation
    mark is written ``\"``, so that ``,"`` begins an entry and nothing else.
    """
    items = metadata_items(metadata)
    return f',{",".join(items)},' if items else ','


def unpack_metadata(packed: str) -> dict[str, Value]:
    """The entries in what :func:`pack_metadata` wrote."""
    return json.loads('{' + packed[1:-1] + '}')
