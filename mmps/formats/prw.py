"""The files of PRW (Zheng et al., "Person Re-identification in the Wild", CVPR 2017)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.utils.files import whole_file

from .mat import cell_array, read_variable, write_mat
from .scene_index import LARGEST_ID, Frame, Query, SceneFiles, SceneIndex, training_index

BOX_KEYS = ('box_new', 'anno_file', 'anno_previous')
"""Keys an annotation file may hold its boxes under, the one to prefer first."""

_AMBIGUOUS = -2
_NAME = re.compile(r'c(\d{1,9})s\d+_[^/\0]*', re.ASCII)
_NUMBER = re.compile(r'[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?', re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class PRWFiles(SceneFiles):
    """``frames/``, ``annotations/``, ``frame_*.mat``, ``ID_train.mat`` and ``query_info.txt``.

    Training ids are ranks in the sorted ``ID_train`` (0..482): the raw ids leave out 479 and end
    with 932, so that "raw id minus one" is not a class index. Test ids stay raw.
    """

    image_folder = 'frames'

    def sources(self) -> list[Path]:
        annotations = self.root / 'annotations'
        single = 'query_info.txt' if self.test_mode else 'ID_train.mat'
        names = sorted(os.listdir(annotations)) if annotations.is_dir() else ['']
        files = [annotations / name for name in names]
        return [self.root / f'frame_{self.split}.mat', self.root / single, *files]

    def read(self) -> SceneIndex:
        root, split = self.root, self.split
        names = read_frame_names(root / f'frame_{split}.mat', f'img_index_{split}')
        ids = None if self.test_mode else read_ids(root / 'ID_train.mat')
        frames = [
            read_frame(root / 'annotations', name, self.test_mode)
            for name in tqdm(names, f'Reading PRW {split} annotations', delay=2, leave=False)
        ]
        if ids is None:
            return SceneIndex(frames, 0, read_queries(root / 'query_info.txt'))
        return training_index(frames, ids, 'ID_train.mat')


def read_frame_names(path: Path, key: str) -> list[str]:
    """Image names of ``frame_train.mat`` or ``frame_test.mat``, with their suffix."""
    names = []
    for number, cell in enumerate(read_variable(path, key).ravel()):
        text = np.asarray(cell)
        if text.dtype.kind != 'U' or text.size != 1 or not _NAME.fullmatch(text.item().strip()):
            raise ValueError(
                f'{path}: {key} {number} (counted from 0) is {str(text)[:60]!r}; a PRW frame is '
                'called cXsY_FFFFFF, X being its camera'
            )
        names.append(f'{text.item().strip()}.jpg')
    return names


def read_ids(path: Path) -> np.ndarray:
    """(N,) int64 training ids."""
    ids = np.ravel(read_variable(path, 'ID_train'))
    if ids.dtype.kind not in 'fiu' or not _are_ids(ids).all():
        raise ValueError(f'{path}: ID_train holds something else than ids, whole numbers from 0 on')
    return ids.astype(np.int64)


def _are_ids(values: np.ndarray) -> np.ndarray:
    """(n,) bool: which of the numbers are whole and from 0 to the largest id."""
    return (values >= 0) & (values <= LARGEST_ID) & (values == np.floor(values))


def read_frame(folder: Path, name: str, test_mode: bool) -> Frame:
    """Read the people of one image, with their ids as the file numbers them."""
    path = folder / f'{name}.mat'
    rows = read_variable(path, *BOX_KEYS)
    if rows.size == 0:
        rows = np.empty((0, 5))
    if rows.ndim != 2 or rows.shape[1] != 5 or rows.dtype.kind not in 'fiu':
        raise ValueError(
            f'{path}: shape {rows.shape} of {rows.dtype}; rows of id, x, y, width, height expected'
        )
    rows = rows.astype(np.float64)
    ids = rows[:, 0]
    labelled = (ids != _AMBIGUOUS) & (ids != UNLABELLED)
    for row in np.flatnonzero(labelled & ~_are_ids(ids)):
        raise ValueError(
            f'{path}: row {row} (counted from 0) has the id {ids[row]}; an id is a whole number '
            f'up to {LARGEST_ID}, -2 for an unlabelled person'
        )
    return Frame(
        name=name,
        bboxes=frame_boxes(rows[:, 1:], keep_outside=not test_mode),
        person_ids=np.where(labelled, ids, UNLABELLED).astype(np.int64),
        source=str(path),
        camera=int(_NAME.match(name)[1]),
    )


def frame_boxes(xywh: np.ndarray, *, keep_outside: bool = False) -> np.ndarray:
    """Boxes of frames, (n, 4) xywh -> (n, 4) float32 xyxy.

    In this order: negative values become 0, then corners, then the fraction is cut off. The field
    scores PRW on such boxes, and at the edge of the IoU threshold the order shows.

    Args:
        xywh: As the files hold them.
        keep_outside: Leave a box that ends left of the image or above it where it is. The field's
            way moves it into the image, where it would teach that somebody is there.
    """
    raw, xywh = xywh, xywh.clip(min=0)
    corners = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
    if keep_outside:
        ends = raw[:, :2] + raw[:, 2:]
        outside = (ends <= 0).any(1)
        corners[outside] = np.concatenate([raw[:, :2], ends], 1)[outside]
    return np.trunc(corners, dtype=np.float32)


def query_box(xywh: np.ndarray) -> np.ndarray:
    """Box of a query, (4,) xywh -> (4,) float32 xyxy: corners, then cut off, then clipped at 0."""
    corners = np.concatenate([xywh[:2], xywh[:2] + xywh[2:]])
    return np.trunc(corners, dtype=np.float32).clip(min=0)


def read_queries(path: Path) -> list[Query]:
    """Read ``query_info.txt``: lines of id, x, y, width, height, name, ended by CRLF or LF."""
    try:
        lines = path.read_bytes().decode('ascii').splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f'{path}: this file of the PRW layout is missing') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: byte {error.start} is no text; unpack the file again') from None
    return [
        _read_query(line, f'{path}, line {number}')
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _read_query(line: str, source: str) -> Query:
    *numbers, name = line.split()
    if len(numbers) != 5 or not all(map(_NUMBER.fullmatch, numbers)):
        raise ValueError(f'{source}: {line[:200]!r} is not "id x y width height image_name"')
    person_id, *xywh = map(float, numbers)
    if not _are_ids(np.array([person_id]))[0]:
        raise ValueError(f'{source}: {numbers[0]} is not the id of a labelled person')
    return Query(f'{name}.jpg', query_box(np.array(xywh)), int(person_id), source)


def to_rows(bboxes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy and (n,) ids -> (n, 5) float64 rows of id, x, y, width, height.

    PRW's files are read by moving a corner without its opposite, so none may lie beyond 0.
    """
    corners = bboxes.astype(np.float64).clip(min=0)
    ids = np.where(ids == UNLABELLED, _AMBIGUOUS, ids)
    return np.column_stack([ids, corners[:, :2], corners[:, 2:] - corners[:, :2]])


def write_prw(
    root: Path,
    split: str,
    people: Mapping[str, np.ndarray],
    queries: Iterable[tuple[str, np.ndarray]] = (),
    *,
    ids: Iterable[int] = (),
) -> None:
    """Write the annotation files of one split.

    Args:
        root: Folder of the data set.
        split: ``'train'`` or ``'test'``.
        people: Frame name, without suffix -> (n, 5) rows; see :func:`to_rows`.
        queries: Of the test split: frame name and row of each query.
        ids: Ids to list though nobody in ``people`` has them.
    """
    for name, rows in people.items():
        write_mat(root / 'annotations' / f'{name}.jpg.mat', **{BOX_KEYS[0]: rows})
    write_mat(root / f'frame_{split}.mat', **{f'img_index_{split}': cell_array(list(people))})
    listed = np.unique(np.concatenate([[*ids], *(rows[:, 0] for rows in people.values())]))
    key = 'ID_train' if split == 'train' else 'ID_test2'
    write_mat(root / f'ID_{split}.mat', **{key: listed[listed >= 0][None].astype(np.float64)})
    if split == 'test':
        lines = [
            f'{row[0]:.0f} {" ".join(map(repr, row[1:].tolist()))} {name}\r\n'
            for name, row in queries
        ]
        with whole_file(root / 'query_info.txt') as temporary:
            temporary.write_bytes(''.join(lines).encode())
