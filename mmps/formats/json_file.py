"""JSON files read strictly, and their objects with errors that name the position and the fix."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .scene_index import LARGEST_COORDINATE, LARGEST_ID

_ABSENT = object()
_TEXT_OR_CONSTANT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|NaN|-?Infinity', re.DOTALL)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Stricter than Python's reader: no NaN or Infinity, no key twice in one object, UTF-8 only (a
    byte order mark is fine).

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not JSON, or cut off; the message names file, line and column.
    """
    try:
        text = path.read_bytes().decode('utf-8-sig')
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: this annotation file is missing') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: byte {error.start} is not UTF-8; save it as UTF-8') from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); the '
            'file may be cut off'
        ) from None
    except _ConstantError as error:
        raise ValueError(f'{path}, {_place_of_constant(text)}: {error}') from None
    except RecursionError:
        raise ValueError(f'{path}: nested too deeply to be an annotation file') from None
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(
            f'the key {twice!r} occurs twice in the object {shown(content)}; remove one of them'
        )
    return content


class _ConstantError(ValueError):
    """A word of Python's that JSON does not have."""


def _refuse_constant(name: str) -> None:
    raise _ConstantError(f'{name} is not a number of JSON; correct or remove that value')


def _place_of_constant(text: str) -> str:
    """Line and column of the first word that :func:`_refuse_constant` was called with."""
    # The parser does not say where it is; texts are passed over, for they may hold such words.
    found = next(match for match in _TEXT_OR_CONSTANT.finditer(text) if match[0][0] != '"')
    line = text.count('\n', 0, found.start()) + 1
    return f'line {line}, column {found.start() - text.rfind(chr(10), 0, found.start())}'


def shown(value: Any, length: int = 60) -> str:
    """``value`` as JSON writes it, shortened to ``length``, for an error message."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= length else f'{text[: length - 3]}...'


@dataclass(frozen=True)
class JsonObject:
    """An object of a JSON file and its position.

    Every method raises a ``ValueError`` that names file, position and fix where a value is missing
    or of the wrong kind. ``default`` is returned where the key is absent or null; without one the
    key has to be there.

    Attributes:
        content: The object.
        path: The file.
        position: Where it stands in the file, e.g. ``annotations[12]``; empty for the whole.
    """

    content: dict[str, Any]
    path: Path
    position: str = ''

    @classmethod
    def check(cls, value: Any, path: Path, position: str, example: str) -> JsonObject:
        """``value`` as an object; ``example`` shows what it should look like."""
        if not isinstance(value, dict):
            where = f'{path}: {position}' if position else str(path)
            raise ValueError(f'{where}: {shown(value)} is not an object such as {example}')
        return cls(value, path, position)

    @property
    def where(self) -> str:
        """File and position, e.g. ``train.json: annotations[12]``."""
        return f'{self.path}: {self.position}' if self.position else str(self.path)

    def at(self, key: str) -> str:
        """File and position of a value, e.g. ``train.json: annotations[12].bbox``."""
        return f'{self.path}: {self._inside(key)}'

    def _inside(self, key: str) -> str:
        return f'{self.position}.{key}' if self.position else key

    def has(self, key: str) -> bool:
        """Whether there is a value, other than null."""
        return self.content.get(key) is not None

    def _value(self, key: str, default: Any) -> Any:
        value = self.content.get(key)
        if value is None:
            value = default
        if value is _ABSENT:
            here = ', '.join(map(str, self.content)) or 'nothing'
            raise ValueError(f'{self.at(key)}: missing; the object has {shown(here)[1:-1]}')
        return value

    def objects(self, key: str, example: str, default: Any = _ABSENT) -> list[JsonObject]:
        """A list of objects."""
        values = self.values(key, default)
        return [
            JsonObject.check(value, self.path, f'{self._inside(key)}[{n}]', example)
            for n, value in enumerate(values)
        ]

    def values(self, key: str, default: Any = _ABSENT) -> list[Any]:
        """A list of anything."""
        values = self._value(key, default)
        if not isinstance(values, list):
            raise ValueError(f'{self.at(key)}: {shown(values)} is not a list [...]')
        return values

    def text(self, key: str, default: Any = _ABSENT) -> Any:
        """A string that a file system takes as well."""
        value = self._value(key, default)
        if value is default:
            return value
        if not isinstance(value, str):
            raise ValueError(f'{self.at(key)}: {shown(value)} is not a text in quotes')
        if not is_text(value):
            raise ValueError(
                f'{self.at(key)}: {shown(value)} is empty or has characters that are no text'
            )
        return value

    def integer(self, key: str, default: Any = _ABSENT) -> Any:
        """A whole number of at most 31 bits; ``3.0`` is one, ``"3"`` and ``true`` are not."""
        value = self._value(key, default)
        if value is default:
            return value
        if isinstance(value, str):
            raise ValueError(
                f'{self.at(key)}: {shown(value)} is text; a whole number without quotes is needed'
            )
        return as_integer(value, self.at(key))

    def number(self, key: str, default: Any = _ABSENT) -> Any:
        """A finite number."""
        value = self._value(key, default)
        return value if value is default else as_number(value, self.at(key))

    def flag(self, key: str, default: Any = _ABSENT) -> Any:
        """``true`` or ``false``; 1 and 0, which many tools write, mean the same."""
        value = self._value(key, default)
        if value is default or isinstance(value, bool):
            return value
        if not isinstance(value, (int, float)) or value not in (0, 1):
            raise ValueError(f'{self.at(key)}: {shown(value)} is neither true nor false')
        return bool(value)

    def box(self, key: str) -> tuple[float, float, float, float]:
        """``[x, y, width, height]`` in pixels as ``(x1, y1, x2, y2)``."""
        value, where = self._value(key, _ABSENT), self.at(key)
        if not isinstance(value, list) or len(value) != 4:
            raise ValueError(f'{where}: {shown(value)} is not [x, y, width, height] in pixels')
        x, y, width, height = (as_number(v, f'{where}[{n}]') for n, v in enumerate(value))
        if max(abs(x), abs(y), abs(width), abs(height)) > LARGEST_COORDINATE:
            raise ValueError(
                f'{where}: {shown(value)} reaches beyond {LARGEST_COORDINATE:,} pixels; give pixels'
            )
        if width < 0 or height < 0:
            raise ValueError(
                f'{where}: {shown(value)} has a negative size; a box is [x, y, width, height], not '
                'two corners'
            )
        return x, y, x + width, y + height


def is_text(value: str) -> bool:
    """Whether a string can be printed and name a file: not empty, no NUL, no half character."""
    return bool(value) and '\0' not in value and not any('\ud800' <= c <= '\udfff' for c in value)


def as_number(value: Any, where: str) -> float:
    """``value`` as a finite float.

    Raises:
        ValueError: It is none; the message begins with ``where``.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kind = 'text' if isinstance(value, str) else 'no number'
        raise ValueError(f'{where}: {shown(value)} is {kind}; a number without quotes is needed')
    if abs(value) > 1e300 or not math.isfinite(value):
        raise ValueError(f'{where}: {shown(value)} is too large a number')
    return float(value)


def as_integer(value: Any, where: str) -> int:
    """``value`` as a whole number of at most 31 bits.

    Raises:
        ValueError: It is none; the message begins with ``where``.
    """
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise ValueError(f'{where}: {shown(value)} is not a whole number')
    if abs(value) > LARGEST_ID:
        raise ValueError(f'{where}: {shown(value)} is too large; {LARGEST_ID} is the largest')
    return int(value)
