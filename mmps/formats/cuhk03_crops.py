"""The crops in ``cuhk-03.mat`` (Li et al., "DeepReID", CVPR 2014), and as PNG files, which a data
loader can read in any order."""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from mmps.formats.mat import Mat73File
from mmps.utils.files import whole_file, write_json

if TYPE_CHECKING:
    import h5py

VARIABLES = {'labelled': 'labeled', 'detected': 'detected'}
"""How the boxes came about -> variable of the file that holds the crops."""

SHOTS = 10
MAX_PAIRS, MAX_PEOPLE = 9, 999  # digits of the authors' file names


@dataclass(frozen=True)
class Crop:
    """One picture of one person, named as the authors name it.

    Attributes:
        pair: Camera pair, from 1.
        person: Number of the person within the camera pair, from 1.
        number: Number of the picture, 1..10; the first five come from the pair's first view.
        width: In pixels.
        height: In pixels.
    """

    pair: int
    person: int
    number: int
    width: int
    height: int

    @property
    def view(self) -> int:
        """View of the camera pair, 1 or 2."""
        return 1 if self.number <= SHOTS // 2 else 2

    @property
    def camera(self) -> int:
        """Number of the view among all camera pairs, from 1."""
        return 2 * (self.pair - 1) + self.view

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The whole picture, xyxy."""
        return 0, 0, self.width, self.height

    @property
    def name(self) -> str:
        """File name, ``{pair}_{person}_{view}_{number}.png``."""
        return f'{self.pair}_{self.person:03d}_{self.view}_{self.number:02d}.png'

    def cell(self, boxes: str) -> str:
        """Where MATLAB shows the crop, e.g. ``labeled{1}{2,3}``."""
        return f'{VARIABLES[boxes]}{{{self.pair}}}{{{self.person},{self.number}}}'


def read_crops(path: Path, boxes: str) -> list[Crop]:
    """Every ``'labelled'`` or ``'detected'`` crop in ``cuhk-03.mat``, by camera pair, person and
    number; sizes are read, pixels are not.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is unreadable or of another layout.
    """
    with Mat73File(path) as file:
        return [crop for crop, _ in iterate_crops(file, boxes, 'Reading CUHK03')]


def iterate_crops(
    file: Mat73File, boxes: str, description: str
) -> Iterator[tuple[Crop, h5py.Reference]]:
    """Each crop and the reference to its pixels, with a progress bar."""
    variable = VARIABLES[boxes]
    pairs = _identities(file, variable)
    if not 1 <= len(pairs) <= MAX_PAIRS:
        raise ValueError(f'{file.path}: {variable}: {len(pairs)} camera pairs; 1 to 9 expected')
    places = sum(cells.size for cells in pairs)
    with tqdm(total=places, desc=description, unit='crop', delay=2, leave=False) as bar:
        for pair, cells in enumerate(pairs, 1):
            for (person, number), reference in np.ndenumerate(cells):
                bar.update()
                where = f'{variable}{{{pair}}}{{{person + 1},{number + 1}}}'
                size = _image_size(file, reference, where)
                if size:
                    yield Crop(pair, person + 1, number + 1, *size), reference


def _identities(file: Mat73File, variable: str) -> list[np.ndarray]:
    """(people, 10) references to the crops of each camera pair."""
    pairs = []
    for pair, reference in enumerate(file.cell(variable).ravel(), 1):
        name = f'{variable}{{{pair}}}'
        cells = file.cell(reference, name)
        if cells.ndim != 2 or cells.shape[1] != SHOTS or cells.shape[0] > MAX_PEOPLE:
            raise ValueError(
                f'{file.path}: {name}: a cell of shape {cells.shape}; one row for each of up to '
                f'{MAX_PEOPLE} people and {SHOTS} columns expected'
            )
        pairs.append(cells)
    return pairs


def _image_size(file: Mat73File, reference: h5py.Reference, name: str) -> tuple[int, int] | None:
    """(width, height) of a crop; None for an empty cell, which the authors leave for no crop."""
    shape, dtype = file.header(reference, name)
    if len(shape) < 3 or 0 in shape:
        return None
    if len(shape) != 3 or shape[2] != 3 or dtype != np.uint8:
        raise ValueError(
            f'{file.path}: {name}: {dtype} values of shape {shape}; height x width x 3 uint8 '
            'values expected'
        )
    return shape[1], shape[0]


def count_classic_splits(path: Path) -> int:
    """How many classic splits ``cuhk-03.mat`` has.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is unreadable or of another layout.
    """
    with Mat73File(path) as file:
        return file.cell('testsets').size


def read_test_people(path: Path, split: int) -> set[tuple[int, int]]:
    """(pair, person) of everybody in the test set of a classic split, which count from 0.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is unreadable, of another layout or without such a split.
    """
    with Mat73File(path) as file:
        splits = file.cell('testsets').ravel()
        if not 0 <= split < len(splits):
            raise ValueError(
                f'{path}: classic_split={split}, but testsets has the splits 0 to {len(splits) - 1}'
            )
        name = f'testsets{{{split + 1}}}'
        rows = file.array(splits[split], name)
        counts = [len(cells) for cells in _identities(file, 'labeled')]
    if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
        raise ValueError(f'{path}: {name}: shape {rows.shape}; rows of pair, person expected')
    for row, (pair, person) in enumerate(rows, 1):
        pairs = range(1, len(counts) + 1)
        if pair not in pairs or person not in range(1, counts[int(pair) - 1] + 1):
            raise ValueError(
                f'{path}: {name}({row},:) is [{pair:g} {person:g}], a camera pair or person that '
                'does not exist'
            )
    return {(int(pair), int(person)) for pair, person in rows}


COMPLETE = 'complete.json'
"""In the folder of PNG files: which ``cuhk-03.mat`` all of them were unpacked from."""


def unpack_crops(source: Path, boxes: str, folder: Path) -> None:
    """Write every crop to ``folder``, unless all are there and ``source`` is the same as then.

    Files are written whole, and carry a mark of ``source``, a ``cuhk-03.mat``, as their time of
    modification. So the next run completes one that was interrupted, files of another one are
    replaced, and processes that unpack at once share the work without waiting for each other.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is unreadable or of another layout.
        OSError: The folder cannot be written to.
    """
    state = _state(source)
    with suppress(OSError, ValueError):
        if json.loads((folder / COMPLETE).read_text()) == state:
            return
    # A time, in ns, but in full microseconds.
    mark = state['mtime_ns'] // 10**9 * 10**9
    mark += zlib.crc32(json.dumps(state).encode()) % 10**6 * 1000
    with Mat73File(source) as file:
        crops = list(iterate_crops(file, boxes, 'Reading CUHK03'))
        # Processes that start in different places find the work of the others done.
        start = secrets.randbelow(len(crops)) if crops else 0
        for crop, reference in tqdm(
            crops[start:] + crops[:start], f'Unpacking {boxes} crops', unit='crop', delay=2
        ):
            path = folder / crop.name
            if not path.exists() or path.stat().st_mtime_ns != mark:
                _write_image(path, file.array(reference, crop.cell(boxes)), mark)
    write_json(folder / COMPLETE, state)


def _state(source: Path) -> dict[str, int]:
    if not source.is_file():
        raise FileNotFoundError(
            f'{source}: this file of the data set is missing, and its crops are not unpacked'
        )
    status = source.stat()
    return dict(size=status.st_size, mtime_ns=status.st_mtime_ns)


def _write_image(path: Path, rgb: np.ndarray, mark: int) -> None:
    import cv2  # not needed to read an index

    _, encoded = cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(encoded.tobytes())
            os.utime(temporary, ns=(mark, mark))
    except OSError as error:
        raise OSError(
            f'{path.parent}: the crops of cuhk-03.mat cannot be unpacked there: {error}'
        ) from error
