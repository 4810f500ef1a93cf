"""What is fuzzed: tiny sets of every layout, their files, how they are loaded, what to expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmps.evaluation.functional import SearchPredictions, load_predictions, save_predictions
from mmps.formats.coco import CocoPersonSearchFiles, write_coco
from mmps.formats.converters.annotated_images import Annotations
from mmps.formats.converters.csv_boxes import read_csv_boxes
from mmps.formats.cuhk03 import CUHK03Files
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import SceneFiles, to_search_annotations

from .cuhk03_files import write_tiny_cuhk03
from .cuhk_sysu_files import write_tiny_cuhk_sysu
from .format_oracles import (
    plain_index,
    read_coco,
    read_cuhk03,
    read_cuhk_sysu,
    read_prw,
    read_table,
)
from .prw_files import write_tiny_prw
from .scene_indices import random_index


@dataclass(frozen=True)
class Target:
    """A kind of data that is read from files of others.

    Attributes:
        write: Writes a small, sound set to a folder.
        files: The files to damage, relative to the folder; each with the split that reads it.
        load: What mmps makes of a split, as plain values.
        oracle: The same, read in the simplest way.
    """

    write: Callable[[Path], object]
    files: tuple[tuple[str, bool], ...]
    load: Callable[[Path, bool], Any]
    oracle: Callable[[Path, bool], Any]


def _load_scenes(files: SceneFiles) -> dict[str, Any]:
    index, _ = read_scenes(files)
    if files.test_mode:
        to_search_annotations(index)  # what has been loaded can be evaluated
    return plain_index(index)


def _write_prw(root: Path) -> None:
    write_tiny_prw(root, train_frames=2, test_frames=2, num_ids=2)


def _write_cuhk_sysu(root: Path) -> None:
    write_tiny_cuhk_sysu(root, train_images=2, test_images=4, num_ids=4, gallery_sizes=(50,))


def _load_cuhk03(root: Path, test_mode: bool) -> dict[str, Any]:
    loaded = _load_scenes(CUHK03Files(root, test_mode))
    del loaded['galleries']
    return loaded


def _write_cuhk03(root: Path) -> None:
    write_tiny_cuhk03(root, people=(3,), splits=1)


def _write_coco(root: Path) -> None:
    rng = np.random.default_rng(4)
    for split in ('train', 'test'):
        test_mode = split == 'test'
        index = random_index(rng, test_mode=test_mode, galleries=(50, 'own'))
        write_coco(root / f'{split}.json', index, test_mode=test_mode)


def _write_table(root: Path) -> None:
    root.mkdir(exist_ok=True)
    (root / 'boxes.csv').write_text(
        'image,x1,y1,x2,y2,person_id,camera,is_query\n'
        'one/a.jpg,1,2.5,30,40,anna,1,yes\n'
        '"one/b, c.jpg",5,5,25,45,anna,1,\n'
        '"one/b, c.jpg",35,5,55,45,-1,1,0\n'
        'two/d.jpg,,,,,,2,\n'
        'two/e.jpg,7,8,17,38,7,2,\n'
    )


def _load_table(root: Path, _: bool) -> list[tuple]:
    lines = []
    annotations = Annotations(None)
    read_csv_boxes(root / 'boxes.csv', annotations)
    for image in annotations.images.values():
        lines += [(image.name, image.camera, b.bbox, b.person, b.is_query) for b in image.boxes]
        if not image.boxes:
            lines.append((image.name, image.camera, (), None, False))
    return lines


def _read_table(root: Path, _: bool) -> list[tuple]:
    """The lines of each image together; one without a box only where the image has no other."""
    lines = read_table(root / 'boxes.csv')
    order = {line[0]: place for place, line in reversed(list(enumerate(lines)))}
    boxes = {line[0] for line in lines if line[2]}
    empty: set[str] = set()
    kept = []
    for line in sorted(lines, key=lambda line: order[line[0]]):
        if line[2]:
            kept.append(line)
        elif line[0] not in boxes | empty:
            empty.add(line[0])
            kept.append((*line[:3], None, False))
    return kept


def _write_predictions(root: Path) -> None:
    rows = np.eye(5, 6, dtype=np.float32)
    predictions = SearchPredictions(
        image_names=('a.jpg', 'b.jpg', 'c.jpg'),
        image_splits=[0, 1, 3, 3],
        bboxes=np.float32([[0, 0, 10, 20], [5, 5, 15, 25], [1, 1, 2, 2]]),
        scores=np.float32([0.9, 0.8, 0.1]),
        embeddings=rows[:3],
        query_embeddings=rows[3:],
        query_context_splits=[0, 1, 3],
        query_context_embeddings=rows[:3],
    )
    save_predictions(root / 'p.npz', predictions)


def _load_predictions(root: Path, _: bool) -> dict[str, Any]:
    predictions = load_predictions(root / 'p.npz')
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else list(value)
        for name, value in vars(predictions).items()
        if value is not None
    }


def _read_predictions(root: Path, _: bool) -> dict[str, Any]:
    with np.load(root / 'p.npz', allow_pickle=False) as archive:
        known = SearchPredictions.__dataclass_fields__
        arrays = {name: archive[name] for name in archive.files if name in known}
    return {
        name: (a.astype(np.float32) if a.dtype.kind == 'f' else a).tolist()
        for name, a in arrays.items()
    }


TARGETS: dict[str, Target] = {
    'PRW': Target(
        _write_prw,
        (
            ('frame_train.mat', False),
            ('frame_test.mat', True),
            ('ID_train.mat', False),
            ('query_info.txt', True),
            ('annotations/c1s1_000000.jpg.mat', False),
            ('annotations/c3s1_000002.jpg.mat', True),
        ),
        lambda root, test: _load_scenes(PRWFiles(root, test)),
        read_prw,
    ),
    'CUHK-SYSU': Target(
        _write_cuhk_sysu,
        (
            ('annotation/Images.mat', False),
            ('annotation/Images.mat', True),
            ('annotation/pool.mat', True),
            ('annotation/test/train_test/Train.mat', False),
            ('annotation/test/train_test/TestG50.mat', True),
        ),
        lambda root, test: _load_scenes(CUHKSYSUFiles(root, test, gallery_sizes=(50,))),
        read_cuhk_sysu,
    ),
    'CUHK03': Target(
        _write_cuhk03,
        (
            ('cuhk03_release/cuhk-03.mat', False),
            ('cuhk03_release/cuhk-03.mat', True),
            ('cuhk03_new_protocol_config_labeled.mat', True),
        ),
        _load_cuhk03,
        read_cuhk03,
    ),
    'COCO style': Target(
        _write_coco,
        (('train.json', False), ('test.json', True)),
        lambda root, test: _load_scenes(CocoPersonSearchFiles(root, test)),
        read_coco,
    ),
    'CSV': Target(_write_table, (('boxes.csv', False),), _load_table, _read_table),
    'predictions': Target(
        _write_predictions, (('p.npz', False),), _load_predictions, _read_predictions
    ),
}
"""By the name of the kind."""
