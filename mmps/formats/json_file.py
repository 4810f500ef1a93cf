"""JSON files decoded into typed structs, with errors that name the file and the place in it."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from .scene_index import LARGEST_COORDINATE, LARGEST_ID

T = TypeVar('T')

WholeNumber = Annotated[int, Meta(ge=-LARGEST_ID, le=LARGEST_ID)]
Count = Annotated[int, Meta(ge=0, le=LARGEST_ID)]
Coordinate = Annotated[float, Meta(ge=-LARGEST_COORDINATE, le=LARGEST_COORDINATE)]
Extent = Annotated[float, Meta(ge=0, le=LARGEST_COORDINATE)]
Text = Annotated[str, Meta(min_length=1, pattern=r'^[^\0]+\Z')]
"""A text that a file system takes as well."""
XYWH = tuple[Coordinate, Coordinate, Extent, Extent]
"""A box as COCO has it: the upper left corner, width and height in pixels."""


def read_json(path: Path, kind: type[T]) -> T:
    """The content of a JSON file as ``kind``, a type that msgspec knows.

    UTF-8 with or without a byte order mark. 7.0 and ``"7"`` are whole numbers as well, 1 and 0 are
    flags. Keys that ``kind`` does not name are skipped. There is no NaN and no Infinity.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON, cut off, or not of this kind; the message names file and place, e.g.
            ``train.json: annotations[12].bbox[2]: Expected `float` >= 0.0``.
    """
    try:
        content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: this annotation file is missing') from None
    try:
        return msgspec.json.decode(content, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise _placed(error, path, '') from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Only some messages name a byte; the others are about the end of the file.
        byte = re.search(r' \(byte (\d+)\)$', str(error))
        before = content[: int(byte[1])] if byte else content
        line, column = before.count(b'\n') + 1, len(before) - before.rfind(b'\n')
        here = b' '.join(content[len(before) :][:20].split()[:1]).decode(errors='replace')
        what = f'at {here!r}' if byte else 'the file may be cut off'
        raise ValueError(
            f'{path}, line {line}, column {column}: not valid JSON in UTF-8, {what}'
        ) from None
    except RecursionError:
        raise ValueError(f'{path}: nested too deeply to be an annotation file') from None


def convert_json(value: Any, kind: type[T], path: Path, place: str) -> T:
    """A part of a file, read before as plain values, as ``kind``; see :func:`read_json`."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _placed(error, path, place) from None


def _placed(error: msgspec.ValidationError, path: Path, place: str) -> ValueError:
    """The error of msgspec, which names the place last, with file and place first."""
    what, _, inside = str(error).partition(' - at `$')
    place = (place + inside.rstrip('`')).removeprefix('.')
    return ValueError(': '.join(filter(None, (str(path), place, what))))
