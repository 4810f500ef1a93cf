"""The files of CUHK-SYSU (Xiao et al., "Joint Detection and Identification Feature Learning for
Person Search", CVPR 2017)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries
from mmps.formats.scene_files import SceneFiles
from mmps.formats.scene_index import Frame, Query, SceneIndex

from .identities import attach_ids, read_identities, searched_identities
from .images import read_images, read_pool
from .searches import Searches, read_searches

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
