"""MATLAB files of version 7.3, which are HDF5, read with errors that name file and variable."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .mat5 import BYTE_ORDERS, HEADER_BYTES
from .mat_file import is_version_4

if TYPE_CHECKING:
    import h5py

MAX_VALUES = 2**26
"""Largest array taken for a real one: a damaged size must not ask for all memory."""


class Mat73File(AbstractContextManager):
    """An open MATLAB 7.3 file; arrays have the order of dimensions that MATLAB shows.

    Every method takes a variable's name, or a reference out of a cell together with what to call it
    in an error.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Truncated, or not a MATLAB 7.3 file.
    """

    def __init__(self, path: Path) -> None:
        import h5py  # takes a while, and most data sets do without

        self.path = path
        self._h5py = h5py
        if not path.is_file():
            raise FileNotFoundError(
                f'{path}: this file of the data set is missing; point data_root at the folder that '
                "its authors' archive unpacks to"
            )
        with open(path, 'rb') as file:
            start = file.read(HEADER_BYTES)
        for version, found in (('4', is_version_4(start)), ('5 to 7', start[124:] in BYTE_ORDERS)):
            if found:
                raise ValueError(f'{path}: saved as MATLAB version {version}; save it with "-v7.3"')
        try:
            # Locks protect readers from a writer, and some network file systems refuse them.
            self._file = h5py.File(path, 'r', locking=False)
        except PermissionError:
            raise
        except Exception as error:
            raise ValueError(
                f'{path}: cannot be read as a MATLAB 7.3 (HDF5) file ({error}); it may be '
                'truncated, unpack it again'
            ) from error

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def cell(self, key: str | h5py.Reference, name: str = '') -> np.ndarray:
        """The references in a cell, an object array.

        Raises:
            ValueError: No such variable, not a cell, or damaged.
        """
        with self._reading(name or key):
            cells = self._open(key)
            if self._h5py.check_ref_dtype(cells.dtype) is not self._h5py.Reference:
                raise ValueError('is not a cell')
            return self._h5py.Dataset(cells)[()].T

    def header(self, key: str | h5py.Reference, name: str = '') -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype of an array, without reading it.

        Raises:
            ValueError: No such variable, or damaged.
        """
        with self._reading(name or key):
            array = self._open(key)
            return array.shape[::-1], array.dtype

    def array(self, key: str | h5py.Reference, name: str = '') -> np.ndarray:
        """The values of a numeric array.

        Raises:
            ValueError: No such variable, not numeric, or damaged.
        """
        with self._reading(name or key):
            array = self._open(key)
            if array.dtype.kind not in 'iuf':
                raise ValueError(f'holds {array.dtype}, not numbers')
            return self._h5py.Dataset(array)[()].T

    def _open(self, key: str | h5py.Reference) -> h5py.h5d.DatasetID:
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
        return found

    @contextmanager
    def _reading(self, name: Any) -> Iterator[None]:
        """HDF5 raises half a dozen types on damaged files; make it one that names the place."""
        try:
            yield
        except Exception as error:
            raise ValueError(
                f'{self.path}: {name}: {error}; the file may be truncated or damaged, unpack it '
                'again'
            ) from error
