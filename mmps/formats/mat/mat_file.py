"""MATLAB files up to version 7, read with errors that name the file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from .mat5 import read_variables

_MATLAB_73 = b'MATLAB 7.3 MAT-file'


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
