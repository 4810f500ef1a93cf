"""The files of CUHK-SYSU (Xiao et al., "Joint Detection and Identification Feature Learning for
Person Search", CVPR 2017): scenes, and protocols that list a gallery for each query."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries
from mmps.formats.mat.mat_file import read_variable
from mmps.formats.mat.records import read_records
from mmps.formats.mat.table import Numbers, Table
from mmps.formats.scene_index import Frame, Query, SceneFiles, SceneIndex, has_area

__all__ = ['CUHKSYSUFiles', 'SUBSETS']


def whole_boxes(xywh: np.ndarray) -> np.ndarray:
    """(n, 4) xywh of any type -> (n, 4) float32 xyxy.

    Fractions are cut off first, as the reference evaluation does. Bytes and words, in which the
    files hold their boxes, become floats before they are added.
    """
    xywh = np.trunc(xywh.astype(np.float64))
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1).astype(np.float32)


def read_images(path: Path) -> dict[str, np.ndarray]:
    """Image name -> (n, 4) float32 xyxy of the people in ``Images.mat``, in the file's order.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable or of another form; the message names the row.
    """
    people: dict[str, np.ndarray] = {}
    for row, image in enumerate(read_variable(path, 'Img').ravel('F')):
        try:
            name, boxes = image_name(image['imname']), image['box']
            listed = [box.ravel() for box in boxes['idlocate'].ravel('F')] if boxes.size else []
            xywh = np.array(listed, np.float64).reshape(-1, 4)
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: Img, row {row} (counted from 0) is not of the form imname, nAppear, '
                f'box(idlocate, ishard) with boxes x, y, width, height: {error}'
            ) from None
        if name in people:
            raise ValueError(f'{path}: Img, row {row} (counted from 0) repeats {name!r}')
        people[name] = whole_boxes(xywh)
    return people


def read_pool(path: Path, people: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the test images in ``pool.mat``, all of them keys of ``people``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable, or a name is unknown or repeated.
    """
    names: dict[str, None] = {}
    for row, cell in enumerate(read_variable(path, 'pool').ravel('F')):
        name = image_name(cell)
        if name not in people:
            raise ValueError(f'{path}: row {row} (counted from 0), {name!r}, is not in Images.mat')
        if name in names:
            raise ValueError(f'{path}: row {row} (counted from 0) repeats {name!r}')
        names[name] = None
    return list(names)


def image_name(array: np.ndarray) -> str:
    """The name that a row of characters holds.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != 'U' or array.size != 1:
        raise ValueError(f'{array!r} instead of an image name')
    return str(array.item())


_FACTOR = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, which spreads the products of similar numbers."""
_ROOM = 8
_CHUNK = 2**18


class NameTable:
    """A hash table of names: a binary search compares each name a dozen times, this one once.

    Args:
        names: Different from each other.
    """

    def __init__(self, names: Sequence[str]) -> None:
        encoded = np.array([name.encode() for name in names], 'S')
        self._width = -(-encoded.itemsize // 8)
        self._known = self._words(encoded)
        bits = max(1, (_ROOM * len(names)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._slots = np.full(2**bits, -1, np.int32)
        for place, slot in enumerate(self._slots_of(self._known).tolist()):
            while self._slots[slot] >= 0:
                slot = (slot + 1) % len(self._slots)
            self._slots[slot] = place

    def find(self, names: np.ndarray) -> np.ndarray:
        """(n,) int32 position of each of (n,) names in UTF-8, -1 where there is no such name."""
        found = np.empty(len(names), np.int32)
        for start in range(0, len(names), _CHUNK):
            part = names[start : start + _CHUNK]
            found[start : start + _CHUNK] = self._find(self._words(part))
            if part.itemsize > 8 * self._width:  # cut to the longest name there is
                longer = np.char.str_len(part) > 8 * self._width
                found[start : start + _CHUNK][longer] = -1
        return found

    def _find(self, words: np.ndarray) -> np.ndarray:
        found = np.full(len(words), -1, np.int32)
        if not len(self._known):
            return found
        rows, slots = np.arange(len(words)), self._slots_of(words)
        while len(rows):
            places = self._slots[slots]
            same = (self._known[places] == words).all(1) & (places >= 0)
            found[rows[same]] = places[same]
            further = np.flatnonzero(~same & (places >= 0))
            rows, words = rows[further], words[further]
            slots = (slots[further] + 1) % len(self._slots)
        return found

    def _words(self, names: np.ndarray) -> np.ndarray:
        return names.astype(f'S{8 * self._width}').view('<u8').reshape(-1, self._width)

    def _slots_of(self, words: np.ndarray) -> np.ndarray:
        mixed = np.zeros(len(words), np.uint64)
        for column in words.T:
            mixed = (mixed ^ column) * np.uint64(_FACTOR)
            mixed ^= mixed >> np.uint64(32)
        return (mixed * np.uint64(_FACTOR) >> self._shift).astype(np.int64)


_FIELDS = ('imname', 'idlocate')


@dataclass(frozen=True)
class Searches:
    """S searches.

    Attributes:
        path: The file they come from.
        query_images: S image names.
        query_bboxes: (S, 4) float32 xyxy.
        galleries: Where each is searched; its images are positions among the test images.
    """

    path: Path
    query_images: list[str]
    query_bboxes: np.ndarray
    galleries: SearchGalleries


def read_searches(path: Path, key: str, images: Sequence[str]) -> Searches:
    """Read a protocol: for each query its image and box, and the entries of its gallery.

    An entry without a box is an image that does not show the person. Entries that repeat an image
    are all kept.

    Args:
        path: ``TestG100.mat``, ``Occlusion.mat`` or another file of that form.
        key: The variable in it.
        images: Names of the test images.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable, or an entry is impossible; the message names file and row.
    """
    tables = read_records(path, key, {'Query': _FIELDS, 'Gallery': _FIELDS})
    query, gallery = tables['Query'], tables['Gallery']
    odd = np.flatnonzero(np.diff(query.splits) != 1)
    if len(odd):
        raise ValueError(f'{path}: row {odd[0]} (counted from 0) has not one Query')
    with_box, query_bboxes = _boxes(query, f'{path}: Query')
    without = np.setdiff1d(np.arange(len(query.splits) - 1), with_box)
    if len(without):
        raise ValueError(f'{path}: Query, row {without[0]} (counted from 0) has no box')
    positives, bboxes = _boxes(gallery, f'{path}: Gallery')
    return Searches(
        path=path,
        query_images=[name.decode() for name in _names(query, f'{path}: Query').tolist()],
        query_bboxes=query_bboxes,
        galleries=SearchGalleries(
            gallery.splits, _positions(gallery, images, path), positives, bboxes
        ),
    )


def _names(table: Table, place: str) -> np.ndarray:
    names = table.columns['imname']
    if isinstance(names, Numbers):
        raise ValueError(f'{place}: imname holds numbers instead of image names')
    return names


def _boxes(table: Table, place: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have a box, and (n, 4) float32 xyxy."""
    column = table.columns['idlocate']
    if not isinstance(column, Numbers):
        if len(column):
            raise ValueError(f'{place}: idlocate holds text instead of boxes')
        return np.empty(0, np.int64), np.empty((0, 4), np.float32)
    counts = np.diff(column.splits)
    odd = np.flatnonzero((counts != 0) & (counts != 4))
    if len(odd):
        raise ValueError(
            f'{place}, {_row(table, odd[0])} has an idlocate of {counts[odd[0]]} numbers; a box '
            'is x, y, width, height, and an image without the person has none'
        )
    rows, bboxes = np.flatnonzero(counts), whole_boxes(column.values.reshape(-1, 4))
    bad = np.flatnonzero(~(np.isfinite(bboxes).all(1) & has_area(bboxes)))
    if len(bad):
        raise ValueError(
            f'{place}, {_row(table, rows[bad[0]])} has the box {bboxes[bad[0]].tolist()} (x1, y1, '
            'x2, y2), which has no area or is not finite; correct it, or empty it in a gallery'
        )
    return rows, bboxes


def _positions(table: Table, images: Sequence[str], path: Path) -> np.ndarray:
    """(n,) int32 position of each gallery entry among the test images."""
    names = _names(table, f'{path}: Gallery')
    positions = NameTable(images).find(names)
    unknown = np.flatnonzero(positions < 0)
    if len(unknown):
        raise ValueError(
            f'{path}: Gallery, {_row(table, unknown[0])} is the image '
            f'{names[unknown[0]].decode()!r}, which is not among the {len(images)} test images of '
            'pool.mat'
        )
    return positions


def _row(table: Table, row: int) -> str:
    array = int(np.searchsorted(table.splits, row, 'right')) - 1
    return f'row {array}, entry {row - table.splits[array]} (counted from 0)'


MAX_UNMATCHED = 0.01


class Identity(NamedTuple):
    """A labelled person: id, where it is written, and pairs of image name and (4,) xyxy."""

    person_id: int
    source: str
    shown: list[tuple[str, np.ndarray]]


def read_identities(path: Path) -> list[Identity]:
    """The training identities in ``Train.mat``; their ids are its rows, counted from 0.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable or of another form; the message names the row.
    """
    identities = []
    for row, cell in enumerate(read_variable(path, 'Train').ravel('F')):
        source = f'{path}: row {row} (counted from 0)'
        try:
            scenes = cell['scene'].item().ravel('F')
            shown = [
                (image_name(scene['imname']), whole_boxes(scene['idlocate'].reshape(1, 4))[0])
                for scene in scenes
            ]
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f'{source} is not of the form idname, nAppear, scene(imname, idlocate, ishard) '
                f'with boxes x, y, width, height: {error}'
            ) from None
        identities.append(Identity(row, source, shown))
    return identities


def searched_identities(searches: Searches, images: Sequence[str]) -> Iterator[Identity]:
    """Each query with its person in its gallery; ids are rows counted from 1."""
    galleries = searches.galleries
    bounds = np.searchsorted(galleries.positives, galleries.splits)
    shown_in = galleries.images[galleries.positives]
    for row, (name, bbox) in enumerate(
        zip(searches.query_images, searches.query_bboxes, strict=True)
    ):
        entries = range(bounds[row], bounds[row + 1])
        found = [(images[shown_in[entry]], galleries.bboxes[entry]) for entry in entries]
        source = f'{searches.path}: row {row} (counted from 0)'
        yield Identity(row + 1, source, [(name, bbox), *found])


def attach_ids(
    people: Mapping[str, np.ndarray],
    identities: Iterable[Identity],
    path: Path,
    merge: bool = False,
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Give annotated people the ids of the identities shown in exactly their boxes.

    Of several people with one box the first gets the id. The field's reference loader passes over
    an identity's box that nobody has, so a few of them are warned about only.

    Args:
        people: Image name -> (n, 4) xyxy.
        identities: The labelled people.
        path: The file they come from.
        merge: Whether identities that share a box become one, with the id of the first.

    Returns:
        Image name -> (n,) int64 ids, -1 for unlabelled people; the id of each identity.

    Raises:
        ValueError: More than one in a hundred boxes are nobody's.
    """
    ids = {name: np.full(len(bboxes), UNLABELLED) for name, bboxes in people.items()}
    given, unmatched, total = [], [], 0
    for person_id, source, shown in identities:
        total += len(shown)
        places = []
        for name, bbox in shown:
            rows = np.flatnonzero((people[name] == bbox).all(1)) if name in people else ()
            if len(rows):
                places.append((name, rows[0]))
            else:
                unmatched.append(f'{bbox.tolist()} in {name!r} of {source}')
        before = [int(ids[name][row]) for name, row in places if ids[name][row] != UNLABELLED]
        given.append(before[0] if merge and before else person_id)
        for name, row in places:
            ids[name][row] = given[-1]
    if unmatched:
        message = (
            f'{path}: {len(unmatched)} of {total} labelled boxes are no box (x1, y1, x2, y2) that '
            f'Images.mat gives for an image of this split, the first {unmatched[0]}'
        )
        if len(unmatched) > MAX_UNMATCHED * total:
            raise ValueError(f'{message}; are these files of one data set?')
        warnings.warn(f'{message}; these people stay unlabelled', stacklevel=2)
    return ids, given


SUBSETS = {'occlusion': ('Occlusion', 'Occlusion1'), 'resolution': ('Resolution', 'Test_Size')}
"""By name, the file of a subset of the test set and the variable in it."""

ID_GALLERY = 50
"""Test identities are the rows of this protocol, as in the field's reference evaluation."""


@dataclass(frozen=True)
class CUHKSYSUFiles(SceneFiles):
    """``Image/SSM/`` and ``annotation/``.

    Training ids are the rows of ``Train.mat`` (0..5531), test ids the rows of ``TestG50.mat``
    counted from 1, or of the first gallery size if that file is not there: each official gallery
    holds all images of its person. Rows that share a box search for one person, whose id is the
    first of them. Cameras are unknown.

    Attributes:
        gallery_sizes: Which ``TestG{size}.mat`` to read; queries are numbered as in the first.
        subsets: Which of :data:`SUBSETS` to read besides. They become searches of the queries that
            they share with the gallery sizes, and further queries where they have others.

    Raises:
        ValueError: An unknown subset, or no gallery size.
    """

    IMAGE_FOLDER = 'Image/SSM'

    gallery_sizes: tuple[int, ...] = (100,)
    subsets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes, subsets = tuple(self.gallery_sizes), tuple(self.subsets)
        if not sizes or len(set(sizes)) < len(sizes):
            raise ValueError(f'gallery_sizes: {sizes!r} given; name each size once, at least one')
        unknown = [name for name in subsets if name not in SUBSETS]
        if unknown or len(set(subsets)) < len(subsets):
            raise ValueError(f'subsets: {subsets!r} given; choose from {tuple(SUBSETS)}, each once')
        object.__setattr__(self, 'gallery_sizes', sizes)
        object.__setattr__(self, 'subsets', subsets)

    def sources(self) -> list[Path]:
        """See :class:`SceneFiles`."""
        both = [self._annotation('Images'), self._annotation('pool')]
        if not self.test_mode:
            return [*both, self._protocol('Train')]
        protocols = [path for path, _ in self._protocols().values()]
        return [*both, *dict.fromkeys([self._protocol(f'TestG{ID_GALLERY}'), *protocols])]

    def read(self) -> SceneIndex:
        """See :class:`SceneFiles`."""
        people = read_images(self._annotation('Images'))
        pool = read_pool(self._annotation('pool'), people)
        if self.test_mode:
            return self._read_test({name: people[name] for name in pool})
        train = {name: people[name] for name in sorted(people.keys() - set(pool))}
        path = self._protocol('Train')
        identities = read_identities(path)
        ids, _ = attach_ids(train, identities, path)
        return SceneIndex(self._frames(train, ids), len(identities))

    def _read_test(self, people: Mapping[str, np.ndarray]) -> SceneIndex:
        images = list(people)
        protocols = _read_protocols(self._protocols(), images)
        numbering = protocols.get(ID_GALLERY)
        if numbering is None:
            path = self._protocol(f'TestG{ID_GALLERY}')
            first = protocols[self.gallery_sizes[0]]
            numbering = read_searches(path, path.stem, images) if path.exists() else first
        searched = searched_identities(numbering, images)
        ids, query_ids = attach_ids(people, searched, numbering.path, merge=True)
        frames = self._frames(people, ids)
        queries = _Queries(frames, dict(zip(_keys(numbering), query_ids, strict=True)))
        galleries: dict[int | str, SearchGalleries] = {
            name: replace(searches.galleries, queries=queries.add(searches))
            for name, searches in protocols.items()
        }
        return SceneIndex(frames, 0, queries.listed, galleries)

    def _frames(
        self, people: Mapping[str, np.ndarray], ids: Mapping[str, np.ndarray]
    ) -> list[Frame]:
        path = self._annotation('Images')
        return [Frame(name, people[name], ids[name], f'{path}: {name}') for name in people]

    def _protocols(self) -> dict[int | str, tuple[Path, str]]:
        """File and variable of each protocol."""
        found: dict[int | str, tuple[Path, str]] = {}
        for size in self.gallery_sizes:
            found[size] = self._protocol(f'TestG{size}'), f'TestG{size}'
        for name in self.subsets:
            file, key = SUBSETS[name]
            found[name] = self.root / 'annotation/test/subset' / f'{file}.mat', key
        return found

    def _annotation(self, name: str) -> Path:
        return self.root / 'annotation' / f'{name}.mat'

    def _protocol(self, name: str) -> Path:
        return self.root / 'annotation/test/train_test' / f'{name}.mat'


def _read_protocols(
    files: Mapping[int | str, tuple[Path, str]], images: Sequence[str]
) -> dict[int | str, Searches]:
    """All protocols, by file and variable of each.

    They are read side by side, the largest first: inflating and numpy leave other threads alone.
    """
    sizes = {name: path.stat().st_size if path.exists() else 0 for name, (path, _) in files.items()}
    with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1)) as pool:
        running = {
            name: pool.submit(read_searches, *files[name], images)
            for name in sorted(files, key=sizes.__getitem__, reverse=True)
        }
        return {name: running[name].result() for name in files}


class _Queries:
    """The queries of all protocols, those with the same image and box once.

    Args:
        frames: The test images; a query has the id of its box there.
        ids: Ids of queries whatever the frames say.
    """

    def __init__(self, frames: Iterable[Frame], ids: Mapping[tuple, int]) -> None:
        self.listed: list[Query] = []
        self._places: dict[tuple, int] = {}
        self._ids: dict[tuple, int] = {}
        for frame in frames:
            for bbox, person_id in zip(frame.bboxes, frame.person_ids, strict=True):
                if person_id != UNLABELLED:
                    self._ids.setdefault((frame.name, *bbox.tolist()), int(person_id))
        self._ids.update(ids)
        self._new_ids = count(max(self._ids.values(), default=0) + 1)

    def add(self, searches: Searches) -> np.ndarray:
        """(S,) int64 number of the query of each search."""
        places = []
        for row, key in enumerate(_keys(searches)):
            if key not in self._places:
                self._places[key] = len(self.listed)
                source = f'{searches.path}: Query, row {row} (counted from 0)'
                person_id = self._ids[key] if key in self._ids else next(self._new_ids)
                self.listed.append(Query(key[0], searches.query_bboxes[row], person_id, source))
            places.append(self._places[key])
        return np.array(places, np.int64)


def _keys(searches: Searches) -> list[tuple]:
    bboxes = searches.query_bboxes.tolist()
    return [(name, *box) for name, box in zip(searches.query_images, bboxes, strict=True)]
