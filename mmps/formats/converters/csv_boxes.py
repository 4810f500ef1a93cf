"""Tables of boxes: one line for each person in an image, as any spreadsheet writes them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterator
from pathlib import Path

from mmps.formats.coco.scenes import SPLITS
from mmps.formats.json_file import is_text, shown
from mmps.formats.scene_index import LARGEST_COORDINATE

from .tagged_images import TaggedBox, TaggedImage, camera_of_path
from .tally import Tally

CORNERS = ('x1', 'y1', 'x2', 'y2')
REQUIRED = ('image', *CORNERS, 'person_id')
OPTIONAL = ('camera', 'is_query', 'split')
NOT_USED = 'columns that mean nothing here, not read'
NO_LINE_END = 'last lines without a line end; is the file whole?'

_DELIMITERS = ',;\t'
_FLAGS = {'': False, '0': False, 'false': False, 'no': False, '1': True, 'true': True, 'yes': True}


def read_csv_boxes(
    path: Path,
    *,
    tally: Tally,
    unlabelled: Collection[str] = ('', '-1', '-2'),
    camera_pattern: str | None = None,
) -> list[TaggedImage]:
    """Read a table with the columns ``image, x1, y1, x2, y2, person_id`` and, optionally,
    ``camera``, ``is_query`` and ``split``.

    RFC 4180 with a header, separated by comma, semicolon or tab; UTF-8 with or without a byte order
    mark. A line without a box names an image without people. Beside semicolons and tabs a comma may
    be the decimal mark.

    Args:
        path: The file.
        tally: Counts what is not read.
        unlabelled: Values of ``person_id`` that stand for "nobody knows who".
        camera_pattern: See :func:`~.tagged_images.camera_of_path`; without effect where the table
            has a column ``camera``.

    Returns:
        The images in the order of their first line.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The table is not of this form; the message names file and line.
    """
    text = _read_text(path)
    if text and not text.endswith(('\n', '\r')):
        tally.add(NO_LINE_END, str(path))
    images: dict[str, TaggedImage] = {}
    has_camera: bool | None = None
    for source, row in _rows(path, text, tally):
        has_camera = 'camera' in row
        name = row['image'].replace('\\', '/')
        if not is_text(name):
            raise ValueError(f'{source}: image {shown(row["image"])} is not the name of a file')
        camera = row['camera'] or None if has_camera else camera_of_path(name, camera_pattern)
        image = images.setdefault(name, TaggedImage(name, source, camera, _split(row, source)))
        for key, here, before in (
            ('camera', camera, image.camera),
            ('split', _split(row, source), image.split),
        ):
            if here != before:
                raise ValueError(
                    f'{source}: {key} {here!r}, but {before!r} in {image.source} for the same image'
                )
        box = _box(row, unlabelled, source)
        if box is not None:
            image.boxes.append(box)
    if not images:
        raise ValueError(f'{path}: no line below the header')
    return list(images.values())


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode('utf-8-sig')
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: no such table') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: byte {error.start} is not UTF-8; save it as UTF-8') from None


def _rows(path: Path, text: str, tally: Tally) -> Iterator[tuple[str, dict[str, str]]]:
    """File and line, and the values by column, of every line that is not blank."""
    first = text.split('\n', 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for values in reader:
            source, line = f'{path}, line {line}', reader.line_num + 1
            if not any(value.strip() for value in values):
                continue
            if columns is None:
                columns = _columns(values, source, tally)
            elif len(values) != len(columns):
                raise ValueError(
                    f'{source}: {len(values)} values for {len(columns)} columns; put values that '
                    f'hold {delimiter!r} in double quotes'
                )
            else:
                row = dict(zip(columns, (value.strip() for value in values), strict=True))
                if delimiter != ',':
                    row |= {key: row[key].replace(',', '.') for key in CORNERS}
                yield source, row
    except csv.Error as error:
        raise ValueError(f'{path}, line {line}: not a line of a CSV file ({error})') from None


def _columns(values: list[str], source: str, tally: Tally) -> list[str]:
    columns = [value.strip().lower() for value in values]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(
            f'{source}: the first line has to name the columns; missing: {", ".join(missing)}; '
            f'there: {shown(", ".join(columns))}'
        )
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f'{source}: column {twice!r} occurs twice')
    others = [name for name in columns if name not in REQUIRED + OPTIONAL]
    if others:
        tally.add(NOT_USED, ', '.join(others), len(others))
    return columns


def _split(row: dict[str, str], source: str) -> str | None:
    split = row.get('split', '').lower() or None
    if split not in (None, *SPLITS):
        raise ValueError(f'{source}: split {row["split"]!r} is neither train nor test')
    return split


def _box(row: dict[str, str], unlabelled: Collection[str], source: str) -> TaggedBox | None:
    if not any(row[key] for key in CORNERS):
        if row['person_id'] not in unlabelled:
            raise ValueError(f'{source}: person {row["person_id"]!r} has no box')
        return None
    x1, y1, x2, y2 = (_coordinate(row[key], key, source) for key in CORNERS)
    if x2 < x1 or y2 < y1:
        raise ValueError(
            f'{source}: the box {x1:g}, {y1:g}, {x2:g}, {y2:g} ends before it starts; columns are '
            'two corners, x1 <= x2 and y1 <= y2, not width and height'
        )
    flag = row.get('is_query', '').lower()
    if flag not in _FLAGS:
        raise ValueError(f'{source}: is_query {row["is_query"]!r} is neither true nor false')
    person = None if row['person_id'] in unlabelled else row['person_id']
    if person is not None and not is_text(person):
        raise ValueError(f'{source}: person_id {shown(person)} has characters that are no text')
    return TaggedBox((x1, y1, x2, y2), person, source, _FLAGS[flag])


def _coordinate(text: str, column: str, source: str) -> float:
    try:
        value = float(text) if '_' not in text else math.nan
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_COORDINATE:
        raise ValueError(f'{source}: {column} {text!r} is not a number of pixels')
    return value
