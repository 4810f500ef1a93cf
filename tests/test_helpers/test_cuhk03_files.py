import h5py
import numpy as np
from helpers.cuhk03_files import write_tiny_cuhk03
from scipy.io import loadmat


def test_hdf5_as_matlab_writes_it(tmp_path):
    path = write_tiny_cuhk03(tmp_path) / 'cuhk03_release/cuhk-03.mat'
    header = path.read_bytes()[:128]
    assert header.startswith(b'MATLAB 7.3 MAT-file')
    assert header[124:] == b'\x00\x02IM'
    with h5py.File(path) as file:
        assert file['labeled'].shape == file['detected'].shape == (1, 2)
        assert file['testsets'].shape == (1, 20)
        assert file['labeled'].attrs['MATLAB_class'] == b'cell'
        assert file[file['testsets'][0, 0]][:].tolist() == [[1, 1, 2], [1, 4, 2]]
        pairs = [file[reference] for reference in file['labeled'][0]]
        assert [pair.shape for pair in pairs] == [(10, 5), (10, 3)]
        picture = file[pairs[0][0, 0]]
        assert picture.dtype == np.uint8 and picture.shape[0] == 3
        assert picture.attrs['MATLAB_class'] == b'uint8'
        # All empty cells are one array that holds its size.
        empty = file[pairs[0][4, 1]]
        assert empty.name == '/#refs#/a'
        assert empty[:].tolist() == [0, 0]
        assert empty.attrs['MATLAB_empty'] == 1


def test_new_protocol(tmp_path):
    root = write_tiny_cuhk03(tmp_path)
    for variable, crops in (('labeled', 72), ('detected', 71)):
        content = loadmat(root / f'cuhk03_new_protocol_config_{variable}.mat')
        names = [cell[0] for cell in content['filelist'].ravel()]
        assert len(names) == crops
        assert names == sorted(names)
        views = [int(name.split('_')[2]) for name in names]
        assert content['camId'].ravel().tolist() == views
        assert set(content['labels'].ravel()) == set(range(1, 9))
        rows = np.concatenate([content[f'{key}_idx'] for key in ('train', 'query', 'gallery')])
        assert sorted(rows.ravel()) == list(range(1, crops + 1))


def test_equal_seeds_give_equal_bytes(tmp_path):
    contents = [
        {
            path.name: path.read_bytes()
            for path in write_tiny_cuhk03(tmp_path / name, seed=seed).rglob('*.mat')
        }
        for name, seed in (('a', 0), ('b', 0), ('c', 1))
    ]
    assert contents[0] == contents[1]
    assert contents[0]['cuhk-03.mat'] != contents[2]['cuhk-03.mat']
