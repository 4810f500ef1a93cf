"""What the files of a data set say, read once more in the simplest way.

The loaders' checks are left out, so that these readers are for files that a loader has accepted.
They share no code with the loaders: scipy, h5py and the standard library read the files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import loadmat

from mmps.formats.scene_index import SceneIndex

Box = tuple[float, ...]


def plain_index(index: SceneIndex) -> dict[str, Any]:
    """An index as plain values, in which an oracle gives it."""
    return dict(
        frames=[(f.name, f.camera, _rows(f.bboxes), f.person_ids.tolist()) for f in index.frames],
        num_ids=index.num_ids,
        queries=[(q.image_name, tuple(q.bbox.tolist()), q.person_id) for q in index.queries],
        galleries={name: _searches(gallery) for name, gallery in index.galleries.items()},
    )


def _rows(bboxes: np.ndarray) -> list[Box]:
    return [tuple(row) for row in bboxes.tolist()]


def _searches(gallery: Any) -> list[tuple]:
    """For each search its query, its images and, by entry, the boxes of the person."""
    searches = []
    for number, query in enumerate(gallery.queries.tolist()):
        start, stop = gallery.splits[number : number + 2].tolist()
        shown = {
            int(entry) - start: tuple(box.tolist())
            for entry, box in zip(gallery.positives, gallery.bboxes, strict=True)
            if start <= entry < stop
        }
        searches.append((query, gallery.images[start:stop].tolist(), shown))
    return searches


def _frame(name: str, camera: int, boxes: list, ids: list) -> tuple:
    """A frame without the boxes that have no area."""
    boxes = [_float32(box) for box in boxes]
    kept = [row for row, (x1, y1, x2, y2) in enumerate(boxes) if x1 < x2 and y1 < y2]
    return name, camera, [boxes[row] for row in kept], [ids[row] for row in kept]


def _float32(box: Sequence[float]) -> Box:
    return tuple(np.float32(box).tolist())


def _cut(value: float) -> float:
    return float(np.trunc(np.float32(value)))


def read_prw(root: Path, test_mode: bool) -> dict[str, Any]:
    """A split in PRW's layout."""
    split = 'test' if test_mode else 'train'
    cells = loadmat(root / f'frame_{split}.mat')[f'img_index_{split}']
    raw = sorted({int(i) for i in loadmat(root / 'ID_train.mat')['ID_train'].ravel()})
    frames = []
    for cell in cells.ravel():
        name = f'{str(cell[0]).strip()}.jpg'
        content = loadmat(root / 'annotations' / f'{name}.mat')
        key = next(k for k in ('box_new', 'anno_file', 'anno_previous') if k in content)
        boxes, ids = [], []
        for person, *xywh in content[key].astype(np.float64).tolist():
            x, y, w, h = (max(value, 0) for value in xywh)
            boxes.append([_cut(x), _cut(y), _cut(x + w), _cut(y + h)])
            unlabelled = person in (-1, -2)
            ids.append(-1 if unlabelled else int(person) if test_mode else raw.index(int(person)))
        frames.append(_frame(name, int(name[1 : name.index('s')]), boxes, ids))
    queries = []
    for line in (root / 'query_info.txt').read_text().splitlines() if test_mode else ():
        if line.strip():
            person, x, y, w, h, name = line.split()
            x, y, w, h = map(float, (x, y, w, h))
            box = tuple(max(_cut(value), 0.0) for value in (x, y, x + w, y + h))
            queries.append((f'{name}.jpg', box, int(float(person))))
    return dict(frames=frames, num_ids=0 if test_mode else len(raw), queries=queries, galleries={})


def _corners(xywh: np.ndarray) -> Box:
    x, y, w, h = (float(np.trunc(value)) for value in xywh.ravel())
    return x, y, x + w, y + h


def read_cuhk_sysu(root: Path, test_mode: bool, size: int = 50) -> dict[str, Any]:
    """A split in CUHK-SYSU's layout; test people are the rows of the one gallery size."""
    folder = root / 'annotation'
    boxes: dict[str, list[Box]] = {}
    for image in loadmat(folder / 'Images.mat')['Img'].ravel('F'):
        listed = image['box']['idlocate'].ravel('F') if image['box'].size else []
        boxes[str(image['imname'][0])] = [_corners(box) for box in listed]
    pool = [str(cell[0]) for cell in loadmat(folder / 'pool.mat')['pool'].ravel('F')]
    names = pool if test_mode else sorted(boxes.keys() - set(pool))
    ids = {name: [-1] * len(boxes[name]) for name in names}

    def attach(person: int, shown: list[tuple[str, Box]]) -> int:
        places = [
            (name, boxes[name].index(box)) for name, box in shown if box in boxes.get(name, ())
        ]
        places = [place for place in places if place[0] in ids]
        if test_mode:
            person = next((ids[n][row] for n, row in places if ids[n][row] != -1), person)
        for name, row in places:
            ids[name][row] = person
        return person

    queries, searches, cells = [], [], []
    if test_mode:
        protocol = loadmat(folder / f'test/train_test/TestG{size}.mat')[f'TestG{size}']
        for row, item in enumerate(protocol.ravel('F')):
            query = item['Query'].ravel('F')[0]
            name, box = str(query['imname'][0]), _corners(query['idlocate'])
            gallery = item['Gallery']
            entries = list(gallery.ravel('F')) if gallery.size else []
            images = [str(entry['imname'][0]) for entry in entries]
            shown = {
                n: _corners(e['idlocate']) for n, e in enumerate(entries) if e['idlocate'].size
            }
            person = attach(row + 1, [(name, box), *((images[n], b) for n, b in shown.items())])
            queries.append((name, box, person))
            searches.append((row, [pool.index(image) for image in images], shown))
    else:
        cells = loadmat(folder / 'test/train_test/Train.mat')['Train'].ravel('F')
        for row, cell in enumerate(cells):
            scenes = cell['scene'].item().ravel('F')
            attach(row, [(str(s['imname'][0]), _corners(s['idlocate'])) for s in scenes])
    return dict(
        frames=[_frame(name, -1, boxes[name], ids[name]) for name in names],
        num_ids=0 if test_mode else len(cells),
        queries=queries,
        galleries={size: searches} if test_mode else {},
    )


def read_cuhk03(root: Path, test_mode: bool) -> dict[str, Any]:
    """The frames and queries of a split of CUHK03's new protocol, labelled crops."""
    sizes = {}
    with h5py.File(root / 'cuhk03_release/cuhk-03.mat') as file:
        for pair, reference in enumerate(file['labeled'][()].T.ravel(), 1):
            for (person, number), crop in np.ndenumerate(file[reference][()].T):
                shape = file[crop].shape[::-1]
                if len(shape) == 3 and 0 not in shape:
                    view = 1 if number < 5 else 2
                    name = f'{pair}_{person + 1:03d}_{view}_{number + 1:02d}.png'
                    sizes[name] = (2 * (pair - 1) + view, [(0.0, 0.0, *map(float, shape[1::-1]))])
    protocol = loadmat(root / 'cuhk03_new_protocol_config_labeled.mat')
    listed = [str(np.ravel(cell)[0]).strip() for cell in protocol['filelist'].ravel()]
    labels = protocol['labels'].ravel().tolist()
    rows = {
        k: [int(r) - 1 for r in protocol[f'{k}_idx'].ravel()] for k in ('train', 'query', 'gallery')
    }
    if not test_mode:
        people = sorted({labels[row] for row in rows['train']})
        frames = [(listed[r], *sizes[listed[r]], [people.index(labels[r])]) for r in rows['train']]
        return dict(frames=frames, num_ids=len(people), queries=[])
    chosen = sorted(rows['query'] + rows['gallery'])
    return dict(
        frames=[(listed[row], *sizes[listed[row]], [int(labels[row])]) for row in chosen],
        num_ids=0,
        queries=[(listed[r], sizes[listed[r]][1][0], int(labels[r])) for r in rows['query']],
    )


def read_coco(root: Path, test_mode: bool) -> dict[str, Any]:
    """A split in COCO style with its queries marked on annotations."""
    document = json.loads((root / f'{"test" if test_mode else "train"}.json').read_bytes())
    frames: dict[int, list] = {
        image['id']: [image['file_name'], image.get('cam_id'), [], []]
        for image in document['images']
    }
    categories = document.get('categories')
    people = {c['id'] for c in categories or () if c['name'].lower() == 'person'}
    if len(categories or ()) == 1:
        people = {categories[0]['id']}
    queries = []
    for entry in document['annotations']:
        frame = frames[entry['image_id']]
        if entry.get('cam_id') is not None:
            frame[1] = entry['cam_id']
        flags = [entry.get(key) for key in ('iscrowd', 'ignore')]
        if any(flags) or (categories is not None and entry['category_id'] not in people):
            continue
        x, y, w, h = entry['bbox']
        person = entry.get('person_id')
        frame[2].append((x, y, x + w, y + h))
        frame[3].append(-1 if person in (None, -1, -2) else int(person))
        if entry.get('is_query') or entry.get('isquery'):
            queries.append((frame[0], _float32(frame[2][-1]), int(person)))
    for entry in document.get('queries') or ():
        box = _float32(_xyxy(entry['bbox']))
        queries.append((frames[entry['image_id']][0], box, int(entry['person_id'])))
    ids = sorted({person for frame in frames.values() for person in frame[3]} - {-1})
    if document.get('train_ids') is not None:
        ids = sorted(map(int, document['train_ids']))
    made = [
        _frame(
            name,
            -1 if camera is None else int(camera),
            boxes,
            known if test_mode else [-1 if i == -1 else ids.index(i) for i in known],
        )
        for name, camera, boxes, known in frames.values()
    ]
    galleries = {}
    places = {image: place for place, image in enumerate(frames)}
    for gallery in document.get('galleries') or ():
        galleries[gallery['name']] = [
            (
                search['query'],
                [places[image] for image in search['images']],
                {
                    p['entry']: _frame('', 0, [_xyxy(p['bbox'])], [0])[2][0]
                    for p in search['positives']
                },
            )
            for search in gallery['searches']
        ]
    return dict(
        frames=made,
        num_ids=0 if test_mode else len(ids),
        queries=queries if test_mode else [],
        galleries=galleries if test_mode else {},
    )


def _xyxy(xywh: list) -> Box:
    x, y, w, h = xywh
    return x, y, x + w, y + h


def read_table(path: Path) -> list[tuple]:
    """The lines of a table of boxes: image, camera, box, person, whether a query."""
    lines = []
    with open(path, newline='', encoding='utf-8-sig') as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(',;\t', key=first.count)
        for row in csv.DictReader(file, delimiter=delimiter):
            row = {key.strip().lower(): value.strip() for key, value in row.items() if key}
            box = tuple(float(row[k].replace(',', '.')) for k in ('x1', 'y1', 'x2', 'y2') if row[k])
            person = None if row['person_id'] in ('', '-1', '-2') else row['person_id']
            query = row.get('is_query', '').lower() in ('1', 'true', 'yes')
            image = row['image'].replace('\\', '/')
            folder = image.split('/')[0] if '/' in image else None
            camera = row.get('camera', folder) or None
            lines.append((image, camera, box, person, query and bool(box)))
    return lines
