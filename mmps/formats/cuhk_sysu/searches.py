"""The searches of a CUHK-SYSU protocol file: a query, and the images it is searched in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats.mat.records import read_records
from mmps.formats.mat.table import Numbers, Table
from mmps.formats.scene_index import has_area

from .images import whole_boxes
from .name_table import NameTable

_FIELDS = ('imname', 'idlocate')


@dataclass(frozen=True)
class Searches:
    """S searches.

    Attributes:
        path: The file they come from.
        query_images: S image names.
        query_bboxes: (S, 4) float32 xyxy.
        galleries: Where each is searched; its images are positions among the test images.
    """

    path: Path
    query_images: list[str]
    query_bboxes: np.ndarray
    galleries: SearchGalleries


def read_searches(path: Path, key: str, images: Sequence[str]) -> Searches:
    """Read a protocol: for each query its image and box, and the entries of its gallery.

    An entry without a box is an image that does not show the person. Entries that repeat an image
    are all kept.

    Args:
        path: ``TestG100.mat``, ``Occlusion.mat`` or another file of that form.
        key: The variable in it.
        images: Names of the test images.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable, or an entry is impossible; the message names file and row.
    """
    tables = read_records(path, key, {'Query': _FIELDS, 'Gallery': _FIELDS})
    query, gallery = tables['Query'], tables['Gallery']
    odd = np.flatnonzero(np.diff(query.splits) != 1)
    if len(odd):
        raise ValueError(f'{path}: row {odd[0]} (counted from 0) has not one Query')
    with_box, query_bboxes = _boxes(query, f'{path}: Query')
    without = np.setdiff1d(np.arange(len(query.splits) - 1), with_box)
    if len(without):
        raise ValueError(f'{path}: Query, row {without[0]} (counted from 0) has no box')
    positives, bboxes = _boxes(gallery, f'{path}: Gallery')
    return Searches(
        path=path,
        query_images=[name.decode() for name in _names(query, f'{path}: Query').tolist()],
        query_bboxes=query_bboxes,
        galleries=SearchGalleries(
            gallery.splits, _positions(gallery, images, path), positives, bboxes
        ),
    )


def _names(table: Table, place: str) -> np.ndarray:
    names = table.columns['imname']
    if isinstance(names, Numbers):
        raise ValueError(f'{place}: imname holds numbers instead of image names')
    return names


def _boxes(table: Table, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have a box, and (n, 4) float32 xyxy."""
    column = table.columns['idlocate']
    if not isinstance(column, Numbers):
        if len(column):
            raise ValueError(f'{place}: idlocate holds text instead of boxes')
        return np.empty(0, np.int64), np.empty((0, 4), np.float32)
    counts = np.diff(column.splits)
    odd = np.flatnonzero((counts != 0) & (counts != 4))
    if len(odd):
        raise ValueError(
            f'{place}, {_row(table, odd[0])} has an idlocate of {counts[odd[0]]} numbers; a box '
            'is x, y, width, height, and an image without the person has none'
        )
    rows, bboxes = np.flatnonzero(counts), whole_boxes(column.values.reshape(-1, 4))
    bad = np.flatnonzero(~(np.isfinite(bboxes).all(1) & has_area(bboxes)))
    if len(bad):
        raise ValueError(
            f'{place}, {_row(table, rows[bad[0]])} has the box {bboxes[bad[0]].tolist()} (x1, y1, '
            'x2, y2), which has no area or is not finite; correct it, or empty it in a gallery'
        )
    return rows, bboxes


def _positions(table: Table, images: Sequence[str], path: Path) -> np.ndarray:
    """(n,) int32 position of each gallery entry among the test images."""
    names = _names(table, f'{path}: Gallery')
    positions = NameTable(images).find(names)
    unknown = np.flatnonzero(positions < 0)
    if len(unknown):
        raise ValueError(
            f'{path}: Gallery, {_row(table, unknown[0])} is the image '
            f'{names[unknown[0]].decode()!r}, which is not among the {len(images)} test images of '
            'pool.mat'
        )
    return positions


def _row(table: Table, row: int) -> str:
    array = int(np.searchsorted(table.splits, row, 'right')) - 1
    return f'row {array}, entry {row - table.splits[array]} (counted from 0)'
