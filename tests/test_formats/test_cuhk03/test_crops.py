import random
import re

import h5py
import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03

from mmps.formats.cuhk03.crops import Crop, read_crops, read_test_people
from mmps.synthetic.mat73 import cell, write_mat73

PICTURE = np.zeros((8, 4, 3), np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'cuhk-03.mat'


def write(path, rows=None, testset=((1, 1),), **variables):
    """A file with one camera pair; ``rows`` of ten pictures each."""
    pairs = cell([rows_cell([[PICTURE] * 10] if rows is None else rows)])
    content = dict(detected=pairs, labeled=pairs, testsets=cell([np.array(testset, np.float64)]))
    write_mat73(path, **{**content, **variables})


def rows_cell(rows):
    return cell([picture for row in rows for picture in row], (len(rows), -1))


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
    write(path, labeled=cell([np.zeros((5, 1))]))
    with pytest.raises(ValueError, match=r'labeled\{1\}: is not a cell'):
        read_crops(path, 'labelled')
    write(path, labeled=cell([rows_cell([[PICTURE] * 10])] * 10))
    with pytest.raises(ValueError, match='labeled: 10 camera pairs'):
        read_crops(path, 'labelled')


def test_wrong_keys(path):
    write_mat73(path, labelled=cell([None]), testsets=cell([None]))
    with pytest.raises(
        ValueError, match='labeled: there is no such variable, but labelled, testsets'
    ):
        read_crops(path, 'labelled')


def test_another_file(path):
    path.write_bytes(b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x00\x01IM' + bytes(400))
    with pytest.raises(ValueError, match=r'cuhk-03\.mat: saved as MATLAB version 5 to 7; save it'):
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
    write(path, testsets=cell([testset]))
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
