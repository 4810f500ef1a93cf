"""MATLAB files up to version 7, read with errors that name the file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from .mat5 import BYTE_ORDERS, HEADER_BYTES, read_variables

_MATLAB_73 = b'MATLAB 7.3 MAT-file'
_MATLAB_4_HEAD = 20
_MATLAB_4_NAME = 64
"""Bytes before a variable's name, and more than a name takes."""


def is_version_4(content: bytes) -> bool:
    """Whether the first bytes of a file are those of MATLAB 4, which has no header.

    A variable begins with five whole numbers of four bytes: 1000 M + 10 P + T, with M 0 for
    little-endian, 1 for big-endian and 2 to 4 for older machines, P the type of the values and T
    the kind of matrix; rows; columns; whether it is complex; the length of its name with the zero
    that ends it. Source: MAT-File Format (MathWorks), chapter 2.
    """
    if content[124:HEADER_BYTES] in BYTE_ORDERS:
        return False
    for order, machines in (('<', (0, 2, 3, 4)), ('>', (1,))):
        head = np.frombuffer(content[:_MATLAB_4_HEAD].ljust(_MATLAB_4_HEAD, b'\xff'), f'{order}i4')
        kind, rows, columns, is_complex, length = head.tolist()
        name = content[_MATLAB_4_HEAD : _MATLAB_4_HEAD + max(length, 0)]
        if (
            kind // 1000 in machines
            and kind // 100 % 10 == 0
            and kind // 10 % 10 <= 5
            and kind % 10 <= 2
            and min(rows, columns) >= 0
            and is_complex in (0, 1)
            and 2 <= length <= _MATLAB_4_NAME
            and len(name) == length
            and name.find(b'\0') == length - 1
        ):
            return True
    return False


def read_mat(path: Path, wanted: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The variables of a MATLAB file of version 5 to 7, in the form of ``scipy.io.loadmat``.

    Args:
        path: The file.
        wanted: Variables to decode; the value of any other is an empty array. None: all.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Damaged, of another version, or not a MATLAB file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path}: this file of the data set is missing; point data_root at the folder that its '
            "authors' archive unpacks to"
        ) from None
    if content.startswith(_MATLAB_73):
        raise ValueError(f'{path}: saved as MATLAB 7.3; save it with "-v7"')
    if is_version_4(content):
        raise ValueError(f'{path}: saved as MATLAB version 4; save it with "-v7"')
    try:
        return read_variables(content, wanted)
    except ValueError as error:
        raise ValueError(
            f'{path}: cannot be read as a MATLAB file ({error}); it may be truncated or damaged, '
            'unpack it again'
        ) from error


def read_variable(path: Path, *keys: str) -> np.ndarray:
    """The first of the variables ``keys`` that a MATLAB file holds.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file cannot be read or holds none of them.
    """
    content = read_mat(path, keys)
    for key in keys:
        if key in content:
            return content[key]
    raise ValueError(
        f'{path}: no key {" or ".join(keys)} in it, but {", ".join(content) or "nothing"}'
    )
