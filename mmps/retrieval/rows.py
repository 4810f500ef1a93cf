"""The table behind a gallery: a row per detection, and one per frame in which nobody was found.

Rows are tables of pyarrow's, which LanceDB takes and gives. Each row has a checksum of what it
holds: neither LanceDB nor Milvus checks what it reads, and a changed bit would become another
answer.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmps.evaluation.functional.similarities import sorted_exactly
from mmps.utils.errors import require_extra

from .records import (
    Appearance,
    DamagedGalleryError,
    GalleryError,
    Hit,
    IndexedFrame,
    ModelMismatchError,
    ModelTag,
    Value,
    Where,
    checked_frame,
)

if TYPE_CHECKING:
    import pyarrow as pa

NOBODY = -1
"""Detection number of the row that stands for a frame in which nobody was found."""
BOX = ('x1', 'y1', 'x2', 'y2')
DESCRIPTION = {
    'id': np.int64,  # of the person: the same whenever the frame is written again
    'frame_id': np.int64,
    'detection': np.int32,
    'frame': np.int64,
    'width': np.int32,
    'height': np.int32,
    **dict.fromkeys(BOX, np.float32),
    'score': np.float32,
    'offset': np.float64,
    'time': np.float64,
    'embedding_checksum': np.int64,
    **dict.fromkeys(('source', 'camera', 'metadata'), str),
}
GROUPING = {'tracklet': np.int64, 'quality': np.float32, 'colours': str}
"""Whom a row is one picture of, how good a one, and the colours of clothes in it. Tables of before
lack them and get them when they are opened, as 0 and an empty text: in no tracklet, unknown. For
the sake of checksums a new one comes last."""
COLUMNS = {**DESCRIPTION, **GROUPING, 'checksum': np.int64}
"""All but the embedding."""
TEXTS = tuple(name for name, kind in COLUMNS.items() if kind is str)
UNKNOWN = ('offset', 'time', 'camera')
"""Columns in which null stands for unknown."""
EMBEDDING = 'embedding'
SCENE = 'scene'
"""Only where the model embeds scenes: that of the row's frame, and its checksum, as words."""

FIX = 'restore the gallery from a backup, or drop it and index again'
"""What to do about a damaged one."""

_MODEL = b'mmps_gallery'


def schema_of(model: ModelTag) -> pa.Schema:
    """The schema of the table of a model's embeddings, which names the model."""
    pa = require_extra('pyarrow', 'gallery')
    types = {
        name: pa.string() if kind is str else pa.from_numpy_dtype(kind)
        for name, kind in COLUMNS.items()
    }
    types[EMBEDDING] = pa.list_(pa.float32(), model.embed_dim)
    if model.scene_dim:
        types[SCENE] = pa.list_(pa.uint32(), model.scene_dim + 2)
    # Lance then refuses to commit two writes of one row that did not see each other
    key = {'lance-schema:unenforced-primary-key': 'true'}
    fields = [
        pa.field(name, kind, nullable=name in UNKNOWN, metadata=key if name == 'id' else None)
        for name, kind in types.items()
    ]
    return pa.schema(fields, metadata={_MODEL: json.dumps(model.as_dict())})


def model_of(schema: pa.Schema, address: str) -> ModelTag:
    """The model named in the schema of a table.

    Raises:
        GalleryError: It is not one of a gallery.
    """
    if _MODEL not in (schema.metadata or {}):
        raise no_gallery(address)
    return ModelTag(**json.loads(schema.metadata[_MODEL]))


def no_gallery(address: str) -> GalleryError:
    """What to say of a table that cannot be read as a gallery."""
    return GalleryError(
        f'{address}: no gallery of mmps, or one written by an earlier version; index again into a '
        'new gallery'
    )


def check_model(what: str, made: ModelTag, model: ModelTag, fix: str) -> None:
    """Raise ModelMismatchError where something was made by another model."""
    if (made.fingerprint, made.embed_dim) != (model.fingerprint, model.embed_dim):
        one, other = (f'{m.name} ({m.fingerprint[:12]}, {m.embed_dim}-d)' for m in (made, model))
        raise ModelMismatchError(
            f'{what} was made by {one}, but this is {other}, whose embeddings cannot be compared '
            f'with those: {fix}'
        )


def frame_id(source: str, frame: int) -> int:
    """63-bit hash of a frame."""
    digest = blake2b(f'{source}\0{frame}'.encode(errors='surrogatepass'), digest_size=8).digest()
    return int.from_bytes(digest, 'big') >> 1


def person_ids(frame_ids: np.ndarray, detections: np.ndarray) -> np.ndarray:
    """63-bit hashes (n,) int64 of people, by frame and number of the detection in it, both (n,)."""
    return mixed(frame_ids, detections.astype(np.int64) + 1)


def mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """63-bit hashes (n,) int64 of pairs of numbers, both (n,).

    The finaliser of SplitMix64 (Steele et al., Fast Splittable Pseudorandom Number Generators,
    OOPSLA 2014) over a combination of two columns.
    """
    z = a.astype(np.uint64) ^ (b.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)


def rows_of(frames: Sequence[IndexedFrame], model: ModelTag) -> pa.Table:
    """The rows (n) of at least one frame.

    Raises:
        ValueError: Something does not fit; the message names the frame and the part of it.
    """
    import pyarrow as pa

    frames = [checked_frame(frame, model) for frame in frames]
    people = np.array([len(frame.scores) for frame in frames], np.int64)
    counts = np.maximum(people, 1)
    of_row = np.repeat(np.arange(len(frames)), counts)
    real = people[of_row] > 0
    detections = np.arange(len(of_row)) - (np.cumsum(counts) - counts)[of_row]
    detections[~real] = NOBODY
    frame_ids = np.array([frame_id(f.source, f.frame) for f in frames], np.int64)[of_row]

    def found(part: str, *width: int) -> np.ndarray:
        arrays = np.concatenate([getattr(frame, part) for frame in frames])
        values = np.full((len(of_row), *width), '' if arrays.dtype == object else 0, arrays.dtype)
        values[real] = arrays
        return values

    schema, boxes = schema_of(model), found('bboxes', 4)
    embeddings = found('embeddings', model.embed_dim)
    of_frames = {
        'frame': [f.frame for f in frames],
        'width': [f.size[0] for f in frames],
        'height': [f.size[1] for f in frames],
        'metadata': [pack_metadata(f.metadata) for f in frames],
        **{n: [getattr(f, n) for f in frames] for n in ('offset', 'time', 'source', 'camera')},
    }
    columns = {
        **{n: pa.array(v, schema.field(n).type).take(of_row) for n, v in of_frames.items()},
        'id': person_ids(frame_ids, detections),
        'frame_id': frame_ids,
        'detection': detections.astype(np.int32),
        **dict(zip(BOX, boxes.T, strict=True)),
        'score': found('scores'),
        'embedding_checksum': embedding_checksums(embeddings),
        'tracklet': found('tracklets'),
        'quality': found('quality'),
        'colours': found('colours'),
        'checksum': np.zeros(len(of_row), np.int64),
        EMBEDDING: embedding_column(embeddings),
    }
    if model.scene_dim:
        scenes = np.stack([frame.scene for frame in frames])[of_row]
        checksums = _scene_checksums(scenes, frame_ids)
        words = np.concatenate([scenes.view(np.uint32), checksums.view(np.uint32)], 1)
        columns[SCENE] = embedding_column(words)
    return with_checksums(pa.table(columns, schema))


def without_people(rows: pa.Table, frame_ids: np.ndarray) -> pa.Table:
    """Of each of some frames (m,), the row that says that nobody was found in it.

    ``rows`` are with embeddings, of these frames among others.
    """
    first = np.unique(column(rows, 'frame_id'), return_index=True)[1]
    rows = rows.take(first[np.isin(column(rows, 'frame_id')[first], frame_ids)])
    nobody = np.full(len(rows), NOBODY)
    embeddings = np.zeros_like(embeddings_in(rows))
    rows = replaced(
        rows,
        id=person_ids(column(rows, 'frame_id'), nobody),
        detection=nobody,
        embedding=embedding_column(embeddings),
        embedding_checksum=embedding_checksums(embeddings),
        **dict.fromkeys([*BOX, 'score', 'quality', 'tracklet'], np.zeros(len(rows))),
        colours=[''] * len(rows),
    )
    return with_checksums(rows)


def described(rows: pa.Table, chosen: np.ndarray, changes: Mapping[str, object]) -> pa.Table:
    """The rows, of which those ``chosen`` (n,) bool have another camera, time or metadata."""
    columns = {}
    for name, value in changes.items():
        before = rows.column(name).to_pylist()
        after = dict.fromkeys(before, value)
        if name == 'metadata':
            merged = {old: unpack_metadata(old) | dict(value) for old in after}
            after = {
                old: pack_metadata({k: v for k, v in entries.items() if v is not None})
                for old, entries in merged.items()
            }
        columns[name] = [after[b] if c else b for c, b in zip(chosen, before, strict=True)]
    return with_checksums(replaced(rows, **columns))


def scenes_in(rows: pa.Table, address: str) -> np.ndarray:
    """Embeddings (n, S) float32 of the scenes of rows that have them.

    Raises:
        DamagedGalleryError: One is not what was written.
    """
    words = embeddings_in(rows, SCENE)
    scenes = np.ascontiguousarray(words[:, :-2]).view(np.float32)
    checksums = np.ascontiguousarray(words[:, -2:]).view(np.int64)
    wrong = (_scene_checksums(scenes, column(rows, 'frame_id')) != checksums).any(1)
    if wrong.any():
        number = column(rows, 'frame_id')[np.argmax(wrong)]
        raise DamagedGalleryError(
            f'{address}: embeddings of {np.count_nonzero(wrong)} scenes are not what was written, '
            f'the first of the frame with id {number}; {FIX}'
        )
    return scenes


def _scene_checksums(scenes: np.ndarray, frame_ids: np.ndarray) -> np.ndarray:
    """(n, 1) int64."""
    return (embedding_checksums(scenes) ^ frame_ids)[:, None]


def embedding_column(embeddings: np.ndarray) -> pa.Array:
    """Embeddings (n, D) float32, or other rows of numbers, as a column of a table."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(embeddings).reshape(-1)), embeddings.shape[1]
    )


def embeddings_in(rows: pa.Table, name: str = EMBEDDING) -> np.ndarray:
    """Embeddings (n, D) float32 of rows that have them, or a column of that kind."""
    column = rows.column(name)
    chunks = [chunk.flatten().to_numpy() for chunk in column.chunks]
    kind = column.type.value_type.to_pandas_dtype()
    flat = np.concatenate(chunks) if chunks else np.zeros(0, kind)
    return flat.reshape(-1, column.type.list_size)


def column(rows: pa.Table, name: str) -> np.ndarray:
    """A column (n,) of numbers; NaN stands for unknown."""
    return rows.column(name).to_numpy()


def texts(rows: pa.Table, name: str) -> tuple[np.ndarray, pa.Array]:
    """A column of texts as codes (n,), -1 for None, and the different texts."""
    parts = rows.column(name).dictionary_encode().unify_dictionaries()
    whole = parts.chunk(0) if parts.num_chunks == 1 else parts.combine_chunks()
    return whole.indices.fill_null(-1).to_numpy(), whole.dictionary


def tie_keys(rows: pa.Table, places: np.ndarray) -> list[np.ndarray]:
    """What sorts the equally similar people at some places (m,): source, frame, detection."""
    some = rows.select(['source', 'frame', 'detection']).take(places)
    sources = np.unique(np.array(_listed(some, 'source'), str), return_inverse=True)[1]
    return [sources, column(some, 'frame'), column(some, 'detection')]


def of_people(rows: pa.Table, ids: np.ndarray) -> pa.Table:
    """Among rows, those of people by id (m,), in that order.

    Raises:
        KeyError: One is not there.
    """
    people = np.flatnonzero(column(rows, 'detection') != NOBODY)
    people = people[np.argsort(column(rows, 'id')[people])]
    there = column(rows, 'id')[people]
    missing = ~np.isin(ids, there)
    if missing.any():
        raise KeyError(f'the gallery has nobody with id {ids[missing][0]}')
    return rows.take(people[np.searchsorted(there, ids)])


class Search(NamedTuple):
    """What is searched for.

    Attributes:
        queries: (q, D) float32.
        top_k: How many people to find for each.
        where: Among whom.
        approximate: Whether an index may be used, if there is one.
        scene_filters: (q, p, 3 * S + 2) float32, which weigh the similarities; these are then
            computed exactly. Only where the model embeds scenes.
    """

    queries: np.ndarray
    top_k: int
    where: Where | None = None
    approximate: bool = False
    scene_filters: np.ndarray | None = None

    def checked(self, model: ModelTag) -> Search:
        """With arrays of the right types, for a gallery of a model.

        Raises:
            ValueError: Something does not fit.
        """
        queries, filters = np.atleast_2d(np.asarray(self.queries, np.float32)), None
        if queries.ndim != 2 or queries.shape[1] != model.embed_dim:
            shape = np.shape(self.queries)
            raise ValueError(f'queries have shape {shape}, not (q, {model.embed_dim})')
        if not np.isfinite(queries).all():
            raise ValueError('queries are not finite')
        if self.top_k < 1:
            raise ValueError(f'top_k is {self.top_k}, but has to be at least 1')
        if self.scene_filters is not None and model.scene_dim:
            filters = np.asarray(self.scene_filters, np.float32)
            filters = filters[:, None] if filters.ndim == 2 else filters
            wanted = len(queries), 3 * model.scene_dim + 2
            if filters.ndim != 3 or filters.shape[::2] != wanted or not filters.size:
                shape = np.shape(self.scene_filters)
                raise ValueError(f'scene_filters have shape {shape}, not {wanted}')
            if not np.isfinite(filters).all():
                raise ValueError('scene_filters are not finite')
        return self._replace(queries=np.ascontiguousarray(queries), scene_filters=filters)

    def of(self, numbers: Sequence[int], top_k: int) -> Search:
        """For some of the queries, and so many people."""
        filters = None if self.scene_filters is None else self.scene_filters[numbers]
        return self._replace(queries=self.queries[numbers], top_k=top_k, scene_filters=filters)


class Found(NamedTuple):
    """Who looks most like a query: at which places (m,) of some rows, best first, and how much
    (m,).
    """

    rows: pa.Table
    places: np.ndarray
    similarities: np.ndarray

    @classmethod
    def among(cls, query: np.ndarray, rows: pa.Table, top_k: int) -> Found:
        """Of some people, with their embeddings, those who look most like a query (D,)."""
        ties = lambda some: tie_keys(rows, some)  # noqa: E731
        return cls(
            rows, *sorted_exactly(query, embeddings_in(rows), np.arange(len(rows)), top_k, ties)
        )

    def of_each_tracklet(self, top_k: int) -> Found:
        """Of each tracklet only the first; who is in none counts."""
        own = column(self.rows, 'tracklet')[self.places]
        own = np.where(own == 0, -1 - self.places, own)
        first = np.sort(np.unique(own, return_index=True)[1])[:top_k]
        return Found(self.rows, self.places[first], self.similarities[first])


def hits_of_each(found: Sequence[Found]) -> list[list[Hit]]:
    """The hits of each of some searches; those among the same rows are read at once."""
    hits: list[list[Hit]] = []
    for _, alike in groupby(found, key=lambda one: id(one.rows)):
        some = [*alike]
        _, places, similarities = zip(*some, strict=True)
        rows = some[0].rows.take(np.concatenate(places))
        every = iter(hits_of(rows, np.concatenate(similarities)))
        hits += [[*islice(every, len(one.places))] for one in some]
    return hits


def replaced(rows: pa.Table, **columns: object) -> pa.Table:
    """The rows with other columns."""
    import pyarrow as pa

    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(place)
        values = values if isinstance(values, pa.Array) else pa.array(values, field.type)
        rows = rows.set_column(place, field, values)
    return rows


def hits_of(rows: pa.Table, similarities: Iterable[float] | None = None) -> list[Hit]:
    """Rows for people to read, with similarities (n,), or NaN."""
    similarities = [float('nan')] * len(rows) if similarities is None else similarities
    names = ('score', 'source', 'frame', 'offset', 'time', 'camera')
    every = ('id', *BOX, *names, 'width', 'height', 'metadata', 'tracklet', 'colours')
    values = {name: _listed(rows, name) for name in every}
    # the entries of one video are the same text thousands of times
    entries = {packed: unpack_metadata(packed) for packed in set(values['metadata'])}
    worn = {packed: unpack_colours(packed) for packed in set(values['colours'])}
    columns = (
        values['id'],
        map(float, similarities),
        zip(*(values[side] for side in BOX), strict=True),
        *(values[name] for name in names),
        zip(values['width'], values['height'], strict=True),
        (dict(entries[packed]) for packed in values['metadata']),
        values['tracklet'],
        (worn[packed][0] for packed in values['colours']),
        (worn[packed][1] for packed in values['colours']),
    )
    return [Hit(*one) for one in zip(*columns, strict=True)]


def appearances_of(rows: pa.Table) -> list[Appearance]:
    """The appearances of all people of some tracklets, in rows with embeddings.

    Their similarities are NaN, and ``hit`` is ``best``.
    """
    own, ids, quality = (column(rows, name) for name in ('tracklet', 'id', 'quality'))
    own = np.where(own == 0, ids, own)
    times, offsets, moments = _seconds(rows, 'time'), _seconds(rows, 'offset'), moments_of(rows)
    order = np.lexsort([ids, -column(rows, 'score'), -quality, own])
    starts = np.flatnonzero(np.diff(own[order], prepend=-1))
    if not len(starts):
        return []
    counts = np.diff(starts, append=len(order))
    means = np.add.reduceat(embeddings_in(rows)[order], starts)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    spans = [
        [None if math.isnan(value) else value for value in extreme.reduceat(what, starts).tolist()]
        for what in (times[order], offsets[order])
        for extreme in (np.fmin, np.fmax)
    ]
    shown = hits_of(rows.take(order[starts]))
    earliest = np.lexsort([moments[order], np.repeat(starts, counts)])[starts]
    columns = (
        own[order[starts]].tolist(),
        [best.similarity for best in shown],
        shown,
        shown,
        rows.column('source').take(order[earliest]).to_pylist(),
        [best.camera for best in shown],
        *spans,
        counts.tolist(),
        means,
    )
    return [Appearance(*one) for one in zip(*columns, strict=True)]


def moments_of(rows: pa.Table) -> np.ndarray:
    """(n,) seconds by which rows of one sequence are in order; NaN where nothing tells."""
    offsets = _seconds(rows, 'offset')
    return np.where(np.isnan(offsets), _seconds(rows, 'time'), offsets)


def _seconds(rows: pa.Table, name: str) -> np.ndarray:
    return column(rows, name).astype(np.float64)  # objects where all are unknown


def _listed(rows: pa.Table, name: str) -> list:
    """A column (n,) as objects of Python's, faster than pyarrow's own lists."""
    if name in TEXTS:
        codes, different = texts(rows, name)  # of a whole gallery, of which few are here
        used, places = np.unique(codes, return_inverse=True)
        known = [different[code].as_py() if code >= 0 else None for code in used.tolist()]
        return [known[place] for place in places.tolist()]
    if rows.column(name).null_count:
        values = column(rows, name).astype(np.float64).tolist()
        return [None if value != value else value for value in values]
    return column(rows, name).tolist()


def pack_metadata(metadata: Mapping[str, Value]) -> str:
    r"""One string of all entries as JSON, sorted by name, each between commas.

    An entry can be searched for as a substring with its commas: within a JSON string a quotation
    mark is written ``\"``, so that ``,"`` begins an entry and nothing else.
    """
    items = [metadata_item(key, metadata[key]) for key in sorted(metadata)]
    return f',{",".join(items)},' if items else ','


def metadata_item(key: str, value: Value) -> str:
    """One entry in what :func:`pack_metadata` writes."""
    return f'{json.dumps(key)}:{json.dumps(value)}'


def unpack_metadata(packed: str) -> dict[str, Value]:
    """The entries in what :func:`pack_metadata` wrote."""
    return json.loads('{' + packed[1:-1] + '}')


def pack_colours(upper: Iterable[str], lower: Iterable[str]) -> str:
    """One text of somebody's colours, in which each stands between commas."""
    items = [*(f'upper {colour}' for colour in upper), *(f'lower {colour}' for colour in lower)]
    return f',{",".join(items)},' if items else ''


def unpack_colours(packed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The upper and the lower colours in what :func:`pack_colours` wrote."""
    items = [item.partition(' ')[::2] for item in packed.split(',') if item]
    upper, lower = (tuple(c for place, c in items if place == one) for one in ('upper', 'lower'))
    return upper, lower


def with_checksums(rows: pa.Table) -> pa.Table:
    """The rows with the checksums of what they hold."""
    return replaced(rows, checksum=_checksums(rows))


def check_rows(
    rows: pa.Table,
    address: str,
    embeddings: np.ndarray | None = None,
    good: np.ndarray | bool = True,
) -> None:
    """Compare rows (n) that were read with their checksums.

    Their embeddings are in them, or (n, D) beside them, or were not read. ``good`` (n,) bool tells
    which rows are right in what else the engine has of them.

    Raises:
        DamagedGalleryError: A row is not what was written; the message names the first.
    """
    wrong = (_checksums(rows) != column(rows, 'checksum')) | ~np.asarray(good)
    if EMBEDDING in rows.schema.names:
        embeddings = embeddings_in(rows)
    if embeddings is not None:
        wrong |= embedding_checksums(embeddings) != column(rows, 'embedding_checksum')
    if not wrong.any():
        return
    place = int(np.argmax(wrong))
    one = {name: rows.column(name)[place] for name in ('frame', 'detection', 'id')}
    codes, different = texts(rows, 'source')
    source = different[int(codes[place])].cast('binary').as_py().decode(errors='replace')
    raise DamagedGalleryError(
        f'{address}: {np.count_nonzero(wrong)} rows are not what was written, the first of '
        f'{source!r}, frame {one["frame"]}, person {one["detection"]} (id {one["id"]}); {FIX}'
    )


def embedding_checksums(embeddings: np.ndarray) -> np.ndarray:
    """Checksums (n,) int64 of embeddings (n, D) float32, at about the speed of memory.

    A sum of words, each times an odd weight of its own, modulo 2**64: a change within one word
    always changes the sum. It is not made to withstand forgers.
    """
    words = np.ascontiguousarray(embeddings).view(np.uint32)
    if words.shape[1] % 2 == 0:
        words = words.view(np.uint64)
    weights = _weights(words.shape[1])
    return (np.einsum('nd,d->n', words, weights) + weights[-1]).view(np.int64)


def _checksums(rows: pa.Table) -> np.ndarray:
    """Checksums (n,) int64 of all columns but the embedding, which has one among them."""
    names = (*DESCRIPTION, '', *GROUPING)
    weights = dict(zip(names, _weights(len(names)), strict=True))
    total = np.full(len(rows), weights.pop(''))  # in the middle, as it was before grouping
    for name, weight in weights.items():
        if name not in TEXTS:
            values = column(rows, name)
            words = values.view(f'u{values.dtype.itemsize}')
        else:
            codes, different = texts(rows, name)
            sums = [zlib.crc32(text) for text in different.cast('binary').to_pylist()]
            words = np.array([*sums, 2**32], np.uint64)[codes]
        total += weight * words.astype(np.uint64)
    return total.view(np.int64)


@lru_cache
def _weights(count: int) -> np.ndarray:
    """(count,) uint64 odd numbers without a pattern."""
    numbers = np.arange(1, count + 1)
    return (mixed(numbers, numbers).astype(np.uint64) << np.uint64(1)) | np.uint64(1)
