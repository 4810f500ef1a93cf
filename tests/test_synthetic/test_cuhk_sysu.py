"""The synthetic set in CUHK-SYSU's layout: planned as ever, its labels made up, nothing drawn."""

import numpy as np
import pytest

from mmps.formats import load_scenes
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.synthetic import SyntheticConfig, make_synthetic_dataset, plan
from mmps.synthetic.planning import Labels, choose_queries
from mmps.synthetic.writers import LAYOUTS

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
