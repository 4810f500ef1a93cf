"""``cuhk03_new_protocol_config_*.mat`` (Zhong et al., "Re-ranking ...", CVPR 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.formats.mat.mat_file import read_mat

from .crops import Crop

_INDICES = ('train_idx', 'query_idx', 'gallery_idx')
_KEYS = ('filelist', 'labels', *_INDICES)


@dataclass(frozen=True)
class NewProtocol:
    """Who is trained with, who is searched and where.

    Attributes:
        crops: The n listed crops.
        labels: (n,) int64 identity of each.
        train: Positions of the training crops, from 0.
        queries: Positions of the queries, in the order of the file.
        gallery: Positions of the gallery crops.
    """

    crops: Sequence[Crop]
    labels: np.ndarray
    train: np.ndarray
    queries: np.ndarray
    gallery: np.ndarray


def read_new_protocol(path: Path, crops: Sequence[Crop]) -> NewProtocol:
    """Read the file and check it against itself and the crops that there are.

    Args:
        path: ``cuhk03_new_protocol_config_labeled.mat`` or ``..._detected.mat``.
        crops: What ``cuhk-03.mat`` holds.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Unreadable, of another layout, or a contradiction; the message names the row.
    """
    content = read_mat(path)
    missing = [key for key in _KEYS if key not in content]
    if missing:
        raise ValueError(
            f'{path}: no key {", ".join(missing)} in it, but {", ".join(content) or "nothing"}'
        )
    listed = _listed_crops(path, content['filelist'], crops)
    labels = _numbers(path, content, 'labels', len(listed))
    _check_labels(path, listed, labels)
    if 'camId' in content:
        views = np.array([crop.view for crop in listed])
        wrong = np.flatnonzero(_numbers(path, content, 'camId', len(listed)) != views)
        if len(wrong):
            raise ValueError(
                f'{path}: camId({wrong[0] + 1}) contradicts the view in the name '
                f'{listed[wrong[0]].name!r} of the same row of filelist'
            )
    train, queries, gallery = _indices(path, content, labels)
    return NewProtocol(listed, labels, train, queries, gallery)


def _listed_crops(path: Path, filelist: np.ndarray, crops: Sequence[Crop]) -> list[Crop]:
    by_name = {crop.name: crop for crop in crops}
    listed = []
    for row, cell in enumerate(filelist.ravel(), 1):
        name = str(np.ravel(cell)[0]).strip() if np.size(cell) == 1 else repr(cell)
        if name not in by_name:
            raise ValueError(
                f'{path}: filelist({row}) is {name!r}, but cuhk-03.mat has no such crop; is this '
                'the file for the other kind of boxes?'
            )
        listed.append(by_name[name])
    if len(set(listed)) < len(listed):
        twice = next(crop for crop in listed if listed.count(crop) > 1)
        raise ValueError(f'{path}: filelist names {twice.name!r} twice')
    return listed


def _numbers(path: Path, content: dict[str, np.ndarray], key: str, length: int) -> np.ndarray:
    """(length,) int64 values of a variable."""
    values = content[key].ravel()
    if values.dtype.kind not in 'iuf' or len(values) != length:
        raise ValueError(
            f'{path}: {key} holds {len(values)} values of {values.dtype}; {length} numbers, one '
            'for each row of filelist, expected'
        )
    return _whole(path, key, values)


def _whole(path: Path, key: str, values: np.ndarray) -> np.ndarray:
    whole = np.isfinite(values) & (values == np.trunc(values)) & (values >= 0) & (values < 2**31)
    if not whole.all():
        row = int(np.flatnonzero(~whole)[0])
        raise ValueError(f'{path}: {key}({row + 1}) is {values[row]:g}; a whole number expected')
    return values.astype(np.int64)


def _check_labels(path: Path, crops: Sequence[Crop], labels: np.ndarray) -> None:
    """Refuse a person with two labels and a label of two people."""
    label_of: dict[tuple[int, int], int] = {}
    person_of: dict[int, tuple[int, int]] = {}
    for row, (crop, label) in enumerate(zip(crops, labels.tolist(), strict=True), 1):
        person = crop.pair, crop.person
        if (
            label_of.setdefault(person, label) != label
            or person_of.setdefault(label, person) != person
        ):
            raise ValueError(
                f'{path}: labels({row}) is {label} for {crop.name!r}, but in an earlier row that '
                'person has another label or that label another person'
            )


def _indices(path: Path, content: dict[str, np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
    """Positions, from 0, of the training crops, the queries and the gallery."""
    found = []
    for key in _INDICES:
        values = content[key].ravel()
        if values.dtype.kind not in 'iuf' or not len(values):
            raise ValueError(f'{path}: {key} holds no numbers, but {values.dtype} values')
        rows = _whole(path, key, values)
        bad = np.flatnonzero((rows < 1) | (rows > len(labels)))
        if len(bad):
            raise ValueError(
                f'{path}: {key}({bad[0] + 1}) is {rows[bad[0]]}; filelist has the rows 1 to '
                f'{len(labels)}'
            )
        found.append(rows - 1)
    rows, counts = np.unique(np.concatenate(found), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f'{path}: row {rows[counts > 1][0] + 1} of filelist is used more than once by '
            f'{", ".join(_INDICES)}; training crops, queries and gallery must not overlap'
        )
    both = np.intersect1d(labels[found[0]], labels[np.concatenate(found[1:])])
    if len(both):
        raise ValueError(f'{path}: label {both[0]} is in the training set and in the test set')
    return found
