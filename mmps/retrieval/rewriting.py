"""Frames written again, with people taken out of them or described differently."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ids import NOBODY, person_ids
from .records import Value
from .rows import Rows, concatenate, pack_metadata, unpack_metadata
from .texts import Texts

UNCHANGED: object = object()
"""Stands for what is left as it is, where None would mean unknown."""


def whole_frames(selected: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the frames of which all rows are selected, and of those of which only some are."""
    frame_ids, first, counts = np.unique(
        selected['frame_id'], return_index=True, return_counts=True
    )
    whole = counts == selected['frame_rows'][first]
    return frame_ids[whole], frame_ids[~whole]


def without(rows: Rows, embeddings: np.ndarray, ids: np.ndarray) -> tuple[Rows, np.ndarray]:
    """Take people out of their frames (n rows); a frame of which nobody is left stays, empty."""
    kept = ~np.isin(rows['id'], ids)
    frame_ids, first = np.unique(rows['frame_id'], return_index=True)
    empty = first[~np.isin(frame_ids, rows['frame_id'][kept])]
    blank = rows.take(empty)
    nobody = np.full(len(empty), NOBODY, np.int32)
    zeros = {name: np.zeros(len(empty), np.float32) for name in ('x1', 'y1', 'x2', 'y2', 'score')}
    blank = blank.replace(
        id=person_ids(blank['frame_id'], nobody),
        detection=nobody,
        **zeros,
    )
    nothing = np.zeros((len(empty), embeddings.shape[1]), np.float32)
    return concatenate([rows.take(kept), blank]), np.concatenate([embeddings[kept], nothing])


def described(
    rows: Rows, chosen: np.ndarray, camera: object, time: object, metadata: object
) -> Rows:
    """Describe the rows ``chosen`` (n,) bool differently.

    Args:
        rows: n rows.
        chosen: Which of them.
        camera: Name, None or UNCHANGED.
        time: Seconds since the epoch, None or UNCHANGED.
        metadata: Entries to set, or to remove if None; or UNCHANGED.
    """
    changes: dict[str, object] = {}
    if camera is not UNCHANGED:
        changes['camera'] = _where(chosen, Texts.of([camera]), rows.texts['camera'])
    if time is not UNCHANGED:
        changes['time'] = np.where(chosen, np.nan if time is None else time, rows['time'])
    if metadata is not UNCHANGED:
        column = rows.texts['metadata']
        values = np.array([_merged(value, metadata) for value in column.values], object)
        changes['metadata'] = _where(chosen, Texts.of(values).take(column.codes), column)
    return rows.replace(**changes)


def _merged(packed: str, changes: Mapping[str, Value | None]) -> str:
    entries = {**unpack_metadata(packed), **changes}
    return pack_metadata({key: value for key, value in entries.items() if value is not None})


def _where(chosen: np.ndarray, one: Texts, other: Texts) -> Texts:
    """Of ``one`` what is chosen, of ``other`` the rest; a single row of ``one`` stands for all."""
    if len(one) != len(other):
        one = one.take(np.zeros(len(other), np.int64))
    both = Texts.concatenate([one, other])
    return both.take(np.where(chosen, 0, len(other)) + np.arange(len(other)))


def count_people(rows: Rows) -> int:
    """How many of the rows are people."""
    return int(np.count_nonzero(rows['detection'] != NOBODY))
