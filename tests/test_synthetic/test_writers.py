"""The layouts of rendered data sets, checked through what reads them."""

import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmps.formats import load_scenes
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.cuhk03 import CUHK03Files, read_crops, unpack_crops
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.synthetic import SyntheticConfig, make_synthetic_dataset, plan, writers
from mmps.synthetic.planning import Labels, choose_queries
from mmps.synthetic.writers import LAYOUTS

SMALL = SyntheticConfig(
    images=6, identities=3, test_images=6, test_identities=2, queries=4, width=160, height=90
)


@pytest.fixture(scope='module')
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('synthetic')
    for layout in ('coco', 'csv', 'prw'):
        make_synthetic_dataset(folder / layout, SMALL, layout=layout, progress=False)
    return folder


@pytest.mark.parametrize('test_mode', [False, True])
def test_coco_says_what_prw_says(folders: Path, test_mode: bool) -> None:
    coco, removed = read_scenes(CocoPersonSearchFiles(folders / 'coco', test_mode))
    prw, _ = read_scenes(PRWFiles(folders / 'prw', test_mode))
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


def test_images_are_there_and_measured(folders: Path) -> None:
    for split in ('train', 'test'):
        for image in json.loads((folders / 'coco' / f'{split}.json').read_text())['images']:
            picture = cv2.imread(str(folders / 'coco' / 'images' / image['file_name']))
            assert picture.shape[:2] == (image['height'], image['width']) == (90, 160)
    assert not (folders / 'coco' / '.parts').exists()


def test_the_table_lists_every_person_and_every_image(folders: Path) -> None:
    with open(folders / 'csv' / 'boxes.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    people = []
    for test_mode in (False, True):
        for frame in read_scenes(CocoPersonSearchFiles(folders / 'coco', test_mode))[0].frames:
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
        p.relative_to(folders / 'csv' / 'images').as_posix() for p in folders.glob('csv/images/*/*')
    }
    assert {row['image'] for row in rows} == images
    assert len(images) == 12


CROPS = SyntheticConfig(
    images=8, identities=2, test_images=12, test_identities=2, queries=2, width=240, height=135
)


@pytest.fixture(scope='module')
def crops_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('synthetic') / 'set'
    return make_synthetic_dataset(out, CROPS, layout='cuhk03', progress=False)


def digests_of(crops_root: Path) -> dict[str, str]:
    files = sorted(path for path in crops_root.rglob('*') if path.is_file())
    return {
        str(p.relative_to(crops_root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def test_nothing_but_the_files_of_the_layout(crops_root: Path) -> None:
    assert sorted(digests_of(crops_root)) == [
        'cuhk03_new_protocol_config_detected.mat',
        'cuhk03_new_protocol_config_labeled.mat',
        'cuhk03_release/cuhk-03.mat',
        'synthetic.json',
    ]


def test_same_bytes_again(crops_root: Path, tmp_path: Path) -> None:
    again = make_synthetic_dataset(
        tmp_path / 'set', CROPS, layout='cuhk03', workers=2, progress=False
    )
    assert digests_of(again) == digests_of(crops_root)


@pytest.mark.parametrize('boxes', ['labelled', 'detected'])
@pytest.mark.parametrize('protocol', ['new', 'classic'])
def test_reads_back(crops_root: Path, boxes: str, protocol: str) -> None:
    train, test = (
        CUHK03Files(crops_root, test_mode, boxes=boxes, protocol=protocol).read()
        for test_mode in (False, True)
    )
    assert train.num_ids >= 2
    assert not {f.name for f in train.frames} & {f.name for f in test.frames}
    gallery = test.galleries['new' if protocol == 'new' else 'classic']
    assert len(gallery) >= 2
    assert len(gallery.positives) >= len(gallery)


def test_new_protocol_tests_people_of_the_test_scenes(crops_root: Path) -> None:
    index = CUHK03Files(crops_root, test_mode=True).read()
    people = {int(frame.person_ids[0]) for frame in index.frames}
    assert 1 <= len(people) <= 2
    assert len(index.queries) == 2 * len(people)


def test_a_person_has_up_to_five_crops_of_each_of_two_cameras(crops_root: Path) -> None:
    crops = read_crops(crops_root / 'cuhk03_release/cuhk-03.mat', 'labelled')
    assert len({(crop.pair, crop.person) for crop in crops}) == 4
    assert {crop.view for crop in crops} == {1, 2}
    assert max(crop.number for crop in crops) <= 10
    detected = read_crops(crops_root / 'cuhk03_release/cuhk-03.mat', 'detected')
    assert {crop.name for crop in detected} <= {crop.name for crop in crops}


def test_cut_stays_inside_the_picture() -> None:
    picture = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    cut = writers._cut
    np.testing.assert_array_equal(cut(picture, np.array([1, 1, 3, 4.0])), picture[1:4, 1:3])
    np.testing.assert_array_equal(cut(picture, np.array([0.9, -3, 2.1, 99])), picture[:, 0:3])
    assert cut(picture, np.array([50, 50, 60, 60.0])).shape == (1, 1, 3)
    assert cut(picture, np.array([-9, -9, -5, -5.0])).shape == (1, 1, 3)


def labels_of(*people: int) -> Labels:
    boxes = np.tile([0.0, 0, 9, 9], (len(people), 1))
    return Labels(np.array(people), boxes, np.linspace(0.5, 1, len(people)))


def test_an_identity_gets_the_two_cameras_that_show_it_most() -> None:
    scenes = plan(CROPS)
    by_camera = {c: [k for k, s in enumerate(scenes) if s.camera == c] for c in range(6)}
    shown = {by_camera[4][0]: (1,), by_camera[4][1]: (1, -1), by_camera[1][0]: (1, 2)}
    shown |= {by_camera[1][1]: (1,), by_camera[0][0]: (1,)}
    cast = writers._cast(scenes, [labels_of(*shown.get(k, ())) for k in range(len(scenes))])
    # Person 1: cameras 1 and 4; person 2 is seen by camera 1 alone. Both are of that camera's pair.
    assert cast.people == [2]
    assert cast.places == {
        (by_camera[1][0], 0): (1, 1, 1),
        (by_camera[1][1], 0): (1, 1, 2),
        (by_camera[4][0], 0): (1, 1, 6),
        (by_camera[4][1], 0): (1, 1, 7),
        (by_camera[1][0], 1): (1, 2, 1),
    }


def write_scenes(root: Path, shown: dict[int, tuple[int, ...]]) -> None:
    """Write the layout from scenes in which each person is a rectangle of one colour."""
    scenes, people = plan(CROPS), []
    for number, scene in enumerate(scenes):
        ids = shown.get(number, ())
        boxes = np.array([[40 * k + 4, 10, 40 * k + 34, 90] for k in range(len(ids))], float)
        people.append(Labels(np.array(ids, int), boxes.reshape(-1, 4), np.ones(len(ids))))
        picture = np.full((135, 240, 3), 128, np.uint8)
        for person, (x1, y1, x2, y2) in zip(ids, boxes.astype(int), strict=True):
            picture[y1:y2, x1:x2] = COLOURS[person]
        path = LAYOUTS['cuhk03'].image(root, scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture[..., ::-1])
    LAYOUTS['cuhk03'].write(root, scenes, people, [])


COLOURS = {1: (230, 20, 20), 2: (20, 230, 20), 3: (20, 20, 230), -1: (255, 255, 255)}


def test_crops_show_their_person(tmp_path: Path) -> None:
    test = [k for k, scene in enumerate(plan(CROPS)) if scene.is_test]
    two_cameras = [k for k in test if plan(CROPS)[k].camera in (2, 5)]
    assert len(two_cameras) == 4
    write_scenes(tmp_path, {**dict.fromkeys(two_cameras, (1, -1, 3)), 0: (2,), 1: (2, -1)})
    index = CUHK03Files(tmp_path, test_mode=True).read()
    # Labels number the people of the pairs, whose order is that of their cameras.
    colour_of = {}
    for boxes in ('labelled', 'detected'):
        unpack_crops(tmp_path / 'cuhk03_release/cuhk-03.mat', boxes, tmp_path / boxes)
        for path in (tmp_path / boxes).glob('*.png'):
            image = cv2.imread(str(path))[..., ::-1]
            person = path.name[:5]
            middle = image[len(image) // 4 : -len(image) // 4, image.shape[1] // 3]
            colour_of.setdefault(person, []).append(tuple((middle.mean(0) > 128).tolist()))
            if boxes == 'labelled':
                assert image.shape == (80, 30, 3)
    assert {len(set(colours)) for colours in colour_of.values()} == {1}
    assert {colours[0] for colours in colour_of.values()} == {
        (True, False, False),
        (False, True, False),
        (False, False, True),
    }
    assert len({int(frame.person_ids[0]) for frame in index.frames}) == 2
    assert len(index.frames) == 8


def test_too_few_pictures_name_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='give more test images'):
        write_scenes(tmp_path, {0: (1,), 1: (1,), 15: (2,)})


SUBSETS = ('occlusion', 'resolution')


def written(root, **sizes):
    """Write the annotations of a planned set; returns scenes, labels and queries."""
    config = SyntheticConfig(**{'images': 8, 'identities': 4, **sizes})
    rng = np.random.default_rng(1)
    scenes, labels = plan(config), []
    for scene in scenes:
        ids = np.array([*scene.people, *[-1] * scene.passers_by])
        corner = rng.uniform(0, 200, (len(ids), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(10, 60, (len(ids), 2))], 1)
        labels.append(Labels(ids, boxes.astype(np.float32), rng.uniform(0.45, 1, len(ids))))
    queries = choose_queries(config, scenes, labels)
    LAYOUTS['cuhk_sysu'].write(root, scenes, labels, queries)
    return scenes, labels, queries


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp('set')
    return root, *written(root, test_images=120, test_identities=30, queries=60)


def test_everybody_is_read_back(case):
    root, scenes, labels, _ = case
    people = {f's{s.index + 1}.jpg': label for s, label in zip(scenes, labels, strict=True)}
    train, _ = load_scenes(CUHKSYSUFiles(root))
    test, _ = load_scenes(CUHKSYSUFiles(root, True))
    assert {frame.name for frame in (*train.frames, *test.frames)} == set(people)
    assert [frame.name for frame in test.frames] == [f's{s.index + 1}.jpg' for s in scenes[8:]]
    assert train.num_ids == 4
    for frame in train.frames:
        ids = people[frame.name].person_ids
        assert frame.person_ids.tolist() == np.where(ids > 0, ids - 1, -1).tolist()
    number_of = {}
    for frame in (*train.frames, *test.frames):
        label = people[frame.name]
        assert (frame.bboxes[:, :2] <= label.boxes[:, :2]).all()
        assert (frame.bboxes[:, 2:] >= label.boxes[:, 2:]).all()
        assert np.abs(frame.bboxes - label.boxes).max() < 1
    for frame in test.frames:
        ids = people[frame.name].person_ids
        assert ((frame.person_ids < 0) == (ids < 0)).all()
        for person, number in zip(ids[ids >= 0], frame.person_ids[ids >= 0], strict=True):
            assert number_of.setdefault(person, number) == number
    assert len(set(number_of.values())) == len(number_of)


def test_galleries(case):
    root, scenes, labels, queries = case
    index, _ = load_scenes(CUHKSYSUFiles(root, True, (50, 100)))
    assert not (root / 'annotation/test/train_test/TestG500.mat').exists()
    shown_in = {}
    for scene, label in zip(scenes[8:], labels[8:], strict=True):
        for person in label.person_ids[label.person_ids >= 0]:
            shown_in.setdefault(int(person), set()).add(scene.index - 8)
    for size, gallery in index.galleries.items():
        assert np.diff(gallery.splits).tolist() == [size] * 60
        for number, query in enumerate(queries):
            own = query.scene - 8
            person = int(labels[query.scene].person_ids[query.row])
            entries = range(gallery.splits[number], gallery.splits[number + 1])
            images = [int(gallery.images[entry]) for entry in entries]
            assert len(set(images)) == size
            assert own not in images
            found = {images[e - entries[0]] for e in gallery.positives if e in entries}
            assert found == shown_in[person] - {own}
            assert set(images[: len(found)]) == found


def test_subsets_are_the_most_hidden_and_the_smallest_queries(case):
    root, _, labels, queries = case
    index, _ = load_scenes(CUHKSYSUFiles(root, True, (100,), SUBSETS))
    visible = np.array([labels[q.scene].visible[q.row] for q in queries])
    boxes = np.array([query.bbox for query in index.queries])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    for name, measure, share in (
        ('occlusion', visible, 187 / 2900),
        ('resolution', area, 290 / 2900),
    ):
        chosen = index.galleries[name].queries
        assert len(chosen) == round(60 * share)
        assert measure[chosen].max() <= np.delete(measure, chosen).min()
        whole = index.galleries[100]
        for search, query in enumerate(chosen):
            part = index.galleries[name]
            np.testing.assert_array_equal(
                part.images[part.splits[search] : part.splits[search + 1]],
                whole.images[whole.splits[query] : whole.splits[query + 1]],
            )


def test_few_test_images_make_one_small_gallery(tmp_path):
    written(tmp_path, test_images=12, test_identities=4, queries=5)
    files = sorted(path.name for path in tmp_path.rglob('Test*.mat'))
    assert files == ['TestG50.mat']
    index, _ = load_scenes(CUHKSYSUFiles(tmp_path, True, (50,), SUBSETS))
    assert np.diff(index.galleries[50].splits).tolist() == [11] * 5


def test_same_bytes(tmp_path):
    for name in 'ab':
        written(tmp_path / name, test_images=12, test_identities=4, queries=5)
    for path in (tmp_path / 'a').rglob('*.mat'):
        assert path.read_bytes() == (tmp_path / 'b' / path.relative_to(tmp_path / 'a')).read_bytes()


def test_rendered(tmp_path):
    config = SyntheticConfig(
        **dict(images=4, identities=2, test_images=4, test_identities=2, queries=2),
        **dict(width=160, height=90),
    )
    root = make_synthetic_dataset(tmp_path / 'set', config, layout='cuhk_sysu', progress=False)
    assert sorted(path.name for path in root.iterdir()) == ['Image', 'annotation', 'synthetic.json']
    images = {path.name for path in (root / 'Image/SSM').iterdir()}
    assert images == {f's{k}.jpg' for k in range(1, 9)}
    index, _ = load_scenes(CUHKSYSUFiles(root, True, (50,), SUBSETS))
    assert len(index.queries) == 2
