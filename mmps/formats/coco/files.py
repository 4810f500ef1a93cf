"""COCO-style JSON with person ids: what people share annotations in, and bring their own in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.json_file import JsonObject, as_integer, read_json
from mmps.formats.scene_index import (
    FIRST_PER_CAMERA,
    Frame,
    Query,
    SceneFiles,
    SceneIndex,
    first_per_camera,
)

from .galleries import read_galleries
from .scenes import CocoScene, read_coco_scenes, scene_of

_DOCUMENT = '{"images": [...], "annotations": [...]}'
_QUERY = '{"image_id": 1, "bbox": [x, y, width, height], "person_id": 7}'


@dataclass(frozen=True)
class CocoPersonSearchFiles(SceneFiles):
    """One JSON file per split, or one for both; the schema is in ``docs/own_data.md``.

    Training ids are ranks in the sorted raw ids (0..N-1); test ids stay raw. Boxes stay as they
    are, fractions included. Crowd regions and annotations to ignore are left out.

    Attributes:
        ann_file: The JSON file, relative to ``root``. None: ``train.json`` or ``test.json``.
        image_folder: What ``file_name`` is relative to, relative to ``root``.
        default_queries: ``'first_per_camera'`` makes queries for a test file that names none; None
            refuses such a file.
        id_key: Where annotations keep the person id.
        unlabelled_ids: Ids that stand for "nobody knows who".
    """

    ann_file: str | None = None
    image_folder: str = 'images'
    default_queries: str | None = None
    id_key: str = 'person_id'
    unlabelled_ids: Sequence[int] = (-1, -2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.default_queries not in (None, FIRST_PER_CAMERA):
            raise ValueError(
                f'default_queries: {self.default_queries!r} given; None or {FIRST_PER_CAMERA!r}'
            )
        object.__setattr__(self, 'unlabelled_ids', tuple(self.unlabelled_ids))

    @property
    def path(self) -> Path:
        """The JSON file of this split."""
        return self.root / (self.ann_file or f'{self.split}.json')

    @property
    def image_root(self) -> Path:
        """See :class:`SceneFiles`."""
        return self.root / self.image_folder

    def sources(self) -> list[Path]:
        """See :class:`SceneFiles`."""
        return [self.path]

    def read(self) -> SceneIndex:
        """See :class:`SceneFiles`."""
        document = JsonObject.check(read_json(self.path), self.path, '', _DOCUMENT)
        scenes = read_coco_scenes(document, self.id_key, self.unlabelled_ids)
        chosen = [scene for scene in scenes.values() if scene.split in (None, self.split)]
        if self.test_mode:
            frames = [scene.frame(None) for scene in chosen]
            queries = self._queries(document, scenes, frames)
            positions = {scene.image_id: position for position, scene in enumerate(chosen)}
            return SceneIndex(frames, 0, queries, read_galleries(document, positions, len(queries)))
        ids = _training_ids(document, chosen)
        ranks = {raw: rank for rank, raw in enumerate(sorted(ids))}
        frames = [scene.frame(ranks) for scene in chosen]
        return SceneIndex(frames, len(ranks), raw_ids=np.array(list(ranks), np.int64))

    def _queries(
        self, document: JsonObject, scenes: dict[int, CocoScene], frames: list[Frame]
    ) -> list[Query]:
        flagged = [
            query
            for scene in scenes.values()
            if scene.split in (None, self.split)
            for query in scene.flagged
        ]
        flagged.sort(key=lambda numbered: numbered[0])
        if document.has('queries'):
            if flagged:
                raise ValueError(
                    f'{document.at("queries")}: {flagged[0][1].source} is marked as a query as '
                    'well; name the queries in one of the two ways'
                )
            return _read_queries(document, scenes, self)
        if flagged:
            return [query for _, query in flagged]
        if self.default_queries is None:
            raise ValueError(
                f'{self.path}: no query in this test file; mark annotations with "is_query": true '
                f'or set default_queries={FIRST_PER_CAMERA!r}'
            )
        return first_per_camera(frames)


def _read_queries(
    document: JsonObject, scenes: dict[int, CocoScene], files: CocoPersonSearchFiles
) -> list[Query]:
    queries = []
    for entry in document.objects('queries', _QUERY):
        person = entry.integer('person_id')
        if person < 0:
            raise ValueError(f'{entry.at("person_id")}: {person} is not the id of somebody')
        scene = scene_of(entry, scenes)
        if scene.split not in (None, files.split):
            raise ValueError(f'{entry.at("image_id")}: image {scene.name!r} is for training')
        bbox = np.array(entry.box('bbox'), np.float32)
        queries.append(Query(scene.name, bbox, person, entry.where))
    return queries


def _training_ids(document: JsonObject, scenes: Iterable[CocoScene]) -> set[int]:
    """The raw training ids: listed in the file, or else those that occur."""
    if not document.has('train_ids'):
        return {raw for scene in scenes for raw in scene.raw_ids} - {UNLABELLED}
    where = document.at('train_ids')
    values = document.values('train_ids')
    ids = [as_integer(value, f'{where}[{number}]') for number, value in enumerate(values)]
    if len(set(ids)) < len(ids) or min(ids, default=0) < 0:
        raise ValueError(f'{where}: list each id once, from 0 on')
    return set(ids)
