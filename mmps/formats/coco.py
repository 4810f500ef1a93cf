"""COCO-style JSON with person ids: read into an index, and written from any index."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct, UnsetType

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries
from mmps.utils.files import whole_file
from mmps.utils.image_folder import same_name

from .json_file import XYWH, Count, Text, WholeNumber, read_json
from .scene_index import (
    FIRST_PER_CAMERA,
    LARGEST_ID,
    Frame,
    Query,
    SceneFiles,
    SceneIndex,
    first_per_camera,
    training_index,
)

SPLITS = ('train', 'test')
UNKNOWN_CAMERA = -1
PERSON = 'person'
"""The category of the people, in any case."""

_Camera = Annotated[int, Meta(ge=UNKNOWN_CAMERA, le=LARGEST_ID)]


class Category(Struct, gc=False):
    """A kind of objects."""

    id: WholeNumber
    name: str = ''


class _Image(Struct, gc=False):
    id: WholeNumber
    file_name: Text
    cam_id: _Camera | None = None
    split: Literal['train', 'test'] | None = None


class _Annotation(Struct, gc=False, kw_only=True):
    """One person; a field for the person id comes with the key that a file keeps it under."""

    image_id: WholeNumber
    bbox: XYWH
    id: int | str | None = None
    category_id: WholeNumber | None = None
    cam_id: _Camera | None = None
    iscrowd: bool | None = None
    ignore: bool | None = None
    is_query: bool | None = None
    isquery: bool | None = None


class _Query(Struct, gc=False):
    image_id: WholeNumber
    bbox: XYWH
    person_id: Count


class _Positive(Struct, gc=False):
    entry: Count
    bbox: XYWH


class _Search(Struct, gc=False):
    query: Count
    images: list[WholeNumber]
    positives: list[_Positive] | None = None


class _Gallery(Struct, gc=False):
    name: WholeNumber | Text
    searches: list[_Search]


class _Document(Struct, kw_only=True):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[Category] | None = None
    queries: list[_Query] | None = None
    galleries: list[_Gallery] | None = None
    train_ids: list[Count] | None = None


class _Keys(Struct):
    annotations: list[dict[str, Any]]


@functools.cache
def _document_with(id_key: str) -> type[_Document]:
    """The type of a file whose annotations keep the person id under ``id_key``."""
    person_id = ('person_id', WholeNumber | None | UnsetType, UNSET)
    annotation = msgspec.defstruct(
        'Annotation', [person_id], bases=(_Annotation,), rename={'person_id': id_key}, gc=False
    )
    return msgspec.defstruct('Document', [('annotations', list[annotation])], bases=(_Document,))


@dataclass
class _Scene:
    """An image of the file, its camera, and the people in it."""

    image: _Image
    camera: int
    bboxes: list[tuple[float, ...]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)  # as the file numbers them, -1: unlabelled


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
        if self.id_key in _Annotation.__struct_fields__:
            raise ValueError(f'id_key: {self.id_key!r} has another meaning in annotations')
        object.__setattr__(self, 'unlabelled_ids', tuple(self.unlabelled_ids))

    @property
    def path(self) -> Path:
        """The JSON file of this split."""
        return self.root / (self.ann_file or f'{self.split}.json')

    def sources(self) -> list[Path]:
        return [self.path]

    def read(self) -> SceneIndex:
        document = read_json(self.path, _document_with(self.id_key))
        scenes, marked = self._read_scenes(document)
        chosen = [scene for scene in scenes.values() if self._is_of_split(scene.image)]
        frames = [
            Frame(
                name=scene.image.file_name,
                bboxes=np.array(scene.bboxes, np.float32).reshape(-1, 4),
                person_ids=np.array(scene.ids, np.int64),
                source=f'{self.path}, image {scene.image.file_name}',
                camera=scene.camera,
            )
            for scene in chosen
        ]
        if self.test_mode:
            queries = self._read_queries(document, scenes, marked, frames)
            galleries = self._read_galleries(document, chosen, len(queries))
            return SceneIndex(frames, 0, queries, galleries)
        ids = document.train_ids
        if ids is not None and len(set(ids)) < len(ids):
            raise self._error('train_ids', 'list each id once')
        return training_index(frames, ids, 'train_ids')

    def _is_of_split(self, image: _Image) -> bool:
        return image.split in (None, self.split)

    def _error(self, place: str, text: str) -> ValueError:
        return ValueError(f'{self.path}: {place}: {text}')

    def _refuse_repeats(self, key: str, inner: str, values: Iterable[int | str | None]) -> None:
        first: dict[int | str, int] = {}
        for number, value in enumerate(values):
            if value is not None and first.setdefault(value, number) != number:
                text = f'{value!r} occurs twice, first in {key}[{first[value]}]'
                raise self._error(f'{key}[{number}].{inner}', text)

    def _read_scenes(self, document: _Document) -> tuple[dict[int, _Scene], list[Query]]:
        """The images by id, in the order of the file, and the people of the split who are marked as
        queries.
        """
        images, annotations = document.images, document.annotations
        # Names that differ in case may be two files.
        names = (same_name(image.file_name, any_case=False) for image in images)
        self._refuse_repeats('images', 'id', (image.id for image in images))
        self._refuse_repeats('images', 'file_name', names)
        self._refuse_repeats('annotations', 'id', (entry.id for entry in annotations))
        for number, image in enumerate(images):
            if (image.split is None) != (images[0].split is None):
                text = 'either every image has a split or none has'
                raise self._error(f'images[{number}].split', text)
        if annotations and all(entry.person_id is UNSET for entry in annotations):
            keys = ', '.join(read_json(self.path, _Keys).annotations[0])
            raise self._error(
                'annotations',
                f'none of {len(annotations)} has {self.id_key!r}, but {keys}; name the key of the '
                'person id with id_key',
            )
        scenes = {
            image.id: _Scene(image, UNKNOWN_CAMERA if image.cam_id is None else image.cam_id)
            for image in images
        }
        is_person = person_categories(self.path, document.categories)
        marked = []
        for number, entry in enumerate(annotations):
            place = f'annotations[{number}]'
            scene = self._scene_of(scenes, entry, place)
            if entry.cam_id not in (None, UNKNOWN_CAMERA):  # where some tools keep it
                if scene.camera not in (UNKNOWN_CAMERA, entry.cam_id):
                    raise self._error(
                        f'{place}.cam_id',
                        f'{entry.cam_id}, but {scene.camera} elsewhere for image '
                        f'{scene.image.file_name!r}; an image has one camera',
                    )
                scene.camera = entry.cam_id
            if is_person is not None and entry.category_id not in is_person:
                text = f'{entry.category_id} is not among the categories'
                raise self._error(f'{place}.category_id', text)
            if (is_person and not is_person[entry.category_id]) or entry.iscrowd or entry.ignore:
                continue
            person = self._person(entry, place)
            scene.bboxes.append(_corners(entry.bbox))
            scene.ids.append(person)
            if entry.is_query or entry.isquery:
                if person == UNLABELLED:
                    raise self._error(place, 'a query of an unlabelled person; give its id')
                if self._is_of_split(scene.image):
                    marked.append(self._query(scene, entry, person, place))
        return scenes, marked

    def _person(self, entry: _Annotation, place: str) -> int:
        person = entry.person_id
        if person is None or person is UNSET or person in (UNLABELLED, *self.unlabelled_ids):
            return UNLABELLED
        if person < 0:
            raise self._error(
                f'{place}.{self.id_key}',
                f'{person} given; ids count from 0, unlabelled people have one of unlabelled_ids, '
                f'{list(self.unlabelled_ids)}',
            )
        return person

    def _scene_of(
        self, scenes: Mapping[int, _Scene], entry: _Annotation | _Query, place: str
    ) -> _Scene:
        if entry.image_id not in scenes:
            raise self._error(f'{place}.image_id', f'no image has the id {entry.image_id}')
        return scenes[entry.image_id]

    def _query(self, scene: _Scene, entry: _Annotation | _Query, person: int, place: str) -> Query:
        bbox = np.array(_corners(entry.bbox), np.float32)
        return Query(scene.image.file_name, bbox, person, f'{self.path}: {place}')

    def _read_queries(
        self,
        document: _Document,
        scenes: Mapping[int, _Scene],
        marked: list[Query],
        frames: Sequence[Frame],
    ) -> list[Query]:
        if document.queries is None:
            if not marked and self.default_queries is None:
                raise ValueError(
                    f'{self.path}: no query in this test file; mark annotations with "is_query": '
                    f'true or set default_queries={FIRST_PER_CAMERA!r}'
                )
            return marked or first_per_camera(frames)
        if marked:
            first = marked[0].source.removeprefix(f'{self.path}: ')
            text = f'{first} is marked as a query as well; use one of the ways'
            raise self._error('queries', text)
        queries = []
        for number, entry in enumerate(document.queries):
            place = f'queries[{number}]'
            scene = self._scene_of(scenes, entry, place)
            if not self._is_of_split(scene.image):
                text = f'image {scene.image.file_name!r} is for training'
                raise self._error(f'{place}.image_id', text)
            queries.append(self._query(scene, entry, entry.person_id, place))
        return queries

    def _read_galleries(
        self, document: _Document, scenes: Sequence[_Scene], num_queries: int
    ) -> dict[int | str, SearchGalleries]:
        """The explicit galleries, whose images are positions in ``scenes``."""
        galleries = document.galleries or []
        self._refuse_repeats('galleries', 'name', (gallery.name for gallery in galleries))
        ids = np.array([scene.image.id for scene in scenes], np.int64)
        return {
            gallery.name: self._read_gallery(f'galleries[{n}]', gallery.searches, ids, num_queries)
            for n, gallery in enumerate(galleries)
        }

    def _read_gallery(
        self, where: str, searches: Sequence[_Search], ids: np.ndarray, num_queries: int
    ) -> SearchGalleries:
        places = np.argsort(ids)
        images, positives, bboxes, splits = [np.empty(0, np.int64)], [], [], [0]
        for number, search in enumerate(searches):
            place = f'{where}.searches[{number}]'
            if search.query >= num_queries:
                text = f'{search.query} given; there are {num_queries} queries'
                raise self._error(f'{place}.query', text)
            listed = np.array(search.images, np.int64)
            known = np.isin(listed, ids)
            if not known.all():
                entry = int(known.argmin())
                text = f'{listed[entry]} is not the id of an image of this split'
                raise self._error(f'{place}.images[{entry}]', text)
            for shown, positive in enumerate(search.positives or ()):
                if positive.entry >= len(listed):
                    text = f'{positive.entry} given; the search lists {len(listed)} images'
                    raise self._error(f'{place}.positives[{shown}].entry', text)
                positives.append(splits[-1] + positive.entry)
                bboxes.append(_corners(positive.bbox))
            images.append(places[np.searchsorted(ids, listed, sorter=places)])
            splits.append(splits[-1] + len(listed))
        try:
            return SearchGalleries(
                np.array(splits),
                np.concatenate(images),
                np.array(positives, np.int64),
                np.array(bboxes, np.float64).reshape(-1, 4),
                np.array([search.query for search in searches], np.int64),
            )
        except ValueError as error:
            raise self._error(where, str(error)) from None


def _corners(xywh: XYWH) -> tuple[float, float, float, float]:
    x, y, width, height = xywh
    return x, y, x + width, y + height


def person_categories(path: Path, categories: Sequence[Category] | None) -> dict[int, bool] | None:
    """Category id -> whether it is people; None if the file names no categories.

    People are the category called "person", in any case, or the only one there is.
    """
    if categories is None:
        return None
    people = {c.id: c.name.strip().lower() == PERSON for c in categories}
    if len(people) == 1:
        return dict.fromkeys(people, True)
    if people and not any(people.values()):
        raise ValueError(
            f'{path}: categories: none of {", ".join(c.name for c in categories)} is called '
            '"person"; rename the category of the people'
        )
    return people


def write_coco(
    path: Path,
    index: SceneIndex,
    *,
    test_mode: bool,
    sizes: Sequence[tuple[int, int]] | None = None,
    names: Mapping[str, Sequence[tuple[int, str]]] | None = None,
) -> None:
    """Write one split, whole or not at all; :class:`CocoPersonSearchFiles` reads the same back.

    Args:
        path: The JSON file.
        index: What to write. Training ids are written as they are, 0..num_ids-1.
        test_mode: Whether it is a test split.
        sizes: (width, height) of each image in pixels, for other tools of COCO.
        names: Further lists of numbers and the names they stand for, by key, e.g. ``cameras``.
    """
    document = coco_document(index, test_mode=test_mode, sizes=sizes)
    for key, pairs in (names or {}).items():
        document[key] = [dict(id=number, name=name) for number, name in pairs]
    with whole_file(path) as temporary, open(temporary, 'w') as file:
        for number, (key, value) in enumerate(document.items()):
            file.write(f'{"," if number else "{"}\n{json.dumps(key)}: ')
            if value and isinstance(value, list) and isinstance(value[0], dict):
                # an object to a line, so that people can read and compare files
                objects = (json.dumps(item, allow_nan=False) for item in value)
                file.write('[\n' + ',\n'.join(objects) + '\n]')
            else:
                file.write(json.dumps(value, allow_nan=False))
        file.write('\n}\n')


def coco_document(
    index: SceneIndex, *, test_mode: bool, sizes: Sequence[tuple[int, int]] | None = None
) -> dict[str, Any]:
    """The content of the file; arguments as of :func:`write_coco`."""
    marked = _query_rows(index) if test_mode else set()
    images, annotations = [], []
    for position, frame in enumerate(index.frames):
        image = dict(id=position + 1, file_name=frame.name)
        if sizes is not None:
            image |= dict(zip(('width', 'height'), sizes[position], strict=True))
        if frame.camera != UNKNOWN_CAMERA:
            image['cam_id'] = int(frame.camera)
        images.append(image)
        for row, person in enumerate(frame.person_ids.tolist()):
            bbox = to_xywh(frame.bboxes[row])
            entry = dict(id=len(annotations) + 1, image_id=position + 1, category_id=1, bbox=bbox)
            entry |= dict(area=round(bbox[2] * bbox[3], 3), iscrowd=0, person_id=person)
            if (position, row) in marked:
                entry['is_query'] = True
            annotations.append(entry)
    document: dict[str, Any] = dict(
        images=images, annotations=annotations, categories=[dict(id=1, name=PERSON)]
    )
    if not test_mode:
        seen = {person for frame in index.frames for person in frame.person_ids.tolist()}
        if len(seen - {UNLABELLED}) < index.num_ids:
            document['train_ids'] = list(range(index.num_ids))
    elif not marked:
        ids = {image['file_name']: image['id'] for image in images}
        document['queries'] = [
            dict(image_id=ids[q.image_name], bbox=to_xywh(q.bbox), person_id=int(q.person_id))
            for q in index.queries
        ]
    if index.galleries:
        document['galleries'] = [
            dict(name=name, searches=_searches(gallery))
            for name, gallery in index.galleries.items()
        ]
    return document


def _query_rows(index: SceneIndex) -> set[tuple[int, int]]:
    """(frame, row) of every query; empty where marks could not tell their order or their boxes."""
    positions = {frame.name: position for position, frame in enumerate(index.frames)}
    rows: list[tuple[int, int]] = []
    for query in index.queries:
        position = positions[query.image_name]
        frame = index.frames[position]
        same = (frame.bboxes.astype(np.float32) == query.bbox.astype(np.float32)).all(1)
        same &= frame.person_ids == query.person_id
        places = [(position, int(row)) for row in np.flatnonzero(same)]
        later = [place for place in places if not rows or place > rows[-1]]
        if not later:
            return set()
        rows.append(later[0])
    return set(rows)


def _searches(gallery: SearchGalleries) -> list[dict[str, Any]]:
    searches = []
    bounds = np.searchsorted(gallery.positives, gallery.splits)
    for search, query in enumerate(gallery.queries.tolist()):
        start, stop = gallery.splits[search : search + 2].tolist()
        positives = [
            dict(entry=int(gallery.positives[row]) - start, bbox=to_xywh(gallery.bboxes[row]))
            for row in range(bounds[search], bounds[search + 1])
        ]
        images = (gallery.images[start:stop] + 1).tolist()
        searches.append(dict(query=query, images=images, positives=positives))
    return searches


def to_xywh(bbox: np.ndarray) -> list[float]:
    """A box (4,) xyxy as COCO's ``[x, y, width, height]``, in the decimals a reader expects.

    Reading them back, adding in float64 and keeping float32 gives the same corners, as long as they
    are 0 or at least a thousandth of a pixel.
    """
    # The shortest decimal that float32 cannot tell from the value: 10.3, not 10.30000019.
    x1, y1, x2, y2 = (float(str(np.float32(value))) for value in bbox)
    return [x1, y1, _extent(x1, x2), _extent(y1, y2)]


def _extent(start: float, end: float) -> float:
    """``end - start`` as 30.3, not 30.299999999999997, where float32 cannot tell them apart."""
    extent = round(end - start, 9)
    return extent if np.float32(start + extent) == np.float32(end) else end - start
