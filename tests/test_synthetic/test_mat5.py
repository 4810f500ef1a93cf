from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from mmps.synthetic import mat5


@pytest.fixture(params=[True, False])
def stored(request: pytest.FixtureRequest, tmp_path: Path):
    """What scipy reads of an array."""

    def stored(array: bytes) -> np.ndarray:
        path = tmp_path / 'x.mat'
        mat5.write_variable(path, 'variable', array, compress=request.param)
        return loadmat(path)['variable']

    return stored


@pytest.mark.parametrize(
    ('values', 'dtype'),
    [
        ([0, 255], 'u1'),
        ([0, 256, 65535], 'u2'),
        ([-1, 300], 'i2'),
        ([70000, -1], 'i4'),
        ([1.5], 'f8'),
        ([5e9], 'f8'),
    ],
)
def test_numbers_take_the_smallest_type_that_holds_them(stored, values, dtype):
    back = stored(mat5.numbers(values))
    assert back.dtype == dtype
    assert back.tolist() == [values]


def test_an_empty_array_is_one_of_doubles(stored):
    back = stored(mat5.numbers([], (1, 0)))
    assert (back.shape, back.dtype) == ((1, 0), np.float64)


@pytest.mark.parametrize('value', ['s1.jpg', 'ab', '', 'straße'])
def test_text(stored, value):
    assert ''.join(stored(mat5.text(value))) == value


def test_cells_and_structs(stored):
    inner = mat5.structs(('name', 'box'), [[mat5.text('a'), mat5.numbers([1, 2])]] * 3)
    back = stored(mat5.cell([inner, mat5.structs(('name', 'box'), [])]))
    assert back.shape == (2, 1)
    assert back[0, 0].shape == (1, 3)
    assert back[0, 0]['name'][0, 2].tolist() == ['a']
    assert back[0, 0]['box'][0, 2].tolist() == [[1, 2]]
    assert back[1, 0].shape == (1, 0)
    assert back[1, 0].dtype.names == ('name', 'box')


def test_same_bytes(tmp_path):
    for name in ('a', 'b'):
        mat5.write_variable(tmp_path / name, 'x', mat5.numbers(range(100)))
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']
