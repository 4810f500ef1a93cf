"""MATLAB files of version 7.3: HDF5 with transposed arrays, and cells that hold references."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

_HEADER_BYTES = 512


def write_mat73(path: Path, **variables: np.ndarray) -> None:
    """Writes a MATLAB 7.3 file, whole or not at all; equal content gives equal bytes.

    Args:
        path: File to write.
        variables: Numeric arrays, and cells: object arrays of numeric arrays, cells or None, which
            is an empty cell.
    """
    import h5py

    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    with h5py.File(temporary, 'w', userblock_size=_HEADER_BYTES) as file:
        contents = file.create_group('#refs#')
        # MATLAB lets all empty cells share one array, which says its size instead of having it.
        empty = contents.create_dataset('a', data=np.zeros(2, np.uint64))
        empty.attrs['MATLAB_class'] = np.bytes_('canonical empty')
        empty.attrs['MATLAB_empty'] = np.uint8(1)
        numbers = itertools.count()
        for name, value in variables.items():
            _write(file, name, value, contents, numbers)
    with open(temporary, 'r+b') as file:
        file.write(b'MATLAB 7.3 MAT-file'.ljust(116) + bytes(8) + b'\x00\x02IM')
    os.replace(temporary, path)


def cell(values: list, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """An object array of ``values``; a column unless ``shape`` says otherwise."""
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array.reshape(shape or (-1, 1))


def _write(
    group: 'h5py.Group',
    name: str,
    value: np.ndarray,
    contents: 'h5py.Group',
    numbers: Iterator[int],
) -> None:
    import h5py

    if value.dtype != object:
        kind = 'double' if value.dtype == np.float64 else value.dtype.name
        group.create_dataset(name, data=value.T).attrs['MATLAB_class'] = np.bytes_(kind)
        return
    references = np.empty(value.T.shape, h5py.ref_dtype)
    for place, item in np.ndenumerate(value.T):
        key = 'a'
        if item is not None:
            key = f'r{next(numbers)}'
            _write(contents, key, item, contents, numbers)
        references[place] = contents[key].ref
    cells = group.create_dataset(name, data=references, dtype=h5py.ref_dtype)
    cells.attrs['MATLAB_class'] = np.bytes_('cell')
