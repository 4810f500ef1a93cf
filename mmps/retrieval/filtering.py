"""Which rows count, and which of those pass a filter."""

from __future__ import annotations

import numpy as np

from .records import Where
from .rows import Rows, metadata_choices
from .texts import Texts


def latest_frames(rows: Rows) -> tuple[np.ndarray | None, np.ndarray]:
    """Which rows count: of each frame, those of the latest batch that is there as a whole.

    Returns:
        A mask (n,) bool, or None if all count; and the indices (m,) of rows that belong to a part
        of a frame, whose other rows are missing.
    """
    frames, batches = rows['frame_id'], rows['batch']
    # rows of one frame in one batch mostly follow each other, so there is less to sort than rows
    new = np.ones(len(rows), bool)
    new[1:] = (frames[1:] != frames[:-1]) | (batches[1:] != batches[:-1])
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, len(rows)))
    order = np.lexsort((batches[starts], frames[starts]))
    frame, batch = frames[starts][order], batches[starts][order]
    first = np.ones(len(order), bool)
    first[1:] = (frame[1:] != frame[:-1]) | (batch[1:] != batch[:-1])
    written = np.cumsum(first) - 1
    there = np.bincount(written, lengths[order]).astype(np.int64)
    at = np.flatnonzero(first)
    whole = there == rows['frame_rows'][starts][order][at]
    # of the whole ones, the last of each frame
    good = np.flatnonzero(whole)
    last = np.ones(len(good), bool)
    last[:-1] = frame[at][good][1:] != frame[at][good][:-1]
    counts = np.zeros(len(at), bool)
    counts[good[last]] = True
    if counts.all():
        return None, np.zeros(0, np.int64)
    of_run = np.empty(len(order), np.int64)
    of_run[order] = written
    of_row = np.repeat(of_run, lengths)
    return counts[of_row], np.flatnonzero(~whole[of_row])


def passing(rows: Rows, where: Where | None) -> np.ndarray | None:
    """Mask (n,) bool of the rows that pass a filter; None if nothing is restricted."""
    if where is None:
        return None
    masks = []
    if where.cameras is not None:
        masks.append(_among(rows.texts['camera'], where.cameras))
    if where.sources is not None:
        masks.append(_among(rows.texts['source'], where.sources))
    if where.since is not None:
        masks.append(rows['time'] >= where.since)
    if where.until is not None:
        masks.append(rows['time'] < where.until)
    for items in metadata_choices(where.metadata or {}):
        column = rows.texts['metadata']
        found = [column.containing(f',{item},') for item in items]
        masks.append(_of_codes(column, np.unique(np.concatenate(found))))
    if not masks:
        return None
    for mask in masks[1:]:
        masks[0] &= mask
    return masks[0]


def _among(column: Texts, wanted: object) -> np.ndarray:
    found = [column.numbers[text] for text in set(wanted) if text in column.numbers]
    return _of_codes(column, np.array(found, np.int64))


def _of_codes(column: Texts, wanted: np.ndarray) -> np.ndarray:
    if not len(wanted):
        return np.zeros(len(column), bool)
    if len(wanted) == 1:
        return column.codes == wanted[0]
    table = np.zeros(len(column.values) + 1, bool)
    table[wanted] = True
    return table.take(column.codes, mode='wrap')  # -1 is the last; without checks of bounds
