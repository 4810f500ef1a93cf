import json
import os
import random
import re
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03

from mmps.formats import cuhk03
from mmps.formats.cuhk03 import COMPLETE, Crop, read_crops, read_test_people, unpack_crops
from mmps.formats.mat import Mat73File, cell_array, write_mat73

PICTURE = np.zeros((8, 4, 3), np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'cuhk-03.mat'


def write(path, rows=None, testset=((1, 1),), **variables):
    """A file with one camera pair; ``rows`` of ten pictures each."""
    pairs = cell_array([rows_cell([[PICTURE] * 10] if rows is None else rows)])
    content = dict(
        detected=pairs, labeled=pairs, testsets=cell_array([np.array(testset, np.float64)])
    )
    write_mat73(path, **{**content, **variables})


def rows_cell(rows):
    return cell_array([picture for row in rows for picture in row], (len(rows), -1))


def test_names_views_and_cameras():
    names = [Crop(3, 12, number, 1, 1).name for number in (1, 5, 6, 10)]
    assert names == ['3_012_1_01.png', '3_012_1_05.png', '3_012_2_06.png', '3_012_2_10.png']
    assert [Crop(3, 12, number, 1, 1).camera for number in (5, 6)] == [5, 6]
    assert Crop(3, 12, 6, 1, 1).cell('labelled') == 'labeled{3}{12,6}'


def test_crops_in_order_without_empty_cells(path):
    wide = np.zeros((8, 30, 3), np.uint8)
    no_picture = np.zeros((0, 5, 3), np.uint8)
    grey = np.zeros((8, 4), np.uint8)
    write(path, [[wide, None, PICTURE, *[None] * 7], [no_picture, grey, *[PICTURE] * 8]])
    crops = read_crops(path, 'labelled')
    assert crops[:2] == [Crop(1, 1, 1, 30, 8), Crop(1, 1, 3, 4, 8)]
    assert [(crop.person, crop.number) for crop in crops[2:]] == [(2, n) for n in range(3, 11)]


@pytest.mark.parametrize(
    'picture',
    [np.zeros((8, 4, 4), np.uint8), np.zeros((8, 4, 3)), np.zeros((8, 4, 3, 2), np.uint8)],
)
def test_a_picture_of_another_kind(path, picture):
    write(path, [[PICTURE, picture, *[PICTURE] * 8]])
    message = f'cuhk-03.mat: detected{{1}}{{1,2}}: {picture.dtype} values of shape {picture.shape}'
    with pytest.raises(ValueError, match=re.escape(message)):
        read_crops(path, 'detected')


def test_other_cells(path):
    with pytest.raises(FileNotFoundError, match=r'cuhk-03\.mat: .*data_root'):
        read_crops(path, 'labelled')
    write(path, [[PICTURE] * 9])
    with pytest.raises(ValueError, match=r'labeled\{1\}: a cell of shape \(1, 9\)'):
        read_crops(path, 'labelled')
    write(path, labeled=np.zeros((5, 1)))
    with pytest.raises(ValueError, match='labeled: is not a cell'):
        read_crops(path, 'labelled')
    write(path, labeled=cell_array([np.zeros((5, 1))]))
    with pytest.raises(ValueError, match=r'labeled\{1\}: is not a cell'):
        read_crops(path, 'labelled')
    write(path, labeled=cell_array([rows_cell([[PICTURE] * 10])] * 10))
    with pytest.raises(ValueError, match='labeled: 10 camera pairs'):
        read_crops(path, 'labelled')


def test_wrong_keys(path):
    write_mat73(path, labelled=cell_array([None]), testsets=cell_array([None]))
    with pytest.raises(
        ValueError, match='labeled: there is no such variable, but labelled, testsets'
    ):
        read_crops(path, 'labelled')


def test_another_file(path):
    path.write_bytes(b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x00\x01IM' + bytes(400))
    with pytest.raises(ValueError, match=r'cuhk-03\.mat: .*of another version, save it'):
        read_crops(path, 'labelled')
    path.unlink()
    path.mkdir()
    with pytest.raises(FileNotFoundError, match=r'cuhk-03\.mat: '):
        read_crops(path, 'labelled')


def test_dangling_references(path):
    write(path)
    with h5py.File(path, 'r+') as file:
        pair = file[file['labeled'][0, 0]]
        pair[3, 0] = h5py.Reference()
    with pytest.raises(ValueError, match=r'cuhk-03\.mat: labeled\{1\}\{1,4\}: '):
        read_crops(path, 'labelled')
    with h5py.File(path, 'r+') as file:
        file[file['labeled'][0, 0]][3, 0] = file['#refs#'].ref
    with pytest.raises(ValueError, match=r'\{1,4\}: the reference does not point at an array'):
        read_crops(path, 'labelled')


def test_a_size_that_would_take_all_memory(path):
    write(path)
    with h5py.File(path, 'r+') as file:
        huge = file['#refs#'].create_dataset('huge', (3, 2**20, 2**20), np.uint8, chunks=True)
        file[file['labeled'][0, 0]][0, 0] = huge.ref
    with pytest.raises(ValueError, match=r'labeled\{1\}\{1,1\}: shape .* is not plausible'):
        read_crops(path, 'labelled')


def test_test_people(path):
    write(path, [[PICTURE] * 10] * 3, testset=[(1, 3), (1, 1)])
    assert read_test_people(path, 0) == {(1, 3), (1, 1)}


@pytest.mark.parametrize('row', [(0, 1), (2, 1), (1, 0), (1, 2), (1, 1.5), (np.nan, 1), (-1, 1)])
def test_a_test_person_who_does_not_exist(path, row):
    write(path, testset=[(1, 1), row])
    with pytest.raises(ValueError, match=r'cuhk-03\.mat: testsets\{1\}\(2,:\) is \['):
        read_test_people(path, 0)


@pytest.mark.parametrize('testset', [np.zeros((0, 2)), np.ones((3, 3)), np.ones((3, 2, 2))])
def test_test_people_in_another_shape(path, testset):
    write(path, testsets=cell_array([testset]))
    with pytest.raises(ValueError, match=r'cuhk-03\.mat: testsets\{1\}: shape'):
        read_test_people(path, 0)


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
    root = write_tiny_cuhk03(tmp_path_factory.mktemp('sound'), people=(3,), splits=1)
    return (root / 'cuhk03_release/cuhk-03.mat').read_bytes()


def test_every_truncation_is_a_clear_error(path, sound):
    for length in range(0, len(sound), len(sound) // 60):
        path.write_bytes(sound[:length])
        with pytest.raises(ValueError, match=r'cuhk-03\.mat: cannot be read'):
            read_crops(path, 'labelled')


def test_damage_is_a_clear_error_or_changes_no_box(path, sound):
    path.write_bytes(sound)
    crops, people = read_crops(path, 'labelled'), read_test_people(path, 0)
    errors = 0
    for seed in range(100):
        rng, content = random.Random(seed), bytearray(sound)
        for _ in range(rng.choice([1, 3, 10, 50])):
            content[rng.randrange(len(content))] = rng.choice([0, 127, 255, rng.randrange(256)])
        path.write_bytes(content)
        try:
            assert (read_crops(path, 'labelled'), read_test_people(path, 0)) == (crops, people)
        except ValueError as error:
            assert str(error).startswith(f'{path}: ')
            errors += 1
    assert errors > 20


@pytest.fixture
def source(tmp_path):
    root = write_tiny_cuhk03(tmp_path / 'cuhk03', people=(3, 3), splits=1)
    return root / 'cuhk03_release/cuhk-03.mat'


@pytest.fixture
def folder(source):
    return source.parent / 'images_labelled'


def test_pixels(source, folder):
    unpack_crops(source, 'labelled', folder)
    names = [crop.name for crop in read_crops(source, 'labelled')]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, COMPLETE])
    with h5py.File(source) as file:
        for pair, person, number, name in [
            (0, 0, 0, '1_001_1_01.png'),
            (0, 2, 4, '1_003_1_05.png'),
            (1, 1, 9, '2_002_2_10.png'),
        ]:
            stored = file[file[file['labeled'][0, pair]][number, person]][()]
            rgb = cv2.imread(str(folder / name))[..., ::-1]
            np.testing.assert_array_equal(rgb, stored.transpose(2, 1, 0))


def test_detected_crops_have_a_folder_of_their_own(source, folder):
    unpack_crops(source, 'labelled', folder)
    unpack_crops(source, 'detected', source.parent / 'images_detected')
    names = [
        {path.name for path in f.glob('*.png')} for f in (folder, folder.parent / 'images_detected')
    ]
    assert names[0] - names[1] == {'1_001_2_10.png'}


def test_a_complete_folder_is_recognised_without_opening_the_file(source, folder, monkeypatch):
    unpack_crops(source, 'labelled', folder)

    def refuse(*_):
        raise AssertionError('opened again')

    monkeypatch.setattr(cuhk03, 'Mat73File', refuse)
    unpack_crops(source, 'labelled', folder)


def test_an_interrupted_run_is_completed(source, folder, monkeypatch):
    array, done = Mat73File.array, []

    def interrupted(file, *place):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(place)
        return array(file, *place)

    monkeypatch.setattr(Mat73File, 'array', interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack_crops(source, 'labelled', folder)
    assert len(list(folder.iterdir())) == 7
    monkeypatch.undo()
    unpack_crops(source, 'labelled', folder)
    assert len(list(folder.iterdir())) == len(read_crops(source, 'labelled')) + 1


@pytest.mark.parametrize('complete', [True, False])
def test_another_file_replaces_every_crop(source, folder, complete):
    unpack_crops(source, 'labelled', folder)
    if not complete:
        (folder / COMPLETE).unlink()
    old = (folder / '1_001_1_01.png').read_bytes()
    other = write_tiny_cuhk03(folder.parents[2] / 'other', people=(3, 3), splits=1, seed=1)
    os.replace(other / 'cuhk03_release/cuhk-03.mat', source)
    unpack_crops(source, 'labelled', folder)
    assert (folder / '1_001_1_01.png').read_bytes() != old
    sizes = {crop.name: (crop.height, crop.width) for crop in read_crops(source, 'labelled')}
    for name, size in sizes.items():
        assert cv2.imread(str(folder / name)).shape[:2] == size


@pytest.mark.parametrize('content', ['', '{', '[]', '{"size": 1}'])
def test_a_damaged_record_counts_as_none(source, folder, content):
    unpack_crops(source, 'labelled', folder)
    record = folder / COMPLETE
    sound = record.read_text()
    record.write_text(content)
    unpack_crops(source, 'labelled', folder)
    assert json.loads(record.read_text()) == json.loads(sound)


def test_processes_at_once(source, folder):
    code = (
        'import sys; from pathlib import Path; from mmps.formats.cuhk03 import unpack_crops;'
        'unpack_crops(Path(sys.argv[1]), "labelled", Path(sys.argv[2]))'
    )
    command = [sys.executable, '-c', code, str(source), str(folder)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    crops = read_crops(source, 'labelled')
    assert sorted(p.name for p in folder.iterdir()) == sorted([*(c.name for c in crops), COMPLETE])
    for crop in crops:
        assert cv2.imread(str(folder / crop.name)).shape == (crop.height, crop.width, 3)


def test_crops_cannot_be_written(source, folder):
    folder.write_text('in the way')
    with pytest.raises(OSError, match='images_labelled: the crops of cuhk-03.mat cannot be'):
        unpack_crops(source, 'labelled', folder)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'cuhk-03\.mat: .* missing'):
        unpack_crops(tmp_path / 'cuhk-03.mat', 'labelled', tmp_path / 'images')
    assert not (tmp_path / 'images').exists()
