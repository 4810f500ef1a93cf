import cv2
import numpy as np
import pytest
from helpers.prw_files import write_test_set, write_tiny_prw
from scipy.io import loadmat

from mmps.evaluation.functional import SearchAnnotations
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import to_search_annotations


def rows_of(root, name):
    return loadmat(root / 'annotations' / f'{name}.jpg.mat')['box_new']


def names_of(root, split):
    cells = loadmat(root / f'frame_{split}.mat')[f'img_index_{split}']
    return [cell[0] for cell in cells.ravel()]


@pytest.mark.parametrize(('frames', 'num_ids'), [(2, 2), (4, 5), (3, 9)])
def test_layout(tmp_path, frames, num_ids):
    root = write_tiny_prw(tmp_path, frames, frames, num_ids=num_ids)
    ids = {
        'train': loadmat(root / 'ID_train.mat')['ID_train'].ravel(),
        'test': loadmat(root / 'ID_test.mat')['ID_test2'].ravel(),
    }
    assert not set(ids['train']) & set(ids['test'])
    assert ids['train'].max() == 932
    for split, wanted in ids.items():
        seen = []
        for name in names_of(root, split):
            rows = rows_of(root, name)
            assert cv2.imread(str(root / 'frames' / f'{name}.jpg')).shape == (120, 160, 3)
            assert (rows[:, 1:3] >= 0).all() and (rows[:, 1:3] + rows[:, 3:] <= (160, 120)).all()
            # People stand side by side, so that each box shows one of them.
            order = rows[:, 1].argsort()
            assert (rows[order][1:, 1] >= (rows[order][:-1, 1] + rows[order][:-1, 3])).all()
            assert (rows[:, 0] == -2).sum() == 1
            assert len(set(rows[:, 0])) == len(rows)
            seen += rows[:, 0].tolist()
        assert all(seen.count(person_id) >= 2 for person_id in wanted)
        assert set(seen) == {*wanted, -2}


def test_queries_have_positives_elsewhere(tmp_path):
    root = write_tiny_prw(tmp_path)
    content = (root / 'query_info.txt').read_bytes()
    assert content.count(b'\r\n') == content.count(b'\n') == 5
    for line in content.decode().splitlines():
        person_id, *box, name = line.split()
        (row,) = rows_of(root, name)[rows_of(root, name)[:, 0] == int(person_id)]
        np.testing.assert_array_equal(row[1:], np.array(box, float))
        others = [rows_of(root, other) for other in names_of(root, 'test') if other != name]
        assert any(int(person_id) in rows[:, 0] for rows in others)


def test_six_cameras_empty_frames_and_seed(tmp_path):
    root = write_tiny_prw(tmp_path / 'a', 6, 6, empty_frame=True)
    names = names_of(root, 'train')
    assert [name[1] for name in names] == list('1234561')
    assert rows_of(root, names[-1]).size == 0
    assert rows_of(root, names[0]).size > 0
    assert len(names_of(root, 'test')) == 7
    image = root / 'frames' / f'{names[0]}.jpg'
    again = write_tiny_prw(tmp_path / 'b', 6, 6, empty_frame=True) / 'frames' / image.name
    other = write_tiny_prw(tmp_path / 'c', 6, 6, seed=1) / 'frames' / image.name
    assert image.read_bytes() == again.read_bytes() != other.read_bytes()


def test_too_small(tmp_path):
    with pytest.raises(ValueError, match='two frames'):
        write_tiny_prw(tmp_path, train_frames=1)


def test_any_test_set(tmp_path):
    given = SearchAnnotations(
        image_names=('c2s1_000007.jpg', 'c1s1_000003.jpg', 'c6s1_000001.jpg'),
        cameras=[2, 1, 6],
        box_splits=[0, 2, 2, 3],
        bboxes=[[10.254, 20, 30.5, 70.75], [-3, 5, 9.5, 40], [0, 1, 2, 3.999]],
        person_ids=[484, -1, 484],
        query_images=[2, 0],
        query_bboxes=[[0, 1, 2, 3.999], [10.254, 20, 30.5, 70.75]],
        query_person_ids=[484, 484],
    )
    root = write_test_set(tmp_path / 'set', given)
    keys = ('box_new', 'anno_file', 'anno_previous')
    rows = [
        loadmat(root / 'annotations' / f'{name}.mat')[key]
        for name, key in zip(given.image_names, keys, strict=True)
    ]
    np.testing.assert_allclose(rows[0], [[484, 10.25, 20, 20.25, 50.75], [-2, -3, 5, 12.5, 35]])
    assert rows[1].shape == (0, 5)
    lines = (root / 'query_info.txt').read_bytes()
    assert lines.startswith(b'484 0.0 1.0 2.0 3.0 c6s1_000001\r\n484 10.25 20.0 ')
    read = to_search_annotations(read_scenes(PRWFiles(root, test_mode=True))[0])
    assert read.image_names == given.image_names
    assert read.cameras.tolist() == [2, 1, 6]
    assert read.person_ids.tolist() == [484, -1, 484]
    assert read.bboxes.tolist() == [[10, 20, 30, 70], [0, 5, 12, 40], [0, 1, 2, 4]]
    assert read.query_bboxes.tolist() == [[0, 1, 2, 4], [10, 20, 30, 70]]
