"""The CUHK03 layout: crops of the rendered scenes, and both protocols."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmps.formats.cuhk03 import CUHK03Files
from mmps.formats.cuhk03_crops import read_crops, unpack_crops
from mmps.synthetic import SyntheticConfig, make_synthetic_dataset, plan, writers
from mmps.synthetic.planning import Labels
from mmps.synthetic.writers import LAYOUTS

SMALL = SyntheticConfig(
    images=8, identities=2, test_images=12, test_identities=2, queries=2, width=240, height=135
)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('synthetic') / 'set'
    return make_synthetic_dataset(out, SMALL, layout='cuhk03', progress=False)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_nothing_but_the_files_of_the_layout(root: Path) -> None:
    assert sorted(digests(root)) == [
        'cuhk03_new_protocol_config_detected.mat',
        'cuhk03_new_protocol_config_labeled.mat',
        'cuhk03_release/cuhk-03.mat',
        'synthetic.json',
    ]


def test_same_bytes_again(root: Path, tmp_path: Path) -> None:
    again = make_synthetic_dataset(
        tmp_path / 'set', SMALL, layout='cuhk03', workers=2, progress=False
    )
    assert digests(again) == digests(root)


@pytest.mark.parametrize('boxes', ['labelled', 'detected'])
@pytest.mark.parametrize('protocol', ['new', 'classic'])
def test_reads_back(root: Path, boxes: str, protocol: str) -> None:
    train, test = (
        CUHK03Files(root, test_mode, boxes=boxes, protocol=protocol).read()
        for test_mode in (False, True)
    )
    assert train.num_ids >= 2
    assert not {f.name for f in train.frames} & {f.name for f in test.frames}
    gallery = test.galleries['new' if protocol == 'new' else 'classic']
    assert len(gallery) >= 2
    assert len(gallery.positives) >= len(gallery)


def test_new_protocol_tests_people_of_the_test_scenes(root: Path) -> None:
    index = CUHK03Files(root, test_mode=True).read()
    people = {int(frame.person_ids[0]) for frame in index.frames}
    assert 1 <= len(people) <= 2
    assert len(index.queries) == 2 * len(people)


def test_a_person_has_up_to_five_crops_of_each_of_two_cameras(root: Path) -> None:
    crops = read_crops(root / 'cuhk03_release/cuhk-03.mat', 'labelled')
    assert len({(crop.pair, crop.person) for crop in crops}) == 4
    assert {crop.view for crop in crops} == {1, 2}
    assert max(crop.number for crop in crops) <= 10
    detected = read_crops(root / 'cuhk03_release/cuhk-03.mat', 'detected')
    assert {crop.name for crop in detected} <= {crop.name for crop in crops}


def test_cut_stays_inside_the_picture() -> None:
    picture = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    cut = writers._cut
    np.testing.assert_array_equal(cut(picture, np.array([1, 1, 3, 4.0])), picture[1:4, 1:3])
    np.testing.assert_array_equal(cut(picture, np.array([0.9, -3, 2.1, 99])), picture[:, 0:3])
    assert cut(picture, np.array([50, 50, 60, 60.0])).shape == (1, 1, 3)
    assert cut(picture, np.array([-9, -9, -5, -5.0])).shape == (1, 1, 3)


def labels(*people: int) -> Labels:
    boxes = np.tile([0.0, 0, 9, 9], (len(people), 1))
    return Labels(np.array(people), boxes, np.linspace(0.5, 1, len(people)))


def test_an_identity_gets_the_two_cameras_that_show_it_most() -> None:
    scenes = plan(SMALL)
    by_camera = {c: [k for k, s in enumerate(scenes) if s.camera == c] for c in range(6)}
    shown = {by_camera[4][0]: (1,), by_camera[4][1]: (1, -1), by_camera[1][0]: (1, 2)}
    shown |= {by_camera[1][1]: (1,), by_camera[0][0]: (1,)}
    cast = writers._cast(scenes, [labels(*shown.get(k, ())) for k in range(len(scenes))])
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
    scenes, people = plan(SMALL), []
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
    test = [k for k, scene in enumerate(plan(SMALL)) if scene.is_test]
    two_cameras = [k for k in test if plan(SMALL)[k].camera in (2, 5)]
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
