"""Crops and protocols as CUHK03 ships them (Li et al., 2014; Zhong et al., 2017)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmps.synthetic.files import names_cell, write_mat
from mmps.synthetic.mat73 import cell, write_mat73

SHOTS = 10
VARIABLES = ('labeled', 'detected')
Place = tuple[int, int, int]
"""Camera pair, person in it and number of the picture, each from 1."""
Crops = Mapping[Place, np.ndarray]
"""RGB pictures (h, w, 3) of single people."""


def view_of(number: int) -> int:
    """View of a camera pair that a picture comes from: 1 for the first five, 2 for the others."""
    return 1 if number <= SHOTS // 2 else 2


def write_cuhk03(
    root: Path,
    crops: Mapping[str, Crops],
    people: Sequence[int],
    testsets: Sequence[Sequence[tuple[int, int]]],
    test_people: Sequence[tuple[int, int]],
) -> None:
    """Writes ``cuhk03_release/cuhk-03.mat`` and the two files of the new protocol.

    Args:
        root: Folder of the data set.
        crops: For each of `VARIABLES` its crops; a picture may be missing.
        people: Number of people of each camera pair.
        testsets: For each classic split its test people, (pair, person).
        test_people: Who may be in the test set of the new protocol. As the authors did it, those
            with fewer than two pictures in a view are trained with all the same.
    """
    (root / 'cuhk03_release').mkdir(parents=True, exist_ok=True)
    variables = {
        variable: cell([_pair_cell(crops[variable], *pair) for pair in enumerate(people, 1)])
        for variable in VARIABLES
    }
    splits = cell([np.array(split, np.float64) for split in testsets])
    write_mat73(root / 'cuhk03_release' / 'cuhk-03.mat', **variables, testsets=splits)
    for variable in VARIABLES:
        path = root / f'cuhk03_new_protocol_config_{variable}.mat'
        _write_new_protocol(path, sorted(crops[variable]), people, test_people)


def _pair_cell(crops: Crops, pair: int, people: int) -> np.ndarray:
    """(people, 10) cell with the crops of one camera pair."""
    places = [(pair, 1 + n // SHOTS, 1 + n % SHOTS) for n in range(people * SHOTS)]
    return cell([crops.get(place) for place in places], (people, SHOTS))


def _write_new_protocol(
    path: Path,
    places: list[Place],
    people: Sequence[int],
    test_people: Sequence[tuple[int, int]],
) -> None:
    first_label = np.concatenate([[1], 1 + np.cumsum(people)])
    views = np.array([view_of(number) for *_, number in places])
    rng = np.random.default_rng(0)
    query, gallery = [], []
    for chosen in test_people:
        own = np.array([place[:2] == tuple(chosen) for place in places])
        shown = [np.flatnonzero(own & (views == view)) for view in (1, 2)]
        if min(map(len, shown)) > 1:
            for rows in shown:
                picked, *others = rng.permutation(rows).tolist()
                query.append(picked)
                gallery += others
    if not query:
        raise ValueError(
            'nobody of the test set has two pictures by each of two cameras; give more test images '
            'or fewer test identities'
        )
    train = np.setdiff1d(np.arange(len(places)), query + gallery)
    names = [f'{pair}_{n:03d}_{view_of(k)}_{k:02d}.png' for pair, n, k in places]
    labels = [first_label[pair - 1] + person - 1 for pair, person, _ in places]
    write_mat(
        path,
        filelist=names_cell(names),
        labels=_column(labels),
        camId=_column(views),
        # MATLAB counts from 1
        train_idx=_column(train + 1),
        query_idx=_column(np.sort(query) + 1),
        gallery_idx=_column(np.sort(gallery) + 1),
    )


def _column(values: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1, 1)
