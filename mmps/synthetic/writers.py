"""Layouts that a rendered data set can be written in: which protocol it gets, who is in it."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from mmps.formats.coco import write_coco
from mmps.formats.cuhk03 import SHOTS, Place, write_cuhk03
from mmps.formats.cuhk_sysu import (
    GALLERY_SIZES,
    Box,
    CUHKSYSUFiles,
    Entry,
    Search,
    write_cuhk_sysu,
)
from mmps.formats.prw import PRWFiles, to_rows, write_prw
from mmps.formats.scene_index import Frame, Query, SceneIndex
from mmps.synthetic.planning import Labels, QueryPlace, ScenePlan
from mmps.utils.files import whole_file

PARTS = '.parts'
"""Folder, inside a data set, of what is needed only until the set is complete."""

CSV_COLUMNS = ('image', 'x1', 'y1', 'x2', 'y2', 'person_id')
SPLITS, MAX_SPLIT_PEOPLE = 20, 100
MAX_PEOPLE = 999  # per camera pair: CUHK03's file names have three digits for them

_CAMERA_FOLDERS = 'images'
_GALLERY_STREAM, _SPLIT_STREAM, _DETECTOR_STREAM = 7, 7, 8
_SUBSET_SHARES = {'occlusion': 187 / 2900, 'resolution': 290 / 2900}
_SUBSET_GALLERY = 100
_DETECTOR_NOISE, _DETECTOR_MISSES = 0.05, 0.02


class Layout(NamedTuple):
    """Where a data set's pictures lie and how its annotations are written.

    Attributes:
        picture: Place of a picture in the data set's folder, by ``name``, number of the ``camera``
            and ``number`` of the picture.
        write: Writes all annotation files once every picture is there, given the data set's folder,
            the plan of every picture (the training set first), the people of each picture, and the
            query people, in order.
    """

    picture: str
    write: Callable[[Path, list[ScenePlan], list[Labels], list[QueryPlace]], None]

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture."""
        numbers = dict(camera=scene.camera + 1, number=scene.index + 1)
        return root / self.picture.format(name=scene.name, **numbers)


def _write_prw(
    root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[QueryPlace]
) -> None:
    """PRW's files, and crops of the queries in ``query_box/``."""
    rows = [to_rows(label.boxes, label.person_ids) for label in labels]
    chosen = [(scenes[query.scene], rows[query.scene][query.row]) for query in queries]
    for split, is_test in (('train', False), ('test', True)):
        people = {s.name: row for s, row in zip(scenes, rows, strict=True) if s.is_test == is_test}
        write_prw(root, split, people, [(scene.name, row) for scene, row in chosen])
    for scene, row in chosen:
        picture = cv2.imread(str(LAYOUTS['prw'].image(root, scene)))
        x, y, w, h = row[1:].astype(int)
        _, encoded = cv2.imencode('.jpg', picture[y : y + h, x : x + w])
        with whole_file(root / 'query_box' / f'{row[0]:.0f}_{scene.name}.jpg') as temporary:
            temporary.write_bytes(encoded.tobytes())


def _write_coco(
    root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[QueryPlace]
) -> None:
    """COCO-style ``train.json`` and ``test.json``, the layout of people's own cameras."""
    frames = []
    for scene, people in zip(scenes, labels, strict=True):
        name = LAYOUTS['coco'].image(Path(), scene).relative_to(_CAMERA_FOLDERS).as_posix()
        frames.append(Frame(name, people.boxes, people.person_ids, '', scene.camera + 1))
    # In the order of the annotations, where a query is a mark.
    asked = [
        Query(
            frames[query.scene].name,
            labels[query.scene].boxes[query.row],
            int(labels[query.scene].person_ids[query.row]),
            '',
        )
        for query in sorted(queries, key=lambda query: (query.scene, query.row))
    ]
    for split, is_test in (('train', False), ('test', True)):
        own = [f for f, scene in zip(frames, scenes, strict=True) if scene.is_test == is_test]
        sizes = [Image.open(root / _CAMERA_FOLDERS / frame.name).size for frame in own]
        index = SceneIndex(own, 0, asked if is_test else ())
        write_coco(root / f'{split}.json', index, test_mode=is_test, sizes=sizes)


def _write_csv(
    root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[QueryPlace]
) -> None:
    """A table of boxes, what own data begin with, without a split and without queries."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for scene, people in zip(scenes, labels, strict=True):
        name = LAYOUTS['csv'].image(Path(), scene).relative_to(_CAMERA_FOLDERS).as_posix()
        if not len(people.boxes):
            writer.writerow([name, *[''] * (len(CSV_COLUMNS) - 1)])
        for box, person in zip(people.boxes.tolist(), people.person_ids.tolist(), strict=True):
            writer.writerow([name, *(f'{value:g}' for value in box), person])
    with whole_file(root / 'boxes.csv') as temporary:
        temporary.write_bytes(text.getvalue().encode())


def _write_cuhk_sysu(
    root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[QueryPlace]
) -> None:
    """CUHK-SYSU's files, with every gallery size that the test images allow.

    The smallest size is always written; where there are too few test images for it, every one but
    the query's is in its galleries.
    """
    names = [LAYOUTS['cuhk_sysu'].image(root, scene).name for scene in scenes]
    boxes = [_whole_boxes(label) for label in labels]
    pool = [name for name, scene in zip(names, scenes, strict=True) if scene.is_test]
    shown: dict[bool, dict[int, list[Entry]]] = {False: {}, True: {}}
    for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
        for person, box in zip(label.person_ids.tolist(), boxes[number], strict=True):
            if person >= 0:
                shown[scene.is_test].setdefault(person, []).append(Entry(names[number], box))
    asked = [
        (Entry(names[q.scene], boxes[q.scene][q.row]), int(labels[q.scene].person_ids[q.row]))
        for q in queries
    ]
    protocols: dict[int | str, list[Search]] = {
        size: [
            _search(number, query, shown[True][person], pool, size)
            for number, (query, person) in enumerate(asked)
        ]
        for size in GALLERY_SIZES
        if size == GALLERY_SIZES[0] or size < len(pool)
    }
    searches = protocols[min(_SUBSET_GALLERY, max(protocols))]
    hidden = [1 - labels[q.scene].visible[q.row] for q in queries]
    small = [-query.box[2] * query.box[3] for query, _ in asked]
    for name, measure in (('occlusion', hidden), ('resolution', small)):
        count = max(1, round(_SUBSET_SHARES[name] * len(searches)))
        largest = np.argsort(-np.array(measure), kind='stable')[:count]
        protocols[name] = [searches[k] for k in sorted(largest.tolist())]
    write_cuhk_sysu(
        root,
        people=dict(zip(names, boxes, strict=True)),
        pool=pool,
        identities=[shown[False][person] for person in sorted(shown[False])],
        protocols=protocols,
    )


def _whole_boxes(labels: Labels) -> list[Box]:
    """Whole numbers x, y, width, height that keep every box inside its picture."""
    corners = np.concatenate([np.floor(labels.boxes[:, :2]), np.ceil(labels.boxes[:, 2:])], 1)
    corners[:, 2:] -= corners[:, :2]
    return [tuple(row) for row in corners.astype(int).tolist()]


def _search(number: int, query: Entry, shown: list[Entry], pool: list[str], size: int) -> Search:
    rng = np.random.default_rng([_GALLERY_STREAM, number])
    positives = [entry for entry in shown if entry.image != query.image][:size]
    taken = {query.image, *(entry.image for entry in shown)}
    others = [name for name in pool if name not in taken]
    rest = rng.permutation(len(others))[: size - len(positives)]
    return Search(f'p{number + 1}', query, [*positives, *(Entry(others[k]) for k in rest)])


def _write_cuhk03(
    root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[QueryPlace]
) -> None:
    """CUHK03's files: crops, up to five of each identity by each of two cameras.

    The two cameras are those that show the identity most, and the first of them stands for the
    camera pair. Labelled crops are the boxes of the scenes; detected ones have moved borders, and a
    few are missing. The protocols choose the queries. Unlabelled people are left out.
    """
    cast = _cast(scenes, labels)
    crops: dict[str, dict[Place, np.ndarray]] = {'labelled': {}, 'detected': {}}
    pictures: dict[int, np.ndarray] = {}
    for (number, row), place in sorted(cast.places.items()):
        if number not in pictures:
            bgr = cv2.imread(str(LAYOUTS['cuhk03'].image(root, scenes[number])))
            pictures = {number: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)}
        box = labels[number].boxes[row].astype(np.float64)
        crops['labelled'][place] = _cut(pictures[number], box)
        rng = np.random.default_rng([_DETECTOR_STREAM, number, row])
        if rng.random() >= _DETECTOR_MISSES:
            moved = box + rng.normal(0, _DETECTOR_NOISE, 4) * np.tile(box[2:] - box[:2], 2)
            crops['detected'][place] = _cut(pictures[number], moved)
    everybody = [(pair, k) for pair, n in enumerate(cast.people, 1) for k in range(1, n + 1)]
    size = min(MAX_SPLIT_PEOPLE, max(1, len(everybody) // 2))
    rng = np.random.default_rng(_SPLIT_STREAM)
    drawn = [np.sort(rng.permutation(len(everybody))[:size]) for _ in range(SPLITS)]
    testsets = [[everybody[n] for n in split] for split in drawn]
    write_cuhk03(root, crops, cast.people, testsets, cast.tested)


class _Cast(NamedTuple):
    """Which appearance, (scene, row of its labels), becomes which crop; the number of people of
    each camera pair; camera pair and number of the people of the test scenes.
    """

    places: dict[tuple[int, int], Place]
    people: list[int]
    tested: list[tuple[int, int]]


def _cast(scenes: list[ScenePlan], labels: list[Labels]) -> _Cast:
    seen: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
        for row in np.flatnonzero(label.person_ids >= 0).tolist():
            seen[int(label.person_ids[row])][scene.camera].append((number, row))
    cameras = {
        person: sorted(sorted(by_camera, key=lambda c: (-len(by_camera[c]), c))[:2])
        for person, by_camera in seen.items()
    }
    cast = _Cast({}, [], [])
    for pair, first in enumerate(sorted({pair[0] for pair in cameras.values()}), 1):
        members = [person for person in sorted(seen) if cameras[person][0] == first]
        if len(members) > MAX_PEOPLE:
            raise ValueError(
                f'{len(members)} identities for one camera pair, but the layout has room for '
                f'{MAX_PEOPLE}; give fewer identities'
            )
        cast.people.append(len(members))
        for k, person in enumerate(members, 1):
            for view, camera in enumerate(cameras[person]):
                best = sorted(seen[person][camera], key=lambda at: -labels[at[0]].visible[at[1]])
                for shot, at in enumerate(sorted(best[: SHOTS // 2]), 1):
                    cast.places[at] = (pair, k, view * SHOTS // 2 + shot)
            if scenes[next(iter(seen[person].values()))[0][0]].is_test:
                cast.tested.append((pair, k))
    return cast


def _cut(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a picture in a box, whose borders may lie outside."""
    height, width = picture.shape[:2]
    x1, y1 = np.floor(np.clip(box[:2], 0, (width - 1, height - 1))).astype(int)
    x2, y2 = np.ceil(np.clip(box[2:], (x1 + 1, y1 + 1), (width, height))).astype(int)
    return picture[y1:y2, x1:x2]


_BY_CAMERA = _CAMERA_FOLDERS + '/camera_{camera}/{name}.jpg'
LAYOUTS = {
    'coco': Layout(_BY_CAMERA, _write_coco),
    'csv': Layout(_BY_CAMERA, _write_csv),
    'cuhk03': Layout(PARTS + '/{name}.jpg', _write_cuhk03),  # needed for its crops only
    'cuhk_sysu': Layout(CUHKSYSUFiles.image_folder + '/s{number}.jpg', _write_cuhk_sysu),
    'prw': Layout(PRWFiles.image_folder + '/{name}.jpg', _write_prw),
}
