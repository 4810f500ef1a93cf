"""Tables of boxes: one line for each person in an image, as any spreadsheet writes them."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from mmps.formats.coco.scenes import SPLITS
from mmps.formats.json_file import is_text, shown
from mmps.formats.scene_index import LARGEST_COORDINATE
from mmps.utils.image_folder import ImageFolder, same_name

from .tagged_images import (
    NOTHING,
    TaggedBox,
    TaggedImage,
    camera_of_path,
    person_of_value,
    plain_name,
)
from .tally import Tally

CORNERS = ('x1', 'y1', 'x2', 'y2')
REQUIRED = ('image', *CORNERS, 'person_id')
OPTIONAL = ('camera', 'is_query', 'split')
NOT_USED = 'columns that mean nothing here, not read'
NO_LINE_END = 'last lines without a line end; is the file whole?'

_DELIMITERS = ',;\t'
_DECIMAL_COMMA = re.compile(r'[+-]?[0-9]+,0*')
_NO, _YES = ('', '0', '0.0', 'false', 'no'), ('1', '1.0', 'true', 'yes')
_FLAGS = {**dict.fromkeys(_NO, False), **dict.fromkeys(_YES, True)}
_ELSEWHERE = re.compile(r'[/\\]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://')
_ERROR = re.compile(r'#[A-Z0-9/_]+[!?]')
"""What spreadsheets show instead of a value that they cannot compute."""


def read_csv_boxes(
    path: Path,
    image_root: Path | None = None,
    *,
    tally: Tally,
    unlabelled: Collection[str] = ('', '-1', '-2'),
    camera_pattern: str | None = None,
) -> list[TaggedImage]:
    """Read a table with the columns ``image, x1, y1, x2, y2, person_id`` and, optionally,
    ``camera``, ``is_query`` and ``split``.

    RFC 4180 with a header, separated by comma, semicolon or tab; UTF-8 with or without a byte order
    mark. A line without a box names an image without people. Beside semicolons and tabs a comma may
    be the decimal mark. Values of :data:`~.tagged_images.NOTHING` are none, and 7, 7.0 and 07 are
    one person.

    Args:
        path: The file.
        image_root: Folder of images: the longest end of a name that is a file there is the image;
            of a relative name, only folders above the images may be missing. None: names are taken
            as they are.
        tally: Counts what is not read.
        unlabelled: Values of ``person_id`` that stand for "nobody knows who".
        camera_pattern: See :func:`~.tagged_images.camera_of_path`; without effect where the table
            has a column ``camera``.

    Returns:
        The images in the order of their first line.

    Raises:
        FileNotFoundError: No such file, or no image of a name.
        ValueError: The table is not of this form; the message names file and line.
    """
    text = _read_text(path)
    if text and not text.endswith(('\n', '\r')):
        tally.add(NO_LINE_END, str(path))
    images: dict[str, TaggedImage] = {}
    has_camera: bool | None = None
    names = _Names(image_root)
    for source, row in _rows(path, text, tally):
        has_camera = 'camera' in row
        name = names.find(row['image'], source)
        if has_camera:
            camera = plain_name(row['camera']) or None
        else:
            camera = camera_of_path(name, camera_pattern)
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


class _Names:
    """The files that names of a table stand for.

    Args:
        image_root: Where they are; None: names are taken as they are.
    """

    def __init__(self, image_root: Path | None) -> None:
        self._folder = None if image_root is None else ImageFolder(image_root)
        self._known: dict[str, str] = {}
        self._listed: dict[str, tuple[str, str]] = {}

    def find(self, listed: str, source: str) -> str:
        if not is_text(listed):
            raise ValueError(f'{source}: image {shown(listed)} is not the name of a file')
        if self._folder is None:
            return listed.replace('\\', '/')
        if listed not in self._known:
            name = self._folder.find_end(listed)
            if name is None or not self._may_stand_for(listed, name):
                raise FileNotFoundError(
                    f'{source}: no image {listed!r} in {self._folder.root}; '
                    f'{self._folder.explain(listed)}; name the folder that the names are relative '
                    'to with --images'
                )
            before, place = self._listed.setdefault(name, (listed, source))
            ends = [f'/{same_name(one)}' for one in (before, listed)]
            if not (ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])):
                raise ValueError(
                    f'{source}: image {listed!r} is found as {name!r}, and so is {before!r} in '
                    f'{place}; name the folder that both are relative to with --images'
                )
            self._known[listed] = name
        return self._known[listed]

    def _may_stand_for(self, listed: str, name: str) -> bool:
        """Whether the folders that ``name`` leaves out of a listed name are above the images.

        Of a name that starts somewhere else, such as the root of another machine, nobody can tell.
        """
        before = same_name(listed).removesuffix(same_name(name)).strip('/')
        elsewhere = _ELSEWHERE.match(listed) or '..' in re.split(r'[/\\]', listed)
        root = f'/{same_name(os.path.abspath(self._folder.root))}'
        return not before or bool(elsewhere) or root.endswith(f'/{before}')


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
                yield source, _row(columns, values, delimiter, source)
    except csv.Error as error:
        raise ValueError(f'{path}, line {line}: not a line of a CSV file ({error})') from None


def _row(columns: list[str], values: list[str], delimiter: str, source: str) -> dict[str, str]:
    row = dict(zip(columns, (value.strip() for value in values), strict=True))
    for key in (key for key in row if key in REQUIRED + OPTIONAL):
        if _ERROR.fullmatch(row[key]):
            raise ValueError(f'{source}: {key} is {row[key]}, an error of the spreadsheet')
        if row[key] in NOTHING and key not in CORNERS:
            row[key] = ''
        if delimiter != ',' and (key in CORNERS or _DECIMAL_COMMA.fullmatch(row[key])):
            row[key] = row[key].replace(',', '.')
    return row


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
    person = person_of_value(row['person_id'], f'{source}: person_id', unlabelled)
    if all(row[key] in NOTHING for key in CORNERS):
        if person is not None:
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
    return TaggedBox((x1, y1, x2, y2), person, source, _FLAGS[flag])


def _coordinate(text: str, column: str, source: str) -> float:
    try:
        value = float(text) if '_' not in text else math.nan
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_COORDINATE:
        raise ValueError(f'{source}: {column} {text!r} is not a number of pixels')
    return value
