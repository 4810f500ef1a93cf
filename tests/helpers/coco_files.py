"""A data set in COCO style, as JSON has it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.scene_index import SceneIndex


def document() -> dict:
    """Two test images, three people, one of them unlabelled, and a query."""
    return {
        'info': {'description': 'anything'},
        'categories': [{'id': 1, 'name': 'person'}],
        'images': [
            {'id': 5, 'file_name': 'cam1/a.jpg', 'width': 640, 'height': 480, 'cam_id': 1},
            {'id': 3, 'file_name': 'cam2/b.jpg', 'cam_id': 2},
        ],
        'annotations': [
            box(11, 3, [10, 20, 30, 40], 70, is_query=True),
            box(12, 5, [1.5, 2, 3, 4.25], 70),
            box(13, 5, [0, 0, 9, 9], -1),
            box(14, 5, [4, 4, 9, 9], 9, iscrowd=0),
        ],
    }


def box(number: int, image_id: int, bbox: list[float], person_id: int, **more: object) -> dict:
    """An annotation."""
    entry = dict(id=number, image_id=image_id, category_id=1, bbox=bbox, person_id=person_id)
    return entry | more


def galleries() -> list[dict]:
    """Searches for the query of :func:`document`."""
    return [
        {
            'name': 2,
            'searches': [
                {
                    'query': 0,
                    'images': [5, 3, 5],
                    'positives': [{'entry': 2, 'bbox': [1, 2, 3, 4]}],
                },
                {'query': 0, 'images': []},
            ],
        },
        {'name': 'hard', 'searches': []},
    ]


def read(folder: Path, content: object, test_mode: bool = True, **options: object) -> SceneIndex:
    """What is read of a file with that content, given as objects or as text."""
    path = folder / ('test.json' if test_mode else 'train.json')
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return CocoPersonSearchFiles(folder, test_mode, **options).read()


def refuse(folder: Path, content: object, message: str, **options: object) -> None:
    """Assert that such a file is refused, by its name and a message that matches."""
    try:
        read(folder, content, **options)
    except ValueError as error:
        said = str(error)
    else:
        raise AssertionError(f'accepted: {content}')
    assert said.startswith(str(folder)) and re.search(message, said), said
