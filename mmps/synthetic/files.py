"""Files that are either whole or absent."""

import io
import os
from pathlib import Path

import numpy as np
import scipy.io

PARTS = '.parts'
"""Folder, inside a data set, of what is needed only until the set is complete."""


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file so that a killed process never leaves half of it."""
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    temporary.write_bytes(content)
    os.replace(temporary, path)


def write_mat(path: Path, **arrays: np.ndarray) -> None:
    """Writes a MATLAB file that holds no date, so that equal content gives equal bytes."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays)
    description = b'MATLAB 5.0 MAT-file'.ljust(116)
    write_bytes(path, description + buffer.getvalue()[116:])


def names_cell(names: list[str]) -> np.ndarray:
    """(N, 1) object array: what MATLAB calls a cell of strings."""
    cell = np.empty((len(names), 1), object)
    cell[:, 0] = names
    return cell
