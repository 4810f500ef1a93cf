"""Images and annotations of a COCO-style file, checked one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.json_file import JsonObject, shown
from mmps.formats.scene_index import Frame, Query
from mmps.utils.image_folder import same_name

SPLITS = ('train', 'test')
UNKNOWN_CAMERA = -1
PERSON = 'person'
"""What the label of the people is called, in any case."""

_IMAGE = '{"id": 1, "file_name": "camera_1/0001.jpg"}'
_ANNOTATION = '{"image_id": 1, "bbox": [x, y, width, height], "person_id": 7}'
_CATEGORY = '{"id": 1, "name": "person"}'
_QUERY_KEYS = ('is_query', 'isquery')


@dataclass
class CocoScene:
    """One image of the file, filled while its annotations are read.

    Attributes:
        image_id: Its ``id``.
        name: Its ``file_name``.
        split: ``'train'``, ``'test'`` or None where the file does not say.
        camera: Camera number, -1 where unknown.
        path: The file, for messages.
        bboxes: The people's boxes, xyxy.
        raw_ids: Their ids as the file numbers them, -1 for an unlabelled person.
        sources: Where each stands in the file.
        flagged: The queries among them, with the number of the annotation.
    """

    image_id: int
    name: str
    split: str | None
    camera: int
    path: Path
    bboxes: list[tuple[float, ...]] = field(default_factory=list)
    raw_ids: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    flagged: list[tuple[int, Query]] = field(default_factory=list)

    def frame(self, ranks: dict[int, int] | None) -> Frame:
        """The scene with class indices, or with raw ids if ``ranks`` is None."""
        ids = self.raw_ids
        if ranks is not None:
            for raw, source in zip(ids, self.sources, strict=True):
                if raw != UNLABELLED and raw not in ranks:
                    raise ValueError(
                        f'{source}: id {raw} is not among the {len(ranks)} ids of train_ids; add '
                        'it there or mark the person as unlabelled (-1)'
                    )
            ids = [UNLABELLED if raw == UNLABELLED else ranks[raw] for raw in ids]
        return Frame(
            name=self.name,
            bboxes=np.array(self.bboxes, np.float32).reshape(-1, 4),
            person_ids=np.array(ids, np.int64),
            source=f'{self.path}, image {self.name}',
            camera=self.camera,
        )


def read_coco_scenes(
    document: JsonObject, id_key: str, unlabelled_ids: Collection[int]
) -> dict[int, CocoScene]:
    """The images by id, in the order of the file, with their people.

    Args:
        document: The whole file.
        id_key: Where annotations keep the person id.
        unlabelled_ids: Ids that stand for "nobody knows who".

    Raises:
        ValueError: Anything is missing, of the wrong kind or contradicts something else; the
            message names file, position and fix.
    """
    scenes = _read_images(document)
    is_person = person_categories(document)
    annotations = document.objects('annotations', _ANNOTATION)
    if annotations and not any(id_key in entry.content for entry in annotations):
        raise ValueError(
            f'{document.at("annotations")}: none of {len(annotations)} has {id_key!r}, but '
            f'{", ".join(annotations[0].content)}; name the key of the person id with id_key'
        )
    _refuse_repeats(annotations, 'id')
    for number, entry in enumerate(annotations):
        scene = scene_of(entry, scenes)
        _merge_camera(entry, scene)
        if is_person is not None and not _category(entry, is_person):
            continue
        if entry.flag('iscrowd', False) or entry.flag('ignore', False):
            continue
        person = _person_id(entry, id_key, unlabelled_ids)
        bbox = entry.box('bbox')
        scene.bboxes.append(bbox)
        scene.raw_ids.append(person)
        scene.sources.append(entry.where)
        if any([entry.flag(key, False) for key in _QUERY_KEYS]):
            if person == UNLABELLED:
                raise ValueError(f'{entry.where}: a query of an unlabelled person; give its id')
            query = Query(scene.name, np.array(bbox, np.float32), person, entry.where)
            scene.flagged.append((number, query))
    return scenes


def _read_images(document: JsonObject) -> dict[int, CocoScene]:
    images = document.objects('images', _IMAGE)
    # On the disk, names that differ in case may be two files.
    _refuse_repeats(images, 'file_name', lambda name: same_name(str(name), any_case=False))
    scenes: dict[int, CocoScene] = {}
    for entry in images:
        image_id, split = entry.integer('id'), entry.text('split', None)
        if image_id in scenes:
            raise ValueError(f'{entry.at("id")}: {image_id} occurs twice; number the images anew')
        if split is not None and split not in SPLITS:
            raise ValueError(
                f'{entry.at("split")}: {shown(split)} is neither "train" nor "test"; put images '
                'for another use into a file of their own'
            )
        scenes[image_id] = CocoScene(
            image_id, entry.text('file_name'), split, _camera(entry), document.path
        )
        if (split is None) != (images[0].content.get('split') is None):
            raise ValueError(f'{entry.at("split")}: either every image has a split or none has')
    return scenes


def _refuse_repeats(
    entries: Sequence[JsonObject], key: str, form: Callable[[object], object] = lambda value: value
) -> None:
    seen: dict[object, JsonObject] = {}
    for entry in entries:
        value = entry.content.get(key)
        if isinstance(value, (int, str)):
            first = seen.setdefault(form(value), entry)
            if first is not entry:
                raise ValueError(
                    f'{entry.at(key)}: {shown(value)} occurs twice, first in {first.position}'
                )


def person_categories(document: JsonObject) -> dict[int, bool] | None:
    """Category id -> whether it is people; None if the file names no categories."""
    if not document.has('categories'):
        return None
    entries = document.objects('categories', _CATEGORY)
    names = {entry.integer('id'): entry.text('name', '') for entry in entries}
    if len(names) == 1:
        return dict.fromkeys(names, True)
    people = {number: name.strip().lower() == PERSON for number, name in names.items()}
    if names and not any(people.values()):
        raise ValueError(
            f'{document.at("categories")}: none of {", ".join(names.values())} is called "person"; '
            'rename the category of the people'
        )
    return people


def _category(entry: JsonObject, is_person: dict[int, bool]) -> bool:
    number = entry.integer('category_id')
    if number not in is_person:
        raise ValueError(f'{entry.at("category_id")}: {number} is not among the categories')
    return is_person[number]


def scene_of(entry: JsonObject, scenes: dict[int, CocoScene]) -> CocoScene:
    """The image that ``image_id`` of an annotation or a query names."""
    image_id = entry.integer('image_id')
    if image_id not in scenes:
        raise ValueError(f'{entry.at("image_id")}: no image has the id {image_id}')
    return scenes[image_id]


def _camera(entry: JsonObject) -> int:
    camera = entry.integer('cam_id', UNKNOWN_CAMERA)
    if camera < UNKNOWN_CAMERA:
        raise ValueError(f'{entry.at("cam_id")}: {camera} given; count cameras from 0, -1: unknown')
    return camera


def _merge_camera(entry: JsonObject, scene: CocoScene) -> None:
    """Take the camera from an annotation, where some tools keep it."""
    camera = _camera(entry)
    if UNKNOWN_CAMERA not in (camera, scene.camera) and camera != scene.camera:
        raise ValueError(
            f'{entry.at("cam_id")}: {camera}, but {scene.camera} elsewhere for image '
            f'{scene.name!r}; an image has one camera'
        )
    scene.camera = max(camera, scene.camera)


def _person_id(entry: JsonObject, id_key: str, unlabelled_ids: Collection[int]) -> int:
    person = entry.integer(id_key, UNLABELLED)
    if person in unlabelled_ids or person == UNLABELLED:
        return UNLABELLED
    if person < 0:
        raise ValueError(
            f'{entry.at(id_key)}: {person} given; ids count from 0, unlabelled people have '
            f'one of unlabelled_ids, {list(unlabelled_ids)}'
        )
    return person
