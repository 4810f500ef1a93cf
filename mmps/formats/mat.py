"""MATLAB files: versions 4 to 7 through scipy, 7.3 (which is HDF5) through h5py; and their writers.

scipy trusts a file. In an uncompressed one a single flipped bit can end the process (scipy 1.17) or
ask for gigabytes, so the tags of such a file are compared with the bytes that are there before
scipy sees it. Compressed arrays have a checksum, which is compared first.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from tqdm import tqdm

from mmps.utils.files import whole_file

if TYPE_CHECKING:
    import h5py

HEADER_BYTES = 128
MAX_VALUES = 2**26
"""Largest array taken for a real one: a damaged size must not ask for all memory."""

_MATLAB_73 = b'MATLAB 7.3 MAT-file'
_HEADER = b'MATLAB 5.0 MAT-file'.ljust(116)
_HEADER_73_BYTES = 512
_BYTE_ORDERS = {b'\x00\x01IM': '<', b'\x01\x00MI': '>'}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_TEXT = (1, 2, 4, 16, 17, 18)
_NUMBER_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
_CELL, _STRUCT, _CHAR, _NUMERIC_CLASSES = 1, 2, 4, range(6, 16)
_COMPLEX = 1 << 11
_TWO_AXES, _NAMELESS = struct.pack('<II', _INT32, 8), struct.pack('<II', 1, 0)
_DEEPEST = 16


def read_variable(path: Path, *keys: str) -> np.ndarray:
    """The first of the variables ``keys`` that a MATLAB file of version 4 to 7 holds."""
    content = read_mat(path, keys)
    for key in keys:
        if key in content:
            return content[key]
    there = ', '.join(read_mat(path)) or 'nothing'
    raise ValueError(f'{path}: no key {" or ".join(keys)} in it, but {there}')


def read_mat(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The variables ``names``, or all, of a MATLAB file of version 4 to 7, as
    ``scipy.io.loadmat`` gives them.
    """
    from scipy.io import loadmat  # takes a while, and is not needed where an index is cached

    with _opened(path) as file:
        content = _checked(file.read())
        found = loadmat(io.BytesIO(content), variable_names=names, **_codec(content))
        found = {name: value for name, value in found.items() if not name.startswith('__')}
        for name, value in found.items():
            if not isinstance(value, np.ndarray):  # scipy's way to say what it could not read
                raise ValueError(f'{name}: {value}')
    return found


def read_records(path: Path, key: str) -> Iterator[dict[str, np.ndarray]]:
    """The structs of an array, one after the other.

    All of CUHK-SYSU's largest protocol at once would take gigabytes; compressed files, which
    MATLAB writes, are read a struct at a time.

    Yields:
        By field, what ``scipy.io.loadmat`` makes of it.
    """
    with _opened(path) as file:
        found = _compressed_structs(file, key)
        if found is not None:
            yield from _records(path, *found)
            return
    structs = read_variable(path, key)
    if structs.dtype.names is None:
        raise ValueError(f'{path}: {key} holds {structs.dtype} values, not structs')
    for record in structs.ravel('F'):
        yield dict(zip(structs.dtype.names, record, strict=True))


def _records(
    path: Path, stream: BinaryIO, count: int, fields: Sequence[str]
) -> Iterator[dict[str, np.ndarray]]:
    from scipy.io import loadmat

    names = {field: chr(ord('a') + number) for number, field in enumerate(fields)}
    for _ in tqdm(range(count), f'Reading {path.name}', delay=2, leave=False):
        # scipy reads files of variables, so that each field becomes one.
        parts = [_HEADER, bytes(8), b'\x00\x01IM']
        for name in names.values():
            element = _element(stream)
            if len(element) > 8:  # MATLAB's [] may be a tag alone
                if element[24:32] != _TWO_AXES or element[40:48] != _NAMELESS:
                    raise ValueError('an array within a struct has a name or more than two axes')
                element[40:48] = struct.pack('<HHc3x', 1, 1, name.encode())
                parts.append(element)
        content = b''.join(parts)
        found = loadmat(io.BytesIO(content), **_codec(content))
        yield {field: found.get(name, np.empty((0, 0))) for field, name in names.items()}
    if stream.read(1):  # reading to the end compares the checksum
        raise ValueError('an array is longer than its tag says')


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file; whatever goes wrong while it is read becomes an error that names it."""
    try:
        with open(path, 'rb') as file:
            if file.read(len(_MATLAB_73)) == _MATLAB_73:
                raise ValueError(f'{path}: saved as MATLAB 7.3; save it with "-v7"')
            file.seek(0)
            yield file
    except FileNotFoundError:
        raise FileNotFoundError(_missing(path)) from None
    except Exception as error:
        # What the system says has a number, which scipy's own OSError has not.
        if str(error).startswith(f'{path}: ') or getattr(error, 'errno', None):
            raise
        raise ValueError(
            f'{path}: cannot be read as a MATLAB file ({error}); it may be truncated or damaged, '
            'unpack it again'
        ) from error


def _missing(path: Path) -> str:
    return (
        f'{path}: this file of the data set is missing; point data_root at the folder that its '
        "authors' archive unpacks to"
    )


def _codec(content: bytes) -> dict[str, str]:
    """The option for text that MATLAB stores as words; scipy would take what the system uses."""
    order = _BYTE_ORDERS.get(content[124:HEADER_BYTES])
    return {} if order is None else {'uint16_codec': f'utf-16-{"le" if order == "<" else "be"}'}


def _checked(content: bytes) -> bytes:
    """A file without compression, in which every size fits into the bytes that are there."""
    order = _BYTE_ORDERS.get(content[124:HEADER_BYTES])
    if order is None:  # version 4, or nothing that scipy knows
        return content
    parts, at = [content[:HEADER_BYTES]], HEADER_BYTES
    while at < len(content):
        kind, start, stop, after = _tag(content, order, at, len(content))
        if kind == _COMPRESSED:
            # Compressed elements alone are not padded.
            parts.append(zlib.decompress(content[start:stop]))
            after = stop
        elif kind == _MATRIX:
            _check_array(content, order, start, stop)
            parts.append(content[at:after])
        else:
            raise ValueError(f'an element of type {kind} instead of an array at byte {at}')
        at = after
    return b''.join(parts)


def _tag(content: bytes, order: str, at: int, end: int) -> tuple[int, int, int, int]:
    """Type, first byte, byte behind the last, and start of what follows the element at ``at``."""
    if end - at < 8:
        raise ValueError(f'cut off at byte {at}')
    kind, size = struct.unpack_from(f'{order}II', content, at)
    if kind >> 16:  # up to four bytes stand in the tag itself, beside type and size
        kind, size, room, start, after = kind & 0xFFFF, kind >> 16, 4, at + 4, at + 8
    else:
        room, start, after = end - at - 8, at + 8, min(at + 8 + size + -size % 8, end)
    if size > room:
        raise ValueError(f'an element of {size} bytes at byte {at}, of which {room} exist')
    return kind, start, start + size, after


def _check_array(content: bytes, order: str, at: int, end: int, depth: int = 0) -> None:
    """Refuse what scipy would follow out of the array between ``at`` and ``end``, without its tag.

    Source: MAT-File Format (MathWorks), chapter 1.
    """
    elements, first = [], at
    while at < end:
        *element, at = _tag(content, order, at, end)
        elements.append(element)
    if not elements:  # MATLAB's []
        return
    kinds = [kind for kind, _, _ in elements]
    if kinds[:2] != [_UINT32, _INT32] or kinds[2:3] not in ([_INT8], [_UTF8]):
        raise ValueError(f'no flags, dimensions and name of an array at byte {first}')
    (_, flags, _), (_, *dims), _, *values = elements
    array_class = struct.unpack_from(f'{order}I', content, flags)[0] & (_COMPLEX | 0xFF)
    shape = struct.unpack_from(f'{order}{(dims[1] - dims[0]) // 4}i', content, dims[0])
    count, nested = math.prod(shape), [kind == _MATRIX for kind in kinds[3:]]
    sound = min(shape, default=-1) >= 0 and depth <= _DEEPEST
    if array_class == _CELL:
        sound &= len(values) == count and all(nested)
    elif array_class == _STRUCT:
        sound &= kinds[3:5] == [_INT32, _INT8] and all(nested[2:])
        if sound:
            (_, width, stop), (_, *names), *values = values
            width = int.from_bytes(content[width:stop], 'little' if order == '<' else 'big')
            sound = width > 0 and len(values) * width == count * (names[1] - names[0])
            sound &= count <= end - first
    elif array_class == _CHAR:
        sound &= len(values) == 1 and kinds[3] in _TEXT and count <= end - first
    elif array_class in _NUMERIC_CLASSES:
        sound &= len(values) == 1 and kinds[3] in _NUMBER_BYTES
        sound = sound and values[0][2] - values[0][1] == count * _NUMBER_BYTES[kinds[3]]
    else:
        raise ValueError(f'complex, sparse, an object or a function (class {array_class})')
    if not sound:
        raise ValueError(f'an array of class {array_class} and {shape} values at byte {first}')
    for kind, start, stop in values:
        if kind == _MATRIX:
            _check_array(content, order, start, stop, depth + 1)


class _Inflated(io.RawIOBase):
    """The next ``size`` bytes of a file, decompressed as far as they are read."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        while not self._inflate.eof:
            chunk = self._inflate.unconsumed_tail
            if not chunk:
                chunk = self._file.read(min(self._left, 2**16))
                self._left -= len(chunk)
            if not chunk:
                raise ValueError('a compressed array is cut off')
            data = self._inflate.decompress(chunk, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0


def _compressed_structs(file: BinaryIO, key: str) -> tuple[BinaryIO, int, list[str]] | None:
    """What follows the head of the first variable, the number of structs and their fields; None
    where it has another name, holds something else, or is not compressed in this byte order.
    """
    header, tag = file.read(HEADER_BYTES), file.read(8)
    if header[124:] != b'\x00\x01IM' or int.from_bytes(tag[:4], 'little') != _COMPRESSED:
        return None
    stream = io.BufferedReader(_Inflated(file, int.from_bytes(tag[4:], 'little')), 2**20)
    if int.from_bytes(stream.read(8)[:4], 'little') != _MATRIX:
        return None
    flags, dims, name = (_element(stream) for _ in range(3))
    if flags[8:9] != bytes([_STRUCT]) or _data(name).decode() != key:
        return None
    width = int.from_bytes(_data(_element(stream)), 'little')
    names = _data(_element(stream))
    if not 0 < width <= 64:
        raise ValueError(f'names of fields of {width} bytes')
    fields = [names[at : at + width].split(b'\0')[0].decode() for at in range(0, len(names), width)]
    count = math.prod(np.frombuffer(_data(dims), '<i4').tolist())
    if not 0 <= count <= MAX_VALUES or len(fields) > 26:
        raise ValueError(f'{count} structs of {len(fields)} fields')
    return stream, count, fields


def _element(stream: BinaryIO) -> bytearray:
    """The next element with its tag and its padding."""
    tag = bytearray(stream.read(8))
    if len(tag) < 8:
        raise ValueError('cut off')
    kind, size = struct.unpack('<II', tag)
    if kind >> 16:
        return tag
    size += -size % 8
    if size > MAX_VALUES:
        raise ValueError(f'an element of {size} bytes')
    tag += stream.read(size)
    if len(tag) < 8 + size:
        raise ValueError('cut off')
    return tag


def _data(element: bytearray) -> bytes:
    """What an element holds, without its tag and its padding."""
    _, start, stop, _ = _tag(element, '<', 0, len(element))
    return bytes(element[start:stop])


class Mat73File(AbstractContextManager):
    """An open MATLAB 7.3 file; arrays have the order of dimensions that MATLAB shows.

    Every method takes a variable's name, or a reference out of a cell together with what to call it
    in an error, and raises a ValueError that names it if it is missing, damaged or of another kind.
    """

    def __init__(self, path: Path) -> None:
        import h5py  # takes a while, and most data sets do without

        self.path = path
        self._h5py = h5py
        if not path.is_file():
            raise FileNotFoundError(_missing(path))
        try:
            # Locks protect readers from a writer, and some network file systems refuse them.
            self._file = h5py.File(path, 'r', locking=False)
        except PermissionError:
            raise
        except Exception as error:
            raise ValueError(
                f'{path}: cannot be read as a MATLAB 7.3 (HDF5) file ({error}); it may be '
                'truncated, unpack it again, or of another version, save it with "-v7.3"'
            ) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def cell(self, key: str | h5py.Reference, name: str = '') -> np.ndarray:
        """The references in a cell, an object array."""
        with self.opened(key, name) as cells:
            if self._h5py.check_ref_dtype(cells.dtype) is not self._h5py.Reference:
                raise ValueError('is not a cell')
            return self._h5py.Dataset(cells)[()].T

    def array(self, key: str | h5py.Reference, name: str = '') -> np.ndarray:
        """The values of a numeric array."""
        with self.opened(key, name) as array:
            if array.dtype.kind not in 'iuf':
                raise ValueError(f'holds {array.dtype}, not numbers')
            return self._h5py.Dataset(array)[()].T

    @contextmanager
    def opened(self, key: str | h5py.Reference, name: str = '') -> Iterator[h5py.h5d.DatasetID]:
        """An array or a cell, its axes reversed; errors within the block name the file and it.

        HDF5 raises half a dozen types on damaged files.
        """
        try:
            if not isinstance(key, str):
                # h5py's own lookup takes twice as long, and there are 14,000 crops
                found = self._h5py.h5r.dereference(key, self._file.id)
            elif key in self._file:
                found = self._h5py.h5o.open(self._file.id, key.encode())
            else:
                there = ', '.join(name for name in self._file if not name.startswith('#'))
                raise ValueError(f'there is no such variable, but {there or "nothing"}')
            if not isinstance(found, self._h5py.h5d.DatasetID):
                raise ValueError('the reference does not point at an array')
            if found.shape is None or math.prod(found.shape) > MAX_VALUES:
                raise ValueError(f'shape {found.shape} is not plausible')
            yield found
        except Exception as error:
            raise ValueError(
                f'{self.path}: {name or key}: {error}; the file may be truncated or damaged, '
                'unpack it again'
            ) from error


def write_mat(path: Path, **variables: np.ndarray) -> None:
    """Write a MATLAB 7 file, whole or not at all; equal content gives equal bytes."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=True)
    with whole_file(path) as temporary:
        # scipy's header says when the file was made.
        temporary.write_bytes(_HEADER + buffer.getvalue()[len(_HEADER) :])


def cell_array(values: Sequence[Any], shape: tuple[int, ...] | None = None) -> np.ndarray:
    """What MATLAB calls a cell of ``values``; a column unless ``shape`` says otherwise."""
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array.reshape(shape or (-1, 1))


def struct_array(fields: Sequence[str], rows: Sequence[Sequence[Any]]) -> np.ndarray:
    """A (1, n) array of structs, each given by the values of its ``fields``."""
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for place, row in enumerate(rows):
        array[0, place] = tuple(row)
    return array


def compact(values: Any) -> np.ndarray:
    """(1, n) numbers in the smallest type that holds them all, as MATLAB stores its doubles.

    That is why the boxes of data sets come back as bytes or words, whose sums overflow.
    """
    values = np.asarray(values, np.float64).reshape(1, -1)
    with np.errstate(invalid='ignore'):
        for kind in ('u1', 'u2', 'i2', 'i4') if values.size else ():
            if (values.astype(kind) == values).all():
                return values.astype(kind)
    return values


def write_mat73(path: Path, **variables: np.ndarray) -> None:
    """Write a MATLAB 7.3 file, whole or not at all; equal content gives equal bytes.

    Variables are numeric arrays, and cells: object arrays of numeric arrays, cells or None, which
    is an empty cell.
    """
    import h5py

    numbers = itertools.count()

    def write(group: h5py.Group, name: str, value: np.ndarray) -> None:
        if value.dtype != object:
            kind = 'double' if value.dtype == np.float64 else value.dtype.name
            group.create_dataset(name, data=value.T).attrs['MATLAB_class'] = np.bytes_(kind)
            return
        references = np.empty(value.T.shape, h5py.ref_dtype)
        for place, item in np.ndenumerate(value.T):
            key = 'a'
            if item is not None:
                key = f'r{next(numbers)}'
                write(contents, key, item)
            references[place] = contents[key].ref
        cells = group.create_dataset(name, data=references, dtype=h5py.ref_dtype)
        cells.attrs['MATLAB_class'] = np.bytes_('cell')

    with whole_file(path) as temporary:
        with h5py.File(temporary, 'w', userblock_size=_HEADER_73_BYTES) as file:
            contents = file.create_group('#refs#')
            # MATLAB lets all empty cells share one array, which says its size instead of having it.
            empty = contents.create_dataset('a', data=np.zeros(2, np.uint64))
            empty.attrs['MATLAB_class'] = np.bytes_('canonical empty')
            empty.attrs['MATLAB_empty'] = np.uint8(1)
            for name, value in variables.items():
                write(file, name, value)
        with open(temporary, 'r+b') as file:
            file.write(_MATLAB_73.ljust(116) + bytes(8) + b'\x00\x02IM')
