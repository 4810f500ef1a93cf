"""The crops of ``cuhk-03.mat`` as PNG files, which a data loader can read in any order."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmps.formats.mat.mat73_file import Mat73File
from mmps.utils.files import whole_file, write_json

from .crops import iterate_crops

COMPLETE = 'complete.json'
"""In the folder of PNG files: which ``cuhk-03.mat`` all of them were unpacked from."""


def unpack_crops(source: Path, boxes: str, folder: Path) -> None:
    """Write every crop to ``folder``, unless all are there and ``source`` is the same as then.

    Files are written whole, and carry a mark of ``source`` as their time of modification. So the
    next run completes one that was interrupted, files of another ``cuhk-03.mat`` are replaced, and
    processes that unpack at once share the work without waiting for each other.

    Args:
        source: ``cuhk-03.mat``.
        boxes: ``'labelled'`` or ``'detected'``.
        folder: Made if missing.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is unreadable or of another layout.
        OSError: The folder cannot be written to.
    """
    state = _state(source)
    if _recorded_state(folder) == state:
        return
    with Mat73File(source) as file:
        crops = list(iterate_crops(file, boxes, 'Reading CUHK03'))
        # Processes that start in different places find the work of the others done.
        start = secrets.randbelow(len(crops)) if crops else 0
        for crop, reference in tqdm(
            crops[start:] + crops[:start], f'Unpacking {boxes} crops', unit='crop', delay=2
        ):
            path = folder / crop.name
            if not _has_mark(path, state):
                _write_image(path, file.array(reference, crop.cell(boxes)), state)
    write_json(folder / COMPLETE, state)


def _state(source: Path) -> dict[str, int]:
    if not source.is_file():
        raise FileNotFoundError(
            f'{source}: this file of the data set is missing, and its crops are not unpacked'
        )
    status = source.stat()
    return dict(size=status.st_size, mtime_ns=status.st_mtime_ns)


def _recorded_state(folder: Path) -> object:
    try:
        return json.loads((folder / COMPLETE).read_text())
    except (OSError, ValueError):
        return None


def _mark(state: dict[str, int]) -> int:
    """A time, in ns, for files that were unpacked from ``state``; in full microseconds."""
    microseconds = zlib.crc32(json.dumps(state).encode()) % 10**6
    return state['mtime_ns'] // 10**9 * 10**9 + microseconds * 1000


def _has_mark(path: Path, state: dict[str, int]) -> bool:
    try:
        return path.stat().st_mtime_ns == _mark(state)
    except OSError:
        return False


def _write_image(path: Path, rgb: np.ndarray, state: dict[str, int]) -> None:
    import cv2  # not needed to read an index

    _, encoded = cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(encoded.tobytes())
            os.utime(temporary, ns=(_mark(state), _mark(state)))
    except OSError as error:
        raise OSError(
            f'{path.parent}: the crops of cuhk-03.mat cannot be unpacked there: {error}'
        ) from error
