"""MATLAB 5 variables as bytes, the way MATLAB stores them.

`scipy.io.savemat` takes minutes for millions of structs and keeps the type of every array. MATLAB
stores a double in the smallest type that holds it, which is why the boxes of data sets come back as
bytes or words whose sums overflow.

Every function gives a nameless array to be put into a struct, a cell or a file.
"""

import struct
import zlib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from mmps.synthetic.files import write_bytes

_INT8, _INT32, _UINT32, _DOUBLE, _MATRIX, _COMPRESSED, _UTF16 = 1, 5, 6, 9, 14, 15, 17
_STORED = {'u1': 2, 'u2': 4, 'i2': 3, 'i4': 5, 'f8': 9}
_CELL, _STRUCT, _CHAR, _DOUBLE_CLASS = 1, 2, 4, 6
_FIELD_NAME_BYTES = 32
_NAMELESS = 40
"""Bytes of an array up to its name, which is empty."""
_HEADER = b'MATLAB 5.0 MAT-file'.ljust(124) + struct.pack('<HH', 0x0100, 0x4D49)


def text(value: str) -> bytes:
    """A row of characters."""
    stored = value.encode('utf-16-le')
    return _array(_CHAR, (1, len(stored) // 2), [_element(_UTF16, stored)])


def numbers(values: object, shape: tuple[int, int] | None = None) -> bytes:
    """Doubles, in the smallest type that holds them all; by default one row of them."""
    values = np.asarray(values, np.float64).ravel()
    name = _smallest_type(values)
    stored = _element(_STORED[name], values.astype(f'<{name}').tobytes())
    return _array(_DOUBLE_CLASS, shape or (1, len(values)), [stored])


def cell(items: Sequence[bytes]) -> bytes:
    """A column of arrays."""
    return _array(_CELL, (len(items), 1), items)


def structs(fields: Sequence[str], values: Sequence[Sequence[bytes]]) -> bytes:
    """A row of structs, each given by the arrays of its `fields`."""
    names = b''.join(field.encode().ljust(_FIELD_NAME_BYTES, b'\0') for field in fields)
    head = _element(_INT32, struct.pack('<i', _FIELD_NAME_BYTES)) + _element(_INT8, names)
    return _array(_STRUCT, (1, len(values)), [head, *chain.from_iterable(values)])


def write_variable(path: Path, name: str, array: bytes, *, compress: bool = True) -> None:
    """Writes a file that holds one variable; equal content gives equal bytes."""
    head, values = array[8:_NAMELESS], memoryview(array)[_NAMELESS + 8 :]
    head += _element(_INT8, name.encode())
    parts = [struct.pack('<II', _MATRIX, len(head) + len(values)) + head, values]
    if compress:
        deflate = zlib.compressobj()
        parts = [*(deflate.compress(part) for part in parts), deflate.flush()]
        parts.insert(0, struct.pack('<II', _COMPRESSED, sum(map(len, parts))))
    write_bytes(path, b''.join([_HEADER, *parts]))


def _smallest_type(values: np.ndarray) -> str:
    if len(values) and (values == np.trunc(values)).all():
        low, high = values.min(), values.max()
        for name in ('u1', 'u2', 'i2', 'i4'):
            if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
                return name
    return 'f8'


def _element(kind: int, data: bytes) -> bytes:
    """A data element: four bytes or fewer share eight bytes with their tag."""
    if 0 < len(data) <= 4:
        return struct.pack('<HH', kind, len(data)) + data.ljust(4, b'\0')
    return struct.pack('<II', kind, len(data)) + data + b'\0' * (-len(data) % 8)


def _array(array_class: int, shape: tuple[int, int], parts: Sequence[bytes]) -> bytes:
    head = struct.pack('<IIII', _UINT32, 8, array_class, 0)
    head += struct.pack('<IIii', _INT32, 8, *shape)
    head += struct.pack('<II', _INT8, 0)
    return b''.join([struct.pack('<II', _MATRIX, len(head) + sum(map(len, parts))), head, *parts])
