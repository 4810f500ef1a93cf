import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from mmps.synthetic import SyntheticConfig, make_synthetic_dataset, plan
from mmps.synthetic import dataset as dataset_module
from mmps.synthetic import scene as scene_module
from mmps.synthetic.backdrop import make_backdrop

SMALL = SyntheticConfig(
    images=6, identities=3, test_images=6, test_identities=2, queries=4, width=160, height=90
)


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def names(root: Path, split: str) -> list[str]:
    cells = scipy.io.loadmat(root / f'frame_{split}.mat')[f'img_index_{split}']
    assert cells.shape[1] == 1
    return [str(cell[0][0]) for cell in cells]


def rows(root: Path, name: str) -> np.ndarray:
    return scipy.io.loadmat(root / 'annotations' / f'{name}.jpg.mat')['box_new']


MEDIUM = SyntheticConfig(
    images=18,
    identities=6,
    test_images=12,
    test_identities=4,
    queries=10,
    width=240,
    height=135,
    seed=3,
)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('synthetic') / 'set'
    return make_synthetic_dataset(out, MEDIUM, progress=False)


def test_same_bytes_with_one_and_with_two_workers(tmp_path: Path) -> None:
    one = make_synthetic_dataset(tmp_path / 'one', SMALL, workers=1, progress=False)
    two = make_synthetic_dataset(tmp_path / 'two', SMALL, workers=2, progress=False)
    assert digests(one) == digests(two)


def test_another_seed_gives_other_pictures() -> None:
    scene = plan(SMALL)[0]
    other = replace(SMALL, seed=1)
    first = dataset_module.render_scene(SMALL, scene).image
    assert (first == dataset_module.render_scene(SMALL, scene).image).all()
    assert (first != dataset_module.render_scene(other, plan(other)[0]).image).mean() > 0.3


def test_layout_reads_back_as_prw(root: Path) -> None:
    train, test = names(root, 'train'), names(root, 'test')
    assert (len(train), len(test)) == (18, 12)
    assert len(set(train + test)) == 30
    assert sorted(p.stem for p in (root / 'frames').iterdir()) == sorted(train + test)
    assert {int(name[1]) for name in train} == {1, 2, 3, 4, 5, 6}
    for split, frames in (('train', train), ('test', test)):
        ids = scipy.io.loadmat(root / f'ID_{split}.mat')[
            'ID_train' if split == 'train' else 'ID_test2'
        ]
        seen = np.concatenate([rows(root, name)[:, 0] for name in frames])
        assert ids.shape[0] == 1
        assert set(ids[0]) == set(seen[seen != -2])
    assert not (root / '.parts').exists()
    assert not list(root.rglob('*.tmp'))


def test_training_and_test_identities_are_disjoint_and_complete(root: Path) -> None:
    train = set(scipy.io.loadmat(root / 'ID_train.mat')['ID_train'][0].tolist())
    test = set(scipy.io.loadmat(root / 'ID_test.mat')['ID_test2'][0].tolist())
    assert train == set(range(1, 7))
    assert test == set(range(7, 11))


def test_boxes_lie_inside_their_pictures_and_nobody_appears_twice(root: Path) -> None:
    for name in names(root, 'train') + names(root, 'test'):
        picture, people = cv2.imread(str(root / 'frames' / f'{name}.jpg')), rows(root, name)
        assert picture.shape == (135, 240, 3)
        assert people.shape[1:] == (5,)
        assert (people[:, 1:3] >= 0).all()
        assert (people[:, 3:] >= 4).all()
        assert (people[:, 1:3] + people[:, 3:] <= [240, 135]).all()
        known = people[people[:, 0] > 0, 0]
        assert len(set(known)) == len(known)


def test_every_query_is_annotated_and_has_a_match_in_another_camera(root: Path) -> None:
    content = (root / 'query_info.txt').read_bytes()
    assert content.endswith(b'\r\n')
    assert content.count(b'\n') == content.count(b'\r\n') == 10
    test = names(root, 'test')
    for line in content.decode().splitlines():
        pid, *box, name = line.split()
        own = rows(root, name)
        np.testing.assert_allclose(own[own[:, 0] == int(pid), 1:], [[float(v) for v in box]])
        elsewhere = [n for n in test if n[1] != name[1] and int(pid) in rows(root, n)[:, 0]]
        assert elsewhere
        crop = cv2.imread(str(root / 'query_box' / f'{pid}_{name}.jpg'))
        assert crop.shape[:2] == (int(float(box[3])), int(float(box[2])))


def test_complete_folder_is_left_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError('rendered again')

    monkeypatch.setattr(dataset_module, 'render_scene', refuse)
    before = digests(root)
    assert make_synthetic_dataset(root, MEDIUM, progress=False) == root
    assert digests(root) == before


def test_interrupted_rendering_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_synthetic_dataset(tmp_path / 'whole', SMALL, progress=False)
    drawn: list[int] = []
    render = dataset_module.render_scene

    def interrupted(config, scene):
        if len(drawn) == 5:
            raise KeyboardInterrupt
        drawn.append(scene.index)
        return render(config, scene)

    monkeypatch.setattr(dataset_module, 'render_scene', interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_synthetic_dataset(tmp_path / 'part', SMALL, progress=False)
    assert json.loads((tmp_path / 'part' / 'synthetic.json').read_text())['complete'] is False
    resumed: list[int] = []

    def counted(config, scene):
        resumed.append(scene.index)
        return render(config, scene)

    monkeypatch.setattr(dataset_module, 'render_scene', counted)
    part = make_synthetic_dataset(tmp_path / 'part', SMALL, progress=False)
    assert sorted(drawn + resumed) == list(range(12))
    assert digests(part) == digests(whole)


def test_other_parameters_are_refused_by_name(root: Path) -> None:
    before = digests(root)
    with pytest.raises(FileExistsError, match='seed 3 there, 4 asked'):
        make_synthetic_dataset(root, replace(MEDIUM, seed=4), progress=False)
    assert digests(root) == before


def test_foreign_or_damaged_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'holiday.jpg').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'not empty and has no synthetic\.json'):
        make_synthetic_dataset(tmp_path, SMALL, progress=False)
    (tmp_path / 'synthetic.json').write_text('{')
    with pytest.raises(FileExistsError, match='is damaged'):
        make_synthetic_dataset(tmp_path, SMALL, progress=False)
    assert (tmp_path / 'holiday.jpg').read_bytes() == b'mine'


@pytest.mark.parametrize(
    ('options', 'message'), [({'layout': 'voc'}, "layout 'voc'"), ({'workers': 0}, 'workers is 0')]
)
def test_senseless_options_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_synthetic_dataset(tmp_path / 'x', SMALL, progress=False, **options)
    assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('shape', [(300, 320), (180, 500)])
def test_a_photograph_stands_undistorted_behind_the_same_people(
    shape: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of 2 x 2 pixels become the pixels of the scene; what is too high or wide is cut."""
    monkeypatch.setattr(scene_module, 'develop', lambda _camera, light, _rng: light)
    seen = np.random.default_rng(0).integers(256, size=(90, 160, 3)).astype(np.uint8)
    photograph = np.zeros((*shape, 3), np.uint8)
    top, left = (shape[0] - 180) // 2, (shape[1] - 320) // 2
    photograph[top : top + 180, left : left + 320] = seen.repeat(2, 0).repeat(2, 1)
    cv2.imwrite(str(tmp_path / 'empty.png'), photograph[..., ::-1])
    scene = plan(SMALL)[0]
    drawn = dataset_module.render_scene(SMALL, scene)
    behind = dataset_module.render_scene(SMALL, replace(scene, photograph=tmp_path / 'empty.png'))
    free = (drawn.image == make_backdrop(SMALL.seed, scene.camera, 160, 90)).all(2)
    assert free.mean() > 0.4
    np.testing.assert_array_equal(behind.image[free], seen[free])
    for x1, y1, x2, y2 in drawn.boxes.astype(int):
        assert (behind.image == drawn.image).all(2)[y1:y2, x1:x2].mean() > 0.2
    np.testing.assert_array_equal(behind.boxes, drawn.boxes)
    np.testing.assert_array_equal(behind.person_ids, drawn.person_ids)
    np.testing.assert_array_equal(behind.visible, drawn.visible)
