"""The bytes of MATLAB 5 to 7 files, every size in them checked against the bytes that are there.

``scipy.io.loadmat`` trusts a file: one flipped byte in the tag of an uncompressed array ends the
process with a segmentation fault (scipy 1.17), another asks for gigabytes. It also takes 0.3 ms for
a file as small as PRW's 11,816 annotation files are.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

HEADER_BYTES = 128
BYTE_ORDERS = {b'\x00\x01IM': '<', b'\x01\x00MI': '>'}
_UINT32, _INT32, _INT8, _UTF8, MATRIX, COMPRESSED = 6, 5, 1, 16, 14, 15
NUMBERS = {
    **{1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4'},
    **{7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'},
}
_ENCODINGS = {1: 'ascii', 2: 'ascii', 4: 'utf-16', 16: 'utf-8', 17: 'utf-16', 18: 'utf-32'}
_CELL, STRUCT, CHAR = 1, 2, 4
NUMERIC_CLASSES = range(6, 16)
COMPLEX_FLAG = 1 << 11
_DEEPEST = 16
_MOST_DIMENSIONS = 32
_MOST_WITHOUT_FIELDS = 1 << 16


def read_variables(content: bytes, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The variables of a MATLAB file of version 5 to 7.

    Args:
        content: The file.
        wanted: Names of the variables to decode; the value of any other is an empty array. None:
            all of them.

    Returns:
        By name and in the file's order, in the form of ``scipy.io.loadmat``: numbers in the type
        they are stored with, text as an array of strings without the last axis, cells as arrays
        of objects, structs as arrays with fields of objects.

    Raises:
        ValueError: Damaged, of another version, or a wanted variable is complex, sparse, an object
            or a function. What is wrong is said, but no file is named.
    """
    order = BYTE_ORDERS.get(content[124:HEADER_BYTES])
    if order is None:
        raise ValueError('no header of a MATLAB file of version 5 to 7')
    variables: dict[str, np.ndarray] = {}
    top, at = Elements(content, order), HEADER_BYTES
    while at < len(content):
        kind, start, stop, at = top.element(at, len(content))
        if kind == COMPRESSED:
            # Compressed elements alone are not padded.
            elements, at = Elements(_inflate(content[start:stop], order), order), stop
            kind, start, stop, _ = elements.element(0, len(elements.content))
        else:
            elements = top
        if kind != MATRIX:
            raise ValueError(f'an array expected at byte {start}, not an element of type {kind}')
        head, start = elements.head(start, stop)
        if head.name in variables:
            raise ValueError(f'the variable {head.name!r} occurs twice')
        decode = wanted is None or head.name in wanted
        variables[head.name] = elements.values(head, start, stop) if decode else np.empty(0)
    return variables


def _inflate(data: bytes, order: str) -> bytes:
    """The element that a compressed one holds; its own tag says how long it has to be."""
    inflate = zlib.decompressobj()
    try:
        tag = inflate.decompress(data, 8)
        if len(tag) < 8:
            raise ValueError('a compressed array is cut off')
        size = struct.unpack(f'{order}II', tag)[1]
        # Asked for one byte more, zlib goes to the end, where it finds a wrong checksum.
        content = tag + inflate.decompress(inflate.unconsumed_tail, size + 1)
    except zlib.error as error:
        raise ValueError(f'a compressed array is damaged ({error})') from None
    if len(content) != 8 + size or inflate.unused_data or inflate.unconsumed_tail:
        raise ValueError(f'a compressed array has not the {size} bytes that its tag says')
    return content


@dataclass(frozen=True)
class Head:
    """What precedes the values of an array."""

    name: str
    kind: int
    is_complex: bool
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.dims)


class Elements:
    """Elements, nested or one after the other, in ``content``."""

    def __init__(self, content: bytes, order: str) -> None:
        self.content = content
        self._order = order
        self._tag = struct.Struct(f'{order}II').unpack_from

    def element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Type, first byte, byte behind the last, and start of what follows the element at ``at``.

        Raises:
            ValueError: It does not end before ``end``.
        """
        if end - at < 8:
            raise ValueError(f'cut off at byte {at}')
        kind, size = self._tag(self.content, at)
        if kind >> 16:  # up to four bytes stand in the tag itself, beside type and size
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError(f'an element in a tag of 8 bytes has {size} at byte {at}')
            return kind, at + 4, at + 4 + size, at + 8
        stop = at + 8 + size
        if stop > end:
            raise ValueError(
                f'an element of {size} bytes at byte {at}, of which {end - at - 8} exist'
            )
        return kind, at + 8, stop, min(stop + -size % 8, end)

    def head(self, at: int, end: int) -> tuple[Head, int]:
        """Name, class and dimensions of the array that starts at ``at``, and where they end."""
        kind, start, stop, at = self.element(at, end)
        if kind != _UINT32 or stop - start != 8:
            raise ValueError(f'no flags of an array at byte {start}')
        flags = self._tag(self.content, start)[0]
        kind, start, stop, at = self.element(at, end)
        count = (stop - start) // 4
        if kind != _INT32 or (stop - start) % 4 or not 2 <= count <= _MOST_DIMENSIONS:
            raise ValueError(f'no dimensions of an array at byte {start}')
        dims = struct.unpack_from(f'{self._order}{count}i', self.content, start)
        if min(dims) < 0:
            raise ValueError(f'the dimensions {dims} at byte {start}')
        kind, start, stop, at = self.element(at, end)
        if kind not in (_INT8, _UTF8):
            raise ValueError(f'no name of an array at byte {start}')
        name = self.content[start:stop].decode('utf-8')
        return Head(name, flags & 0xFF, bool(flags & COMPLEX_FLAG), dims), at

    def values(self, head: Head, at: int, end: int, depth: int = 0) -> np.ndarray:
        """The values of an array, which have to fill the bytes up to ``end``."""
        if depth > _DEEPEST:
            raise ValueError(f'arrays within arrays, deeper than {_DEEPEST}')
        if head.kind in NUMERIC_CLASSES and not head.is_complex:
            values, at = self._numbers(head, at, end)
        elif head.kind == CHAR:
            values, at = self._text(head, at, end)
        elif head.kind == _CELL:
            values, at = self._cells(head, at, end, depth)
        elif head.kind == STRUCT:
            values, at = self._structs(head, at, end, depth)
        else:
            raise ValueError(
                f'{head.name!r} is complex, sparse, an object or a function (class {head.kind})'
            )
        if at != end:
            raise ValueError(f'{end - at} bytes too many in the array that ends at byte {end}')
        return values

    def field_names(self, at: int, end: int) -> tuple[list[str], int]:
        """Names of the fields of an array of structs, and where they end."""
        kind, start, stop, at = self.element(at, end)
        if kind != _INT32 or stop - start != 4:
            raise ValueError(f'no length of field names at byte {start}')
        (length,) = struct.unpack_from(f'{self._order}i', self.content, start)
        kind, start, stop, at = self.element(at, end)
        if kind not in (_INT8, _UTF8) or length < 1 or (stop - start) % length:
            raise ValueError(f'no field names of {length} bytes each at byte {start}')
        names = [
            self.content[place : place + length].split(b'\0')[0].decode('utf-8')
            for place in range(start, stop, length)
        ]
        if len(set(names)) < len(names) or '' in names:
            raise ValueError(f'the fields {names} at byte {start}')
        return names, at

    def _numbers(self, head: Head, at: int, end: int) -> tuple[np.ndarray, int]:
        kind, start, stop, at = self.element(at, end)
        if kind not in NUMBERS:
            raise ValueError(f'numbers expected at byte {start}, not an element of type {kind}')
        stored = np.dtype(self._order + NUMBERS[kind])
        if stop - start != head.size * stored.itemsize:
            raise ValueError(
                f'{stop - start} bytes at byte {start} for {head.dims} numbers of {stored.itemsize}'
            )
        values = np.frombuffer(self.content, stored, head.size, start)
        return values.astype(stored.newbyteorder('=')).reshape(head.dims[::-1]).T, at

    def _text(self, head: Head, at: int, end: int) -> tuple[np.ndarray, int]:
        kind, start, stop, at = self.element(at, end)
        if kind not in _ENCODINGS:
            raise ValueError(f'text expected at byte {start}, not an element of type {kind}')
        encoding = _ENCODINGS[kind]
        if encoding in ('utf-16', 'utf-32'):
            encoding += '-le' if self._order == '<' else '-be'
        text = self.content[start:stop].decode(encoding)
        rows, width = math.prod(head.dims[:-1]), head.dims[-1]
        # MATLAB counts in units of UTF-16, of which rare characters take two.
        if len(text) != head.size and (rows != 1 or len(text.encode('utf-16-le')) != 2 * width):
            raise ValueError(f'{len(text)} characters at byte {start} for {head.dims}')
        if rows != 1:
            letters = np.array(list(text), 'U1').reshape(head.dims[-1:] + head.dims[-2::-1]).T
            lines = [''.join(line) for line in letters.reshape(rows, width)]
        else:
            lines = [text]
        return np.array(lines, f'U{max(width, 1)}').reshape(head.dims[:-1]), at

    def _cells(self, head: Head, at: int, end: int, depth: int) -> tuple[np.ndarray, int]:
        self._check_room(head.size, at, end)
        cells = np.empty(head.size, object)
        for place in range(head.size):
            cells[place], at = self._nested(at, end, depth)
        return cells.reshape(head.dims[::-1]).T, at

    def _structs(self, head: Head, at: int, end: int, depth: int) -> tuple[np.ndarray, int]:
        fields, at = self.field_names(at, end)
        if not fields:
            if head.size > _MOST_WITHOUT_FIELDS:
                raise ValueError(f'{head.size} structs without a field at byte {at}')
            return np.empty(head.dims, object), at
        self._check_room(head.size * len(fields), at, end)
        structs = np.empty(head.size, [(field, object) for field in fields])
        for place in range(head.size):
            row = []
            for _ in fields:
                value, at = self._nested(at, end, depth)
                row.append(value)
            structs[place] = tuple(row)
        return structs.reshape(head.dims[::-1]).T, at

    def _check_room(self, arrays: int, at: int, end: int) -> None:
        """An array takes 8 bytes at least; memory is taken only for those that can be there."""
        if arrays * 8 > end - at:
            raise ValueError(f'{arrays} arrays in the {end - at} bytes from byte {at}')

    def _nested(self, at: int, end: int, depth: int) -> tuple[np.ndarray, int]:
        kind, start, stop, at = self.element(at, end)
        if kind != MATRIX:
            raise ValueError(f'an array expected at byte {start}, not an element of type {kind}')
        if start == stop:
            return np.empty((1, 0)), at
        head, start = self.head(start, stop)
        return self.values(head, start, stop, depth + 1), at
