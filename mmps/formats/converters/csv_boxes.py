"""Tables of boxes: one line for each person in an image, as any spreadsheet writes them."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmps.formats.coco import SPLITS
from mmps.formats.scene_index import LARGEST_COORDINATE
from mmps.utils.errors import did_you_mean
from mmps.utils.image_folder import same_name

from .annotated_images import NOTHING, AnnotatedBox, Annotations, plain_name, read_number, read_text

CORNERS = ('x1', 'y1', 'x2', 'y2')
REQUIRED = ('image', *CORNERS, 'person_id')
OPTIONAL = ('camera', 'is_query', 'split')
NOT_USED = 'columns that mean nothing here, not read'
NO_LINE_END = 'last lines without a line end; is the file whole?'

_FLAGS = {
    **dict.fromkeys(('', '0', '0.0', 'false', 'no'), False),
    **dict.fromkeys(('1', '1.0', 'true', 'yes'), True),
}
_DECIMAL_COMMA = re.compile(r'[+-]?[0-9]+,0*')
_ELSEWHERE = re.compile(r'[/\\]|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://|(.*[/\\])?\.\.([/\\]|$)')
"""Names that start somewhere else than in a folder of images, such as another machine's root."""
_ERROR = re.compile(r'#[A-Z0-9/_]+[!?]')
"""What spreadsheets show instead of a value that they cannot compute."""


def read_csv_boxes(path: Path, annotations: Annotations) -> None:
    """Read a table with the columns ``image, x1, y1, x2, y2, person_id`` and, optionally,
    ``camera``, ``is_query`` and ``split``.

    RFC 4180 with a header, separated by comma, semicolon or tab; UTF-8 with or without a byte order
    mark. A line without a box names an image without people. Beside semicolons and tabs a comma may
    be the decimal mark. Values of :data:`~.annotated_images.NOTHING` are none, and 7, 7.0 and 07
    are one person. A column ``camera`` counts instead of a pattern.

    The longest end of a name that is a file below the folder of images is the image; of a relative
    name, only folders above the images may be missing.
    """
    text = read_text(path)
    if text and not text.endswith(('\n', '\r')):
        annotations.tally.add(NO_LINE_END, str(path))
    names: dict[str, str] = {}
    first_listed: dict[str, str] = {}
    for source, row in _rows(path, text, annotations):
        listed = row['image']
        if listed not in names:
            names[listed] = _find(listed, source, first_listed, annotations)
        name = names[listed]
        camera = plain_name(row['camera']) or None if 'camera' in row else None
        if 'camera' not in row:
            camera = annotations.camera_of(name)
        split = row.get('split', '').lower() or None
        if split not in (None, *SPLITS):
            raise ValueError(f'{source}: split {row["split"]!r} is neither train nor test')
        image = annotations.images.get(name)
        if image is None:
            image = annotations.add_image(name, source, camera, split)
        for key, here, before in (('camera', camera, image.camera), ('split', split, image.split)):
            if here != before:
                raise ValueError(
                    f'{source}: {key} {here!r}, but {before!r} in {image.source} for the same image'
                )
        box = _box(row, source, annotations)
        if box is not None:
            image.boxes.append(box)
    if not names:
        raise ValueError(f'{path}: no line below the header')


def _find(listed: str, source: str, first_listed: dict[str, str], annotations: Annotations) -> str:
    """The image of a listed name; ``first_listed`` keeps how each image was listed first."""
    if not listed or '\0' in listed:
        raise ValueError(f'{source}: image {listed!r:.60} is not the name of a file')
    if annotations.image_root is None:
        return listed.replace('\\', '/')
    folder = annotations.folder
    name = folder.find_end(listed)
    # The folders that the image's name leaves out of the listed one have to be above the images.
    before = same_name(listed).removesuffix(same_name(name or '')).strip('/')
    root = f'/{same_name(os.path.abspath(folder.root))}'
    if name is None or not (not before or _ELSEWHERE.match(listed) or root.endswith(f'/{before}')):
        raise FileNotFoundError(
            f'{source}: no image {listed!r} in {folder.root}; {folder.explain(listed)}; name the '
            'folder that the names are relative to with --images'
        )
    first = first_listed.setdefault(name, listed)
    one, other = f'/{same_name(listed)}', f'/{same_name(first)}'
    if not (one.endswith(other) or other.endswith(one)):
        raise ValueError(
            f'{source}: image {listed!r} is found as {name!r}, and so is {first!r} in '
            f'{annotations.images[name].source}; name the folder that both are relative to with '
            '--images'
        )
    return name


def _rows(path: Path, text: str, annotations: Annotations) -> Iterator[tuple[str, dict[str, str]]]:
    """File and line, and the values by column, of every line that is not blank."""
    delimiter = max(',;\t', key=text.split('\n', 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    line = 1
    try:
        for values in reader:
            source, line = f'{path}, line {line}', reader.line_num + 1
            values = [value.strip() for value in values]
            if not any(values):
                continue
            if columns is None:
                columns = _columns(values, source, annotations)
            elif len(values) != len(columns):
                raise ValueError(
                    f'{source}: {len(values)} values for {len(columns)} columns; put values that '
                    f'hold {delimiter!r} in double quotes'
                )
            else:
                yield source, _row(columns, values, delimiter, source)
    except csv.Error as error:
        raise ValueError(f'{path}, line {line}: not a line of a CSV file ({error})') from None


def _columns(values: list[str], source: str, annotations: Annotations) -> list[str]:
    columns = [value.lower() for value in values]
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ValueError(
            f'{source}: the first line has to name the columns; missing: {", ".join(missing)}; '
            f'there: {", ".join(columns):.60}{did_you_mean(missing[0], columns)}'
        )
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise ValueError(f'{source}: column {twice[0]!r} occurs twice')
    others = [name for name in columns if name not in REQUIRED + OPTIONAL]
    for name in others:
        free = [known for known in OPTIONAL if known not in columns]
        if meant := did_you_mean(name, free, cutoff=0.75):
            raise ValueError(f'{source}: column {name!r} is not read{meant} Rename or remove it')
    annotations.tally.add(NOT_USED, ', '.join(others), len(others))
    return columns


def _row(columns: list[str], values: list[str], delimiter: str, source: str) -> dict[str, str]:
    row = {k: v for k, v in zip(columns, values, strict=True) if k in REQUIRED + OPTIONAL}
    for key, value in row.items():
        if _ERROR.fullmatch(value):
            raise ValueError(f'{source}: {key} is {value}, an error of the spreadsheet')
        if value in NOTHING and key not in CORNERS:
            row[key] = ''
        elif delimiter != ',' and (key in CORNERS or _DECIMAL_COMMA.fullmatch(value)):
            row[key] = value.replace(',', '.')
    return row


def _box(row: Mapping[str, str], source: str, annotations: Annotations) -> AnnotatedBox | None:
    person = annotations.person_of(row['person_id'], f'{source}: person_id')
    if all(row[key] in NOTHING for key in CORNERS):
        if person is not None:
            raise ValueError(f'{source}: person {row["person_id"]!r} has no box')
        return None
    x1, y1, x2, y2 = (
        read_number(row[key], LARGEST_COORDINATE, f'{source}: {key}', 'a number of pixels')
        for key in CORNERS
    )
    if x2 < x1 or y2 < y1:
        raise ValueError(
            f'{source}: the box {x1:g}, {y1:g}, {x2:g}, {y2:g} ends before it starts; columns are '
            'two corners, x1 <= x2 and y1 <= y2, not width and height'
        )
    flag = row.get('is_query', '').lower()
    if flag not in _FLAGS:
        raise ValueError(f'{source}: is_query {row["is_query"]!r} is neither true nor false')
    return AnnotatedBox((x1, y1, x2, y2), person, source, _FLAGS[flag])
