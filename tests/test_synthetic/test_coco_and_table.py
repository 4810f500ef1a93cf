"""The layouts of own cameras, checked through what reads them."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.synthetic import SyntheticConfig, make_synthetic_dataset

SMALL = SyntheticConfig(
    images=6, identities=3, test_images=6, test_identities=2, queries=4, width=160, height=90
)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('synthetic')
    for layout in ('coco', 'csv', 'prw'):
        make_synthetic_dataset(folder / layout, SMALL, layout=layout, progress=False)
    return folder


@pytest.mark.parametrize('test_mode', [False, True])
def test_coco_says_what_prw_says(root: Path, test_mode: bool) -> None:
    coco, removed = read_scenes(CocoPersonSearchFiles(root / 'coco', test_mode))
    prw, _ = read_scenes(PRWFiles(root / 'prw', test_mode))
    assert removed == []
    assert coco.num_ids == prw.num_ids
    assert len(coco.frames) == len(prw.frames) == 6
    for ours, theirs in zip(coco.frames, prw.frames, strict=True):
        assert ours.name == f'camera_{theirs.camera}/{theirs.name}'
        assert ours.camera == theirs.camera
        np.testing.assert_array_equal(np.trunc(ours.bboxes), theirs.bboxes)
        np.testing.assert_array_equal(ours.person_ids, theirs.person_ids)
    # the order of the queries is that of the annotations
    ours, theirs = (
        {(query.image_name.split('/')[-1], query.person_id) for query in index.queries}
        for index in (coco, prw)
    )
    assert ours == theirs
    assert len(ours) == (4 if test_mode else 0)


def test_images_are_there_and_measured(root: Path) -> None:
    for split in ('train', 'test'):
        for image in json.loads((root / 'coco' / f'{split}.json').read_text())['images']:
            picture = cv2.imread(str(root / 'coco' / 'images' / image['file_name']))
            assert picture.shape[:2] == (image['height'], image['width']) == (90, 160)
    assert not (root / 'coco' / '.parts').exists()


def test_the_table_lists_every_person_and_every_image(root: Path) -> None:
    with open(root / 'csv' / 'boxes.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    people = []
    for test_mode in (False, True):
        for frame in read_scenes(CocoPersonSearchFiles(root / 'coco', test_mode))[0].frames:
            for box in frame.bboxes.tolist():
                people.append((frame.name, *box))
    listed = [
        (row['image'], *(float(row[key]) for key in ('x1', 'y1', 'x2', 'y2')))
        for row in rows
        if row['person_id']
    ]
    assert sorted(listed) == sorted(people)
    assert {int(row['person_id']) for row in rows if row['person_id']} - {-1} == {1, 2, 3, 4, 5}
    images = {
        p.relative_to(root / 'csv' / 'images').as_posix() for p in root.glob('csv/images/*/*')
    }
    assert {row['image'] for row in rows} == images
    assert len(images) == 12
