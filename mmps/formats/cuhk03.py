"""The files of CUHK03 (Li et al., "DeepReID", CVPR 2014; new protocol: Zhong et al., "Re-ranking
Person Re-identification with k-reciprocal Encoding", CVPR 2017)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.utils.files import whole_file, write_json

from .mat import Mat73File, cell_array, read_mat, write_mat, write_mat73
from .scene_index import Frame, Query, SceneFiles, SceneIndex, training_index

if TYPE_CHECKING:
    import h5py

_CROPS_FILE = 'cuhk03_release/cuhk-03.mat'
_PROTOCOL_FILE = 'cuhk03_new_protocol_config_{}.mat'
_INDICES = ('train_idx', 'query_idx', 'gallery_idx')
_KEYS = ('filelist', 'labels', *_INDICES)

VARIABLES = {'labelled': 'labeled', 'detected': 'detected'}
"""How the boxes came about -> variable of the file that holds the crops."""

SHOTS = 10
MAX_PAIRS, MAX_PEOPLE = 9, 999  # digits of the authors' file names


@dataclass(frozen=True)
class Crop:
    """One picture of one person: number of the camera pair, of the person within it and, 1..10, of
    the picture, all from 1, and its size. The first five pictures come from the pair's first view.
    """

    pair: int
    person: int
    number: int
    width: int
    height: int

    @property
    def view(self) -> int:
        return 1 if self.number <= SHOTS // 2 else 2

    @property
    def camera(self) -> int:
        """Number of the view among all camera pairs, from 1."""
        return 2 * (self.pair - 1) + self.view

    @property
    def box(self) -> tuple[int, int, int, int]:
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
    """
    with Mat73File(path) as file:
        return [crop for crop, _ in _iterate_crops(file, boxes)]


def _iterate_crops(file: Mat73File, boxes: str) -> Iterator[tuple[Crop, h5py.Reference]]:
    """Each crop and the reference to its pixels, with a progress bar."""
    variable = VARIABLES[boxes]
    pairs = _identities(file, variable)
    if not 1 <= len(pairs) <= MAX_PAIRS:
        raise ValueError(f'{file.path}: {variable}: {len(pairs)} camera pairs; 1 to 9 expected')
    places = [
        (pair, *place) for pair, cells in enumerate(pairs) for place in np.ndindex(cells.shape)
    ]
    for pair, person, number in tqdm(places, 'Reading CUHK03', unit='crop', delay=2, leave=False):
        reference = pairs[pair][person, number]
        place = pair + 1, person + 1, number + 1
        where = f'{variable}{{{place[0]}}}{{{place[1]},{place[2]}}}'
        with file.opened(reference, where) as crop:
            shape = crop.shape[::-1]
            if len(shape) < 3 or 0 in shape:  # an empty cell, which the authors leave for no crop
                continue
            if len(shape) != 3 or shape[2] != 3 or crop.dtype != np.uint8:
                raise ValueError(
                    f'{crop.dtype} values of shape {shape}; height x width x 3 uint8 expected'
                )
        yield Crop(*place, shape[1], shape[0]), reference


def _identities(file: Mat73File, variable: str) -> list[np.ndarray]:
    """(people, 10) references to the crops of each camera pair."""
    pairs = []
    for pair, reference in enumerate(file.cell(variable).ravel(), 1):
        name = f'{variable}{{{pair}}}'
        pairs.append(file.cell(reference, name))
        shape = pairs[-1].shape
        if len(shape) != 2 or shape[1] != SHOTS or shape[0] > MAX_PEOPLE:
            raise ValueError(
                f'{file.path}: {name}: a cell of shape {shape}; one row for each of up to '
                f'{MAX_PEOPLE} people and {SHOTS} columns expected'
            )
    return pairs


def count_classic_splits(path: Path) -> int:
    """How many classic splits ``cuhk-03.mat`` has."""
    with Mat73File(path) as file:
        return file.cell('testsets').size


def read_test_people(path: Path, split: int) -> set[tuple[int, int]]:
    """(pair, person) of everybody in the test set of a classic split, which count from 0."""
    with Mat73File(path) as file:
        splits = file.cell('testsets').ravel()
        if not 0 <= split < len(splits):
            raise ValueError(
                f'{path}: classic_split={split}, but testsets has the splits 0 to {len(splits) - 1}'
            )
        name = f'testsets{{{split + 1}}}'
        rows = file.array(splits[split], name)
        everybody = {
            (pair, person)
            for pair, cells in enumerate(_identities(file, 'labeled'), 1)
            for person in range(1, len(cells) + 1)
        }
    if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
        raise ValueError(f'{path}: {name}: shape {rows.shape}; rows of pair, person expected')
    for row, (pair, person) in enumerate(rows.tolist(), 1):
        if (pair, person) not in everybody:
            raise ValueError(
                f'{path}: {name}({row},:) is [{pair:g} {person:g}], a camera pair or person that '
                'does not exist'
            )
    return {(int(pair), int(person)) for pair, person in rows}


COMPLETE = 'complete.json'
"""In the folder of PNG files: which ``cuhk-03.mat`` all of them were unpacked from."""


def unpack_crops(source: Path, boxes: str, folder: Path) -> None:
    """Write every crop to ``folder``, unless all are there and ``source`` is the same as then.

    Files are written whole, so that processes may do this at once.
    """
    import cv2  # not needed to read an index

    if not source.is_file():
        raise FileNotFoundError(
            f'{source}: this file of the data set is missing, and its crops are not unpacked'
        )
    status = source.stat()
    state = dict(size=status.st_size, mtime_ns=status.st_mtime_ns)
    with suppress(OSError, ValueError):
        if json.loads((folder / COMPLETE).read_text()) == state:
            return
    with Mat73File(source) as file:
        crops = list(_iterate_crops(file, boxes))
        for crop, reference in tqdm(crops, f'Unpacking {boxes} crops', unit='crop', delay=2):
            rgb = file.array(reference, crop.cell(boxes))
            _, encoded = cv2.imencode('.png', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            try:
                with whole_file(folder / crop.name) as temporary:
                    temporary.write_bytes(encoded.tobytes())
            except OSError as error:
                raise OSError(
                    f'{folder}: the crops of cuhk-03.mat cannot be unpacked there: {error}'
                ) from error
    write_json(folder / COMPLETE, state)


class NewProtocol(NamedTuple):
    """The n listed crops, the (n,) int64 identity of each, and positions, from 0, of the training
    crops, the queries in the order of the file and the gallery.
    """

    crops: list[Crop]
    labels: np.ndarray
    train: np.ndarray
    queries: np.ndarray
    gallery: np.ndarray


def read_new_protocol(path: Path, crops: Sequence[Crop]) -> NewProtocol:
    """Read ``cuhk03_new_protocol_config_labeled.mat`` or ``..._detected.mat``, and check it against
    itself and the ``crops`` that ``cuhk-03.mat`` holds.
    """
    content = read_mat(path)
    if missing := [key for key in _KEYS if key not in content]:
        raise ValueError(
            f'{path}: no key {", ".join(missing)} in it, but {", ".join(content) or "nothing"}'
        )
    by_name = {crop.name: crop for crop in crops}
    listed: dict[str, Crop] = {}
    for row, cell in enumerate(content['filelist'].ravel(), 1):
        name = str(np.ravel(cell)[0]).strip() if np.size(cell) == 1 else repr(cell)
        if name not in by_name:
            raise ValueError(
                f'{path}: filelist({row}) is {name!r}, but cuhk-03.mat has no such crop; is this '
                'the file for the other kind of boxes?'
            )
        if name in listed:
            raise ValueError(f'{path}: filelist names {name!r} twice')
        listed[name] = by_name[name]
    crops = list(listed.values())
    labels = _numbers(path, content, 'labels', len(crops))
    label_of: dict[tuple[int, int], int] = {}
    person_of: dict[int, tuple[int, int]] = {}
    for row, (crop, label) in enumerate(zip(crops, labels.tolist(), strict=True), 1):
        person = crop.pair, crop.person
        known = label_of.setdefault(person, label), person_of.setdefault(label, person)
        if known != (label, person):
            raise ValueError(
                f'{path}: labels({row}) is {label} for {crop.name!r}, but in an earlier row that '
                'person has another label or that label another person'
            )
    return NewProtocol(crops, labels, *_indices(path, content, labels))


def _numbers(
    path: Path, content: dict[str, np.ndarray], key: str, length: int | None = None
) -> np.ndarray:
    """(length,) int64 values of a variable, in any number from one on where no length is given."""
    values = content[key].ravel()
    expected = f'{length} numbers, one for each row of filelist,' if length else 'numbers'
    if values.dtype.kind not in 'iuf' or len(values) != (length or max(1, len(values))):
        raise ValueError(
            f'{path}: {key} holds {len(values)} values of {values.dtype}; {expected} expected'
        )
    whole = (values == np.trunc(values)) & (values >= 0) & (values < 2**31)
    for row in np.flatnonzero(~whole):
        raise ValueError(f'{path}: {key}({row + 1}) is {values[row]:g}; a whole number expected')
    return values.astype(np.int64)


def _indices(path: Path, content: dict[str, np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
    """Positions, from 0, of the training crops, the queries and the gallery."""
    found = [_numbers(path, content, key) for key in _INDICES]
    for key, rows in zip(_INDICES, found, strict=True):
        for bad in np.flatnonzero((rows < 1) | (rows > len(labels))):
            raise ValueError(
                f'{path}: {key}({bad + 1}) is {rows[bad]}; filelist has the rows 1 to {len(labels)}'
            )
    train, *tested = found = [rows - 1 for rows in found]
    rows, counts = np.unique(np.concatenate(found), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f'{path}: row {rows[counts > 1][0] + 1} of filelist is used more than once by '
            f'{", ".join(_INDICES)}; training crops, queries and gallery must not overlap'
        )
    for label in np.intersect1d(labels[train], labels[np.concatenate(tested)]):
        raise ValueError(f'{path}: label {label} is in the training set and in the test set')
    return found


REPEATS = 10
_SEED = 0


@dataclass(frozen=True)
class TestCrops:
    """Of each crop of a test set (n,) int64 person, camera and view of its camera pair, 1 or 2,
    and (n, 4) float32 box xyxy of the person.
    """

    __test__ = False  # or pytest takes the name for that of a test

    people: np.ndarray
    cameras: np.ndarray
    views: np.ndarray
    bboxes: np.ndarray


def all_but_junk(crops: TestCrops, queries: np.ndarray, gallery: np.ndarray) -> SearchGalleries:
    """Search each query in the gallery without the pictures of that person by the same camera.

    ``queries`` (Q,) and ``gallery`` (G,) are int64 numbers of crops. There is at most one search
    for each query; query q of the result is ``queries[q]``.
    """
    people, cameras = crops.people, crops.cameras
    junk = (people[queries, None] == people[gallery]) & (cameras[queries, None] == cameras[gallery])
    search, entry = np.nonzero(~junk)
    return _searches(crops, queries, np.arange(len(queries)), search, gallery[entry])


def single_gallery_shot(crops: TestCrops, *, any_view: bool = False) -> SearchGalleries:
    """Search each crop ten times, each time in one random crop of each person.

    The draws are raw output of a seeded PCG64, which is the same on every platform and with every
    version of NumPy.

    Args:
        crops: The test set; every crop of it is a query.
        any_view: Draw the pictures of other people from both views instead of the view that is not
            the query's. The query's own person is always drawn from the other view.
    """
    identities, person = np.unique(crops.people, return_inverse=True)
    group = 2 * person + crops.views - 1
    order = np.argsort(group, kind='stable')
    bounds = np.searchsorted(group[order], np.arange(2 * len(identities) + 1))
    first, last = bounds[:-1].reshape(-1, 2), bounds[1:].reshape(-1, 2)
    other_view = 2 - crops.views
    first_drawn, last_drawn = first[:, other_view].T, last[:, other_view].T
    if any_view:
        own = person[:, None] == np.arange(len(identities))
        first_drawn = np.where(own, first_drawn, first[:, 0])
        last_drawn = np.where(own, last_drawn, last[:, 1])
    sizes = last_drawn - first_drawn
    draws = np.random.PCG64(_SEED).random_raw(REPEATS * sizes.size).reshape(REPEATS, *sizes.shape)
    places = first_drawn + (draws % np.maximum(sizes, 1).astype(np.uint64)).astype(np.int64)
    repeat, query, identity = np.nonzero(np.broadcast_to(sizes > 0, places.shape))
    every = np.arange(len(person))
    return _searches(
        crops,
        every,
        np.tile(every, REPEATS),
        repeat * len(person) + query,
        order[places[repeat, query, identity]],
    )


def _searches(
    crops: TestCrops, queries: np.ndarray, asked: np.ndarray, search: np.ndarray, images: np.ndarray
) -> SearchGalleries:
    """Galleries of all searches that can succeed; the field leaves the others out of its means.

    Given are the (Q,) crop of each query, the (S,) query of each search, and of each gallery entry
    the (M,) search, ascending, and the crop.
    """
    right = crops.people[images] == crops.people[queries[asked]][search]
    possible = np.bincount(search[right], minlength=len(asked)) > 0
    kept = possible[search]
    search, images, right = search[kept], images[kept], right[kept]
    counts = np.bincount(search, minlength=len(asked))[possible]
    positives = np.flatnonzero(right)
    return SearchGalleries(
        splits=np.concatenate([[0], np.cumsum(counts)]),
        images=images,
        positives=positives,
        bboxes=crops.bboxes[images[positives]],
        queries=asked[possible],
    )


CLASSIC_GALLERIES = ('classic', 'classic_any_view', 'classic_all')
"""Galleries of a classic split; see :class:`CUHK03Files`."""


@dataclass(frozen=True)
class CUHK03Files(SceneFiles):
    """``cuhk03_release/cuhk-03.mat`` and ``cuhk03_new_protocol_config_{labeled,detected}.mat``.

    Every crop is a scene with one person, whose box is the crop. View v of camera pair p is camera
    ``2 (p - 1) + v``.

    The new protocol has 767 training and 700 test identities. ``galleries['new']``: each query is
    searched in all gallery crops but the junk, the pictures of the same person by the same camera.
    Test ids are the file's ``labels``.

    A classic split has 100 test identities, and every other one is for training. Test ids are
    ``1000 * pair + person``, every test crop is a query, and there are three galleries:

    * ``'classic'``, single gallery shot: one random crop of each person from the view that is not
      the query's; ten searches per query. Its top-k is the CMC that papers report.
    * ``'classic_any_view'``: the same, but the crops of other people come from both views, as
      torchreid and fast-reid draw them.
    * ``'classic_all'``: every test crop but the junk. Its mAP is the one reported beside the CMC.

    In all of them a query whose person is in no crop of its gallery is not searched. Training ids
    are ranks in the order of the identities: 0..766 in the new protocol.

    Attributes:
        boxes: ``'labelled'`` by hand or ``'detected'`` by a part-based detector.
        protocol: ``'new'`` or ``'classic'``.
        classic_split: Which of the 20 classic splits, from 0.
    """

    boxes: str = 'labelled'
    protocol: str = 'new'
    classic_split: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (('boxes', VARIABLES), ('protocol', ('new', 'classic'))):
            if (given := getattr(self, name)) not in known:
                use = ' or '.join(map(repr, known))
                raise ValueError(f'{name}={given!r} is unknown; use {use}')
        if self.classic_split and self.protocol != 'classic':
            raise ValueError(
                f"classic_split={self.classic_split} is for protocol='classic', but protocol="
                f'{self.protocol!r}'
            )

    @property
    def crops_file(self) -> Path:
        return self.root / _CROPS_FILE

    @property
    def image_folder(self) -> str:
        """Where the crops are unpacked to."""
        return f'cuhk03_release/images_{self.boxes}'

    def sources(self) -> list[Path]:
        protocol = self.root / _PROTOCOL_FILE.format(VARIABLES[self.boxes])
        return [self.crops_file, *([protocol] if self.protocol == 'new' else [])]

    def read(self) -> SceneIndex:
        crops = read_crops(self.crops_file, self.boxes)
        if self.protocol == 'new':
            protocol = read_new_protocol(self.sources()[1], crops)
            tested = np.sort(np.concatenate([protocol.queries, protocol.gallery]))
            rows = tested if self.test_mode else protocol.train
            crops, people = [protocol.crops[row] for row in rows], protocol.labels[rows]
            searched = [np.searchsorted(tested, r) for r in (protocol.queries, protocol.gallery)]
        else:
            tested = read_test_people(self.crops_file, self.classic_split)
            crops = [c for c in crops if ((c.pair, c.person) in tested) == self.test_mode]
            people = np.array([1000 * c.pair + c.person for c in crops], np.int64)
            searched = [np.arange(len(crops))] * 2
        if not self.test_mode:
            return training_index(self._frames(crops, people))
        frames = self._frames(crops, people)
        chosen = [(frames[q], int(people[q])) for q in searched[0]]
        queries = [Query(f.name, f.bboxes[0], person, f.source) for f, person in chosen]
        return SceneIndex(frames, 0, queries, self._galleries(crops, people, *searched))

    def prepare(self) -> None:
        """Unpack the crops into PNG files beside ``cuhk-03.mat``; see :func:`unpack_crops`."""
        unpack_crops(self.crops_file, self.boxes, self.image_root)

    def _frames(self, crops: list[Crop], people: np.ndarray) -> list[Frame]:
        return [
            Frame(
                crop.name,
                np.array([crop.box], np.float32),
                np.array([person], np.int64),
                f'{self.crops_file}, {crop.cell(self.boxes)}',
                crop.camera,
            )
            for crop, person in zip(crops, people, strict=True)
        ]

    def _galleries(
        self, crops: list[Crop], people: np.ndarray, queries: np.ndarray, gallery: np.ndarray
    ) -> dict[int | str, SearchGalleries]:
        test = TestCrops(
            people=people,
            cameras=np.array([crop.camera for crop in crops], np.int64),
            views=np.array([crop.view for crop in crops], np.int64),
            bboxes=np.array([crop.box for crop in crops], np.float32).reshape(-1, 4),
        )
        if self.protocol == 'new':
            return dict(new=all_but_junk(test, queries, gallery))
        return dict(
            classic=single_gallery_shot(test),
            classic_any_view=single_gallery_shot(test, any_view=True),
            classic_all=all_but_junk(test, queries, gallery),
        )


Place = tuple[int, int, int]
"""Camera pair, person in it and number of the picture, each from 1."""


def write_cuhk03(
    root: Path,
    crops: Mapping[str, Mapping[Place, np.ndarray]],
    people: Sequence[int],
    testsets: Sequence[Sequence[tuple[int, int]]],
    test_people: Sequence[tuple[int, int]],
) -> None:
    """Write ``cuhk03_release/cuhk-03.mat`` and the two files of the new protocol.

    Args:
        root: Folder of the data set.
        crops: For ``'labelled'`` and ``'detected'`` the RGB pictures (h, w, 3) of single people; a
            picture may be missing.
        people: Number of people of each camera pair.
        testsets: For each classic split its test people, (pair, person).
        test_people: Who may be in the test set of the new protocol. As the authors did it, those
            with fewer than two pictures in a view are trained with all the same.

    Raises:
        ValueError: Nobody of the new protocol's test set has pictures enough.
    """
    variables = {}
    for boxes, variable in VARIABLES.items():
        variables[variable] = cell_array([None] * len(people))
        for pair, count in enumerate(people, 1):
            shots = [(pair, person + 1, number + 1) for person, number in np.ndindex(count, SHOTS)]
            cells = cell_array([crops[boxes].get(place) for place in shots], (count, SHOTS))
            variables[variable][pair - 1, 0] = cells
    splits = cell_array([np.array(split, np.float64) for split in testsets])
    write_mat73(root / _CROPS_FILE, **variables, testsets=splits)
    for boxes, variable in VARIABLES.items():
        path = root / _PROTOCOL_FILE.format(variable)
        listed = [Crop(*place, *crops[boxes][place].shape[1::-1]) for place in sorted(crops[boxes])]
        _write_new_protocol(path, listed, people, test_people)


def _write_new_protocol(
    path: Path,
    crops: Sequence[Crop],
    people: Sequence[int],
    test_people: Sequence[tuple[int, int]],
) -> None:
    first_label = np.cumsum([1, *people])
    views = np.array([crop.view for crop in crops])
    rng = np.random.default_rng(0)
    query, gallery = [], []
    for person in test_people:
        own = np.array([(crop.pair, crop.person) == tuple(person) for crop in crops])
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
    # MATLAB counts from 1
    columns = dict(
        labels=[first_label[crop.pair - 1] + crop.person - 1 for crop in crops],
        camId=views,
        train_idx=np.setdiff1d(np.arange(len(crops)), query + gallery) + 1,
        query_idx=np.sort(query) + 1,
        gallery_idx=np.sort(gallery) + 1,
    )
    columns = {key: np.array(values, np.float64)[:, None] for key, values in columns.items()}
    write_mat(path, filelist=cell_array([crop.name for crop in crops]), **columns)
