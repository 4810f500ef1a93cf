"""Struct arrays of struct arrays, the form of a search protocol, read into columns.

An array object for every single value, of which CUHK-SYSU's largest protocol has 35 million, takes
minutes and gigabytes. Here numpy looks at the bytes of many structs at once. A file of any other
form, or one that is damaged, is left to the general reader, which reads it or says what is wrong.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from .columns import StructArrays, read_element, struct_head
from .mat5 import COMPRESSED, HEADER_BYTES, MATRIX
from .mat_file import read_variable
from .table import Irregular, Numbers, Table

_LITTLE_ENDIAN_5 = b'\x00\x01IM'


def read_records(path: Path, key: str, fields: Mapping[str, Sequence[str]]) -> dict[str, Table]:
    """Read a struct array whose fields are themselves struct arrays of text and numbers.

    Args:
        path: A MATLAB file up to version 7.
        key: The variable.
        fields: Fields of the variable that are wanted, and for each those of its structs.

    Returns:
        For each of ``fields``, its struct arrays in all records.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable, or without one of the fields; the message names file and record.
    """
    try:
        return _lean_records(path, key, fields)
    except (ValueError, zlib.error, FileNotFoundError):
        return _general_records(path, key, fields)


def _lean_records(path: Path, key: str, fields: Mapping[str, Sequence[str]]) -> dict[str, Table]:
    with open(path, 'rb') as file:
        if file.read(HEADER_BYTES)[124:] != _LITTLE_ENDIAN_5:
            raise Irregular
        stream = _first_variable(file)
        head, names, _ = struct_head(b''.join(read_element(stream) for _ in range(5)))
        if head.name != key or not fields.keys() <= set(names):
            raise Irregular
        arrays = {name: StructArrays(wanted) for name, wanted in fields.items()}
        for _ in tqdm(range(head.size), f'Reading {path.name}', delay=2, leave=False):
            for name in names:
                element = read_element(stream)
                if name in arrays:
                    arrays[name].add(memoryview(element)[8:])
        if stream is not file and stream.read(1):  # reading to the end verifies the checksum
            raise Irregular
        return {name: array.finish() for name, array in arrays.items()}


def _first_variable(file: BinaryIO) -> BinaryIO:
    """The stream that holds the first variable, behind its tag."""
    kind, size = np.frombuffer(file.read(8).ljust(8, b'\0'), '<u4').tolist()
    if kind == MATRIX:
        return file
    if kind != COMPRESSED:
        raise Irregular
    stream = io.BufferedReader(_Inflated(file, size), 2**20)
    if stream.read(4) != MATRIX.to_bytes(4, 'little') or len(stream.read(4)) < 4:
        raise Irregular
    return stream


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
                raise Irregular
            data = self._inflate.decompress(chunk, len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
        return 0


def _general_records(path: Path, key: str, fields: Mapping[str, Sequence[str]]) -> dict[str, Table]:
    records = read_variable(path, key)
    _check_fields(records, fields, f'{path}: {key}')
    tables = {}
    for name, wanted in fields.items():
        arrays = list(records[name].ravel('F'))
        for row, array in enumerate(arrays):
            if array.size:  # MATLAB's [] has no fields
                _check_fields(array, wanted, f'{path}: {name} of record {row} (counted from 0)')
        columns = {field: _column(arrays, field, f'{path}: {name}') for field in wanted}
        tables[name] = Table(columns, np.cumsum([0, *(array.size for array in arrays)]))
    return tables


def _check_fields(array: np.ndarray, fields: Iterable[str], place: str) -> None:
    found = array.dtype.names or ()
    for name in fields:
        if name not in found:
            raise ValueError(f'{place}: no field {name!r}, but {", ".join(found) or "none"}')


def _column(arrays: list[np.ndarray], field: str, place: str) -> np.ndarray | Numbers:
    values = [value for array in arrays if array.size for value in array[field].ravel('F')]
    kinds = {value.dtype.kind for value in values}
    if kinds <= {'U'} and all(value.size <= 1 for value in values):
        return np.array([''.join(value.ravel()).encode() for value in values], 'S')
    if kinds <= set('biuf'):
        flat = np.concatenate([value.ravel('F') for value in values]).astype(np.float64)
        return Numbers(flat, np.cumsum([0, *(value.size for value in values)]))
    raise ValueError(f'{place}: {field} is neither text everywhere nor real numbers everywhere')
