"""Any scene index as a COCO-style file; :mod:`mmps.formats.coco` reads the same index back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.scene_index import Frame, Query, SceneIndex
from mmps.utils.files import whole_file

from .boxes import to_xywh
from .galleries import galleries_to_json
from .scenes import UNKNOWN_CAMERA


def write_coco(
    path: Path,
    index: SceneIndex,
    *,
    test_mode: bool,
    sizes: Sequence[tuple[int, int]] | None = None,
    names: Mapping[str, Sequence[tuple[int, str]]] | None = None,
) -> None:
    """Write one split, whole or not at all.

    Args:
        path: The JSON file.
        index: What to write. Training ids are written as they are, 0..num_ids-1.
        test_mode: Whether it is a test split.
        sizes: (width, height) of each image in pixels, which other tools of COCO want to know.
        names: Further lists of numbers and the names they stand for, by key, e.g. ``cameras``.
    """
    document = coco_document(index, test_mode=test_mode, sizes=sizes)
    for key, pairs in (names or {}).items():
        document[key] = [dict(id=number, name=name) for number, name in pairs]
    with whole_file(path) as temporary, open(temporary, 'w') as file:
        file.write('{')
        for number, (key, value) in enumerate(document.items()):
            file.write(f'{"," if number else ""}\n{json.dumps(key)}: ')
            _write_value(file, value)
        file.write('\n}\n')


def _write_value(file: Any, value: Any) -> None:
    """A list of objects with one object to a line, so that people can read and compare files."""
    if not (isinstance(value, list) and value and isinstance(value[0], dict)):
        file.write(json.dumps(value, allow_nan=False))
        return
    for number, item in enumerate(value):
        file.write(f'{"," if number else "["}\n{json.dumps(item, allow_nan=False)}')
    file.write('\n]')


def coco_document(
    index: SceneIndex, *, test_mode: bool, sizes: Sequence[tuple[int, int]] | None = None
) -> dict[str, Any]:
    """The content of the file; arguments as of :func:`write_coco`."""
    rows = _query_rows(index.frames, index.queries) if test_mode else set()
    image_ids = range(1, len(index.frames) + 1)
    images, annotations = [], []
    for position, (image_id, frame) in enumerate(zip(image_ids, index.frames, strict=True)):
        image = dict(id=image_id, file_name=frame.name)
        if sizes is not None:
            image |= dict(zip(('width', 'height'), sizes[position], strict=True))
        if frame.camera != UNKNOWN_CAMERA:
            image['cam_id'] = int(frame.camera)
        images.append(image)
        for row in range(len(frame.bboxes)):
            entry = _annotation(len(annotations) + 1, image_id, frame, row)
            if rows is not None and (position, row) in rows:
                entry['is_query'] = True
            annotations.append(entry)
    document: dict[str, Any] = dict(
        images=images, annotations=annotations, categories=[dict(id=1, name='person')]
    )
    if not test_mode:
        seen = {int(person) for frame in index.frames for person in frame.person_ids}
        if len(seen - {UNLABELLED}) < index.num_ids:
            document['train_ids'] = list(range(index.num_ids))
    elif rows is None or not rows:
        ids = {
            frame.name: image_id for image_id, frame in zip(image_ids, index.frames, strict=True)
        }
        document['queries'] = [_query(query, ids) for query in index.queries]
    if index.galleries:
        document['galleries'] = galleries_to_json(index.galleries, image_ids)
    return document


def _annotation(number: int, image_id: int, frame: Frame, row: int) -> dict[str, Any]:
    bbox = to_xywh(frame.bboxes[row])
    return dict(
        id=number,
        image_id=image_id,
        category_id=1,
        bbox=bbox,
        area=round(bbox[2] * bbox[3], 3),
        iscrowd=0,
        person_id=int(frame.person_ids[row]),
    )


def _query(query: Query, image_ids: Mapping[str, int]) -> dict[str, Any]:
    return dict(
        image_id=image_ids[query.image_name],
        bbox=to_xywh(query.bbox),
        person_id=int(query.person_id),
    )


def _query_rows(frames: Sequence[Frame], queries: Sequence[Query]) -> set[tuple[int, int]] | None:
    """(frame, row) of every query; None where marks could not tell their order or their boxes."""
    positions = {frame.name: position for position, frame in enumerate(frames)}
    rows: list[tuple[int, int]] = []
    for query in queries:
        position = positions[query.image_name]
        frame = frames[position]
        same = (frame.person_ids == query.person_id) & (
            frame.bboxes.astype(np.float32) == query.bbox.astype(np.float32)
        ).all(1)
        later = [(position, int(row)) for row in np.flatnonzero(same)]
        later = [place for place in later if not rows or place > rows[-1]]
        if not later:
            return None
        rows.append(later[0])
    return set(rows)
