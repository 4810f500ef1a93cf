"""Files that are missing, damaged or of different data sets are named."""

import numpy as np
import pytest
from helpers.cuhk_sysu_by_hand import FIRST, PEOPLE, POOL, SEARCHES, SECOND, TRAIN, read
from scipy.io import savemat

from mmps.formats import load_scenes
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.synthetic import mat5
from mmps.synthetic.cuhk_sysu_files import (
    Entry,
    Search,
    write_images,
    write_pool,
    write_protocol,
    write_train,
)


@pytest.mark.parametrize(
    ('name', 'test_mode'),
    [('Images', False), ('pool', True), ('Train', False), ('TestG100', True)],
)
def test_a_missing_file_is_named(root, name, test_mode):
    next(root.rglob(f'{name}.mat')).unlink()
    with pytest.raises(FileNotFoundError, match=f'{name}.mat: this file .* is missing'):
        read(root, test_mode)


def test_a_missing_subset_is_named(root):
    with pytest.raises(FileNotFoundError, match='subset/Occlusion.mat'):
        read(root, subsets=('occlusion',))


BOX, FLAT = (400, 5, 6, 7), (400, 5, 0, 7)


@pytest.mark.parametrize(
    ('search', 'message'),
    [
        (Search('p', Entry('s5.jpg'), []), r'Query, row 1 \(counted from 0\) has no box'),
        (Search('p', Entry('s5.jpg', (1, 2, 3)), []), 'Query, row 1, entry 0 .* of 3 numbers'),
        (Search('p', Entry('s5.jpg', FLAT), []), 'Query, row 1, entry 0 .* no area'),
        (
            Search('p', FIRST, [Entry('s6.jpg'), Entry('s9.jpg')]),
            "Gallery, row 1, entry 1 .* the image 's9.jpg', which is not among the 4 test images",
        ),
        (Search('p', FIRST, [Entry('s6.jpg', BOX), Entry('s2.jpg', FLAT)]), 'row 1, entry 1.*area'),
        (Search('p', FIRST, [Entry('s6.jpg', (1, 2, 3, 4, 5))]), 'row 1, entry 0 .* 5 numbers'),
        (Search('p', FIRST, [Entry('s6.jpg', (1, 2, np.nan, 4))]), 'row 1, entry 0 .* nan'),
    ],
)
def test_an_impossible_search_names_file_and_row(root, search, message):
    write_protocol(root, 100, [SEARCHES[0], search])
    with pytest.raises(ValueError, match=f'TestG100.mat: .*{message}'):
        read(root)


def test_a_query_outside_the_test_images(root):
    write_protocol(root, 100, [Search('p', Entry('s1.jpg', (1, 2, 3, 4)), [])])
    with pytest.raises(ValueError, match=r"TestG100.mat: Query, row 0 .*'s1.jpg' is not among"):
        load_scenes(CUHKSYSUFiles(root, True))


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        ([*POOL, 's5.jpg'], r"row 4 \(counted from 0\) repeats 's5.jpg'"),
        ([*POOL, 's77.jpg'], r"row 4 \(counted from 0\), 's77.jpg', is not in Images.mat"),
    ],
)
def test_bad_pools(root, names, message):
    write_pool(root, names)
    with pytest.raises(ValueError, match=f'pool.mat: {message}'):
        read(root)


def test_bad_images(root):
    write_images(root, {**PEOPLE, 's7.jpg': [(1, 2, 3, 4, 5)]})
    with pytest.raises(ValueError, match=r'Images.mat: Img, row 7 .* not of the form'):
        read(root)
    path = root / 'annotation/Images.mat'
    row = [mat5.text('a.jpg'), mat5.numbers([0]), mat5.numbers([], (0, 0))]
    mat5.write_variable(path, 'Img', mat5.structs(('imname', 'nAppear', 'box'), [row, row]))
    with pytest.raises(ValueError, match=r"Images.mat: Img, row 1 .* repeats 'a.jpg'"):
        read(root)
    savemat(path, {'Img': np.arange(4)})
    with pytest.raises(ValueError, match=r'Images.mat: Img, row 0 .* not of the form'):
        read(root)


def test_bad_identities(root):
    write_train(root, [*TRAIN, [Entry('s4.jpg')]])
    with pytest.raises(ValueError, match=r'Train.mat: row 2 \(counted from 0\) is not of the form'):
        read(root, test_mode=False)
    savemat(root / 'annotation/test/train_test/Train.mat', {'Train': np.arange(3)})
    with pytest.raises(ValueError, match=r'Train.mat: row 0 \(counted from 0\) is not of the form'):
        read(root, test_mode=False)


@pytest.mark.parametrize('entry', [Entry('s4.jpg', (1, 1, 5, 6)), SECOND])
def test_labelled_boxes_that_nobody_has(root, entry):
    """The wrong box, or an image of the other split."""
    write_train(root, [*TRAIN, [entry]])
    with pytest.raises(
        ValueError, match=r'Train.mat: 1 of 4 labelled boxes .*row 2 .*one data set'
    ):
        read(root, test_mode=False)
    write_train(root, [*TRAIN, [entry], *[TRAIN[1]] * 100])
    with pytest.warns(UserWarning, match='Train.mat: 1 of 104 labelled boxes .* stay unlabelled'):
        index = read(root, test_mode=False)
    assert index.num_ids == 103


def test_files_of_different_data_sets(root):
    write_images(root, {name: [(9, 9, 9, 9)] for name in PEOPLE})
    with pytest.raises(ValueError, match='TestG50.mat: 4 of 4 labelled boxes .* Images.mat'):
        read(root)


@pytest.mark.parametrize('name', ['Images', 'pool', 'Train', 'TestG50', 'TestG100'])
def test_every_truncation_is_a_clear_error(root, name):
    path = next(root.rglob(f'{name}.mat'))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f'{name}.mat: '):
            read(root, test_mode=name != 'Train')
