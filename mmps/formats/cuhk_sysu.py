"""The files of CUHK-SYSU (Xiao et al., "Joint Detection and Identification Feature Learning for
Person Search", CVPR 2017): scenes, and protocols that list a gallery for each query."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries
from mmps.formats.mat import (
    cell_array,
    compact,
    read_records,
    read_variable,
    struct_array,
    write_mat,
)
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
    """Image name -> (n, 4) float32 xyxy of the people in ``Images.mat``, in the file's order."""
    people: dict[str, np.ndarray] = {}
    for row, image in enumerate(read_records(path, 'Img')):
        form = 'imname, nAppear, box(idlocate, ishard) with boxes x, y, width, height'
        with _of_the_form(form, f'{path}: Img, row {row}'):
            name, boxes = _image_name(image['imname']), image['box']
            listed = [box.ravel() for box in boxes['idlocate'].ravel('F')] if boxes.size else []
            xywh = np.array(listed, np.float64).reshape(-1, 4)
        if name in people:
            raise ValueError(f'{path}: Img, row {row} (counted from 0) repeats {name!r}')
        people[name] = whole_boxes(xywh)
    return people


@contextmanager
def _of_the_form(form: str, place: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        message = f'{place} (counted from 0) is not of the form {form}: {error}'
        raise ValueError(message) from None


def _read_pool(path: Path, people: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the test images in ``pool.mat``, all of them keys of ``people``."""
    names: dict[str, None] = {}
    for row, cell in enumerate(read_variable(path, 'pool').ravel('F')):
        name = _image_name(cell)
        if name not in people:
            raise ValueError(f'{path}: row {row} (counted from 0), {name!r}, is not in Images.mat')
        if name in names:
            raise ValueError(f'{path}: row {row} (counted from 0) repeats {name!r}')
        names[name] = None
    return list(names)


def _image_name(array: np.ndarray) -> str:
    """The name that a row of characters holds."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != 'U' or array.size != 1:
        raise ValueError(f'{array!r} instead of an image name')
    return str(array.item())


_Shown = tuple[str, float, float, float, float]


class _Searches(NamedTuple):
    """Searches of a file: image name and box xyxy of each query, by which other protocols are known
    to ask for the same, and its gallery, whose images are positions among the test images.
    """

    path: Path
    queries: list[_Shown]
    galleries: SearchGalleries


def _read_searches(path: Path, key: str, images: Sequence[str]) -> _Searches:
    """Read a protocol: for each query its image and box, and the entries of its gallery.

    An entry without a box is an image that does not show the person. Entries that repeat an image
    are all kept.
    """
    positions = {name: position for position, name in enumerate(images)}
    queries: list[_Shown] = []
    gallery, splits, positives, bboxes = [np.empty(0, np.int32)], [0], [], []
    for row, record in enumerate(read_records(path, key)):
        place = f'{path}: Query, row {row}'
        asked = _entries(record, 'Query', place)
        if len(asked) != 1:
            raise ValueError(f'{place} (counted from 0) has not one Query, but {len(asked)}')
        ((name, box),) = asked
        if not box.size:
            raise ValueError(f'{place} (counted from 0) has no box')
        queries.append((name, *_checked_box(box, f'{place}, entry 0').tolist()))
        place = f'{path}: Gallery, row {row}'
        entries = _entries(record, 'Gallery', place)
        found = np.empty(len(entries), np.int32)
        for entry, (name, box) in enumerate(entries):
            if name not in positions:
                raise ValueError(
                    f'{place}, entry {entry} (counted from 0) is the image {name!r}, which is not '
                    f'among the {len(images)} test images of pool.mat'
                )
            found[entry] = positions[name]
            if box.size:
                positives.append(splits[-1] + entry)
                bboxes.append(_checked_box(box, f'{place}, entry {entry}'))
        gallery.append(found)
        splits.append(splits[-1] + len(entries))
    arrays = np.array(positives, np.int64), np.array(bboxes, np.float32).reshape(-1, 4)
    galleries = SearchGalleries(np.array(splits), np.concatenate(gallery), *arrays)
    return _Searches(path, queries, galleries)


def _entries(
    record: Mapping[str, np.ndarray], field: str, place: str
) -> list[tuple[str, np.ndarray]]:
    """Image name and box, which may be empty, of each entry of a query or a gallery."""
    array = record.get(field, np.empty(0))
    if field in record and not array.size:  # MATLAB's [] has no fields
        return []
    with _of_the_form('imname, idlocate, ishard', place):
        names = [_image_name(name) for name in array['imname'].ravel('F')]
        return list(zip(names, array['idlocate'].ravel('F'), strict=True))


def _checked_box(xywh: np.ndarray, place: str) -> np.ndarray:
    """(4,) float32 xyxy of an entry."""
    if not isinstance(xywh, np.ndarray) or xywh.dtype.kind not in 'biuf' or xywh.size != 4:
        raise ValueError(
            f'{place} (counted from 0) has an idlocate of {np.size(xywh)} numbers; a box is four '
            'numbers x, y, width, height, and an image without the person has none'
        )
    bbox = whole_boxes(xywh.reshape(1, 4))
    if not (np.isfinite(bbox).all() and has_area(bbox)[0]):
        raise ValueError(
            f'{place} (counted from 0) has the box {bbox[0].tolist()} (x1, y1, x2, y2), which has '
            'no area or is not finite; correct it, or empty it in a gallery'
        )
    return bbox[0]


MAX_UNMATCHED = 0.01


class _Identity(NamedTuple):
    """A labelled person: id, where it is written, and pairs of image name and (4,) xyxy."""

    person_id: int
    source: str
    shown: list[tuple[str, np.ndarray]]


def _read_identities(path: Path) -> list[_Identity]:
    """The training identities in ``Train.mat``; their ids are its rows, counted from 0."""
    form = 'idname, nAppear, scene(imname, idlocate, ishard) with boxes x, y, width, height'
    identities = []
    for row, cell in enumerate(read_variable(path, 'Train').ravel('F')):
        place = f'{path}: row {row}'
        with _of_the_form(form, place):
            shown = [
                (_image_name(scene['imname']), whole_boxes(scene['idlocate'].reshape(1, 4))[0])
                for scene in cell['scene'].item().ravel('F')
            ]
        identities.append(_Identity(row, f'{place} (counted from 0)', shown))
    return identities


def _searched_identities(searches: _Searches, images: Sequence[str]) -> Iterator[_Identity]:
    """Each query with its person in its gallery; ids are rows counted from 1."""
    galleries = searches.galleries
    bounds = np.searchsorted(galleries.positives, galleries.splits)
    shown_in = galleries.images[galleries.positives]
    for row, (name, *bbox) in enumerate(searches.queries):
        entries = range(bounds[row], bounds[row + 1])
        found = [(images[shown_in[entry]], galleries.bboxes[entry]) for entry in entries]
        source = f'{searches.path}: row {row} (counted from 0)'
        yield _Identity(row + 1, source, [(name, np.float32(bbox)), *found])


def _attach_ids(
    people: Mapping[str, np.ndarray],
    identities: Iterable[_Identity],
    path: Path,
    merge: bool = False,
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Give annotated people the ids of the identities shown in exactly their boxes.

    Of several people with one box the first gets the id. The field's reference loader passes over
    an identity's box that nobody has, so a few of them are warned about only. ``people`` are image
    name -> (n, 4) xyxy; if ``merge``, identities that share a box become one, with the id of the
    first.

    Returns:
        Image name -> (n,) int64 ids, -1 for unlabelled people; the id of each identity.
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

GALLERY_SIZES = (50, 100, 500, 1000, 2000, 4000)
"""Those that the authors give protocols for."""

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
    """

    image_folder = 'Image/SSM'

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
        both = [_annotation(self.root, 'Images'), _annotation(self.root, 'pool')]
        if not self.test_mode:
            return [*both, _protocol(self.root, 'Train')[0]]
        protocols = [_protocol(self.root, ID_GALLERY), *self._protocols().values()]
        return [*both, *dict.fromkeys(path for path, _ in protocols)]

    def read(self) -> SceneIndex:
        people = read_images(_annotation(self.root, 'Images'))
        pool = _read_pool(_annotation(self.root, 'pool'), people)
        if self.test_mode:
            return self._read_test({name: people[name] for name in pool})
        train = {name: people[name] for name in sorted(people.keys() - set(pool))}
        path = _protocol(self.root, 'Train')[0]
        identities = _read_identities(path)
        ids, _ = _attach_ids(train, identities, path)
        return SceneIndex(self._frames(train, ids), len(identities))

    def _read_test(self, people: Mapping[str, np.ndarray]) -> SceneIndex:
        images = list(people)
        protocols = {
            name: _read_searches(*place, images) for name, place in self._protocols().items()
        }
        numbering = protocols.get(ID_GALLERY)
        if numbering is None:
            path, key = _protocol(self.root, ID_GALLERY)
            first = protocols[self.gallery_sizes[0]]
            numbering = _read_searches(path, key, images) if path.exists() else first
        searched = _searched_identities(numbering, images)
        ids, query_ids = _attach_ids(people, searched, numbering.path, merge=True)
        frames = self._frames(people, ids)
        id_of: dict[_Shown, int] = {}
        for frame in frames:
            for bbox, person_id in zip(frame.bboxes, frame.person_ids.tolist(), strict=True):
                if person_id != UNLABELLED:
                    id_of.setdefault((frame.name, *bbox.tolist()), person_id)
        id_of.update(zip(numbering.queries, query_ids, strict=True))
        new_ids = count(max(id_of.values(), default=0) + 1)
        # Queries of several protocols with the same image and box are one query.
        numbers: dict[_Shown, int] = {}
        queries: list[Query] = []
        galleries: dict[int | str, SearchGalleries] = {}
        for protocol, searches in protocols.items():
            for row, shown in enumerate(searches.queries):
                if shown not in numbers:
                    numbers[shown] = len(queries)
                    name, *bbox = shown
                    person_id = id_of[shown] if shown in id_of else next(new_ids)
                    source = f'{searches.path}: Query, row {row} (counted from 0)'
                    queries.append(Query(name, np.array(bbox, np.float32), person_id, source))
            asked = np.array([numbers[shown] for shown in searches.queries], np.int64)
            galleries[protocol] = replace(searches.galleries, queries=asked)
        return SceneIndex(frames, 0, queries, galleries)

    def _frames(
        self, people: Mapping[str, np.ndarray], ids: Mapping[str, np.ndarray]
    ) -> list[Frame]:
        path = _annotation(self.root, 'Images')
        return [Frame(name, people[name], ids[name], f'{path}: {name}') for name in people]

    def _protocols(self) -> dict[int | str, tuple[Path, str]]:
        return {name: _protocol(self.root, name) for name in (*self.gallery_sizes, *self.subsets)}


def _annotation(root: Path, name: str) -> Path:
    return root / 'annotation' / f'{name}.mat'


def _protocol(root: Path, name: int | str) -> tuple[Path, str]:
    """File and variable of a gallery size, of a subset or, as ``'Train'``, of the training ids."""
    if name in SUBSETS:
        file, key = SUBSETS[name]
        return _annotation(root, f'test/subset/{file}'), key
    key = name if name == 'Train' else f'TestG{name}'
    return _annotation(root, f'test/train_test/{key}'), key


Box = tuple[float, float, float, float]


class Entry(NamedTuple):
    """An image, and where it shows a person: x, y, width, height, or None if it does not."""

    image: str
    box: Box | None = None


class Search(NamedTuple):
    """A query person and the images to search, those that show the person first."""

    name: str
    query: Entry
    gallery: Sequence[Entry]


def write_cuhk_sysu(
    root: Path,
    *,
    people: Mapping[str, Sequence[Box]] | None = None,
    pool: Sequence[str] | None = None,
    identities: Sequence[Sequence[Entry]] | None = None,
    protocols: Mapping[int | str, Iterable[Search]] | None = None,
) -> None:
    """Write the annotation files of which the content is given.

    Args:
        root: Folder of the data set.
        people: ``Images.mat``: image name -> boxes x, y, width, height of everybody, both splits.
        pool: ``pool.mat``: names of the test images.
        identities: ``Train.mat``: the appearances of each training identity.
        protocols: Searches of gallery sizes and of subsets, by size or name.
    """
    visible = compact([0])
    fields = ('imname', 'idlocate', 'ishard')

    @lru_cache(maxsize=2**16)
    def entry(image: str, box: Box | None) -> tuple[str, np.ndarray, np.ndarray]:
        return image, compact([] if box is None else box), visible

    if people is not None:
        images = []
        for name, boxes in people.items():
            shown = struct_array(fields[1:], [(compact(box), visible) for box in boxes])
            images.append((name, compact([len(boxes)]), shown))
        path = _annotation(root, 'Images')
        write_mat(path, Img=struct_array(('imname', 'nAppear', 'box'), images))
    if pool is not None:
        write_mat(_annotation(root, 'pool'), pool=cell_array(pool))
    if identities is not None:
        rows = [
            (f'p{number}', compact([len(shown)]), struct_array(fields, [entry(*e) for e in shown]))
            for number, shown in enumerate(identities, 1)
        ]
        named = [struct_array(('idname', 'nAppear', 'scene'), [row]) for row in rows]
        write_mat(_protocol(root, 'Train')[0], Train=cell_array(named))
    for protocol, searches in (protocols or {}).items():
        rows = [
            (
                struct_array((*fields, 'idname'), [(*entry(*search.query), search.name)]),
                struct_array(fields, [entry(*e) for e in search.gallery]),
            )
            for search in searches
        ]
        path, key = _protocol(root, protocol)
        write_mat(path, **{key: struct_array(('Query', 'Gallery'), rows)})
