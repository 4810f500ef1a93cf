import numpy as np
import pytest
from scipy.io import savemat

from mmps.formats.cuhk03.crops import Crop
from mmps.formats.cuhk03.protocol import read_new_protocol

# Four crops of three people; the last two people make the test set.
CROPS = [Crop(1, 1, 1, 4, 8), Crop(1, 2, 1, 4, 8), Crop(1, 2, 6, 4, 8), Crop(2, 1, 3, 4, 8)]
CONTENT = dict(
    filelist=['1_001_1_01.png', '1_002_1_01.png', '1_002_2_06.png', '2_001_1_03.png'],
    labels=[1, 2, 2, 3],
    camId=[1, 1, 2, 1],
    train_idx=[1],
    query_idx=[3],
    gallery_idx=[4, 2],
)


@pytest.fixture
def read(tmp_path):
    """Read a protocol that differs from the sound one in some variables; None leaves one out."""

    def read(dtype=np.float64, crops=CROPS, **changes):
        path = tmp_path / 'config.mat'
        content = {}
        for key, values in {**CONTENT, **changes}.items():
            if key == 'filelist' and isinstance(values, list):
                content[key] = np.empty((len(values), 1), object)
                content[key][:, 0] = values
            elif values is not None:
                content[key] = np.array(values, dtype).reshape(-1, 1)
        savemat(path, content)
        return read_new_protocol(path, crops)

    return read


@pytest.mark.parametrize('dtype', [np.float64, np.uint16])
def test_indices_count_from_one(read, dtype):
    protocol = read(dtype)
    assert list(protocol.crops) == CROPS
    assert protocol.labels.tolist() == [1, 2, 2, 3]
    assert protocol.train.tolist() == [0]
    assert protocol.queries.tolist() == [2]
    assert protocol.gallery.tolist() == [3, 1]


def test_rows_follow_filelist_not_the_crops(read):
    protocol = read(crops=[*CROPS[::-1], Crop(2, 9, 1, 4, 8)])
    assert list(protocol.crops) == CROPS


def test_views_are_optional(read):
    assert len(read(camId=None).crops) == 4


@pytest.mark.parametrize('key', ['filelist', 'labels', 'train_idx', 'query_idx', 'gallery_idx'])
def test_missing_variable(read, key):
    with pytest.raises(ValueError, match=rf'config\.mat: no key {key} in it, but '):
        read(**{key: None})


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(filelist=[*CONTENT['filelist'][:3], '2_001_1_04.png']),
            r"filelist\(4\) is '2_001_1_04.png', but cuhk-03.mat has no such crop",
        ),
        (
            dict(filelist=[*CONTENT['filelist'][:3], '1_001_1_01.png']),
            "filelist names '1_001_1_01.png' twice",
        ),
        (dict(filelist=[1.0, 2.0, 3.0, 4.0]), r'filelist\(1\) is .*, but cuhk-03.mat has no such'),
        (dict(labels=[1, 2, 2]), 'labels holds 3 values of .*; 4 numbers, one for each'),
        (dict(labels=[1, 2, 2.5, 3]), r'labels\(3\) is 2.5; a whole number'),
        (dict(labels=[1, 2, np.nan, 3]), r'labels\(3\) is nan; a whole number'),
        (dict(labels=[1, 2, 4, 3]), r"labels\(3\) is 4 for '1_002_2_06.png'"),
        (dict(labels=[1, 2, 2, 1]), r"labels\(4\) is 1 for '2_001_1_03.png'"),
        (dict(camId=[1, 2, 2, 1]), r"camId\(2\) contradicts the view in the name '1_002_1_01.png'"),
        (dict(train_idx=[0]), r'train_idx\(1\) is 0; filelist has the rows 1 to 4'),
        (dict(gallery_idx=[2, 5]), r'gallery_idx\(2\) is 5; filelist has the rows 1 to 4'),
        (dict(query_idx=[-3]), r'query_idx\(1\) is -3; a whole number'),
        (dict(query_idx=[1.5]), r'query_idx\(1\) is 1.5; a whole number'),
        (dict(query_idx=[]), 'query_idx holds no numbers'),
        (dict(gallery_idx=[2, 3, 4]), 'row 3 of filelist is used more than once'),
        (dict(gallery_idx=[2, 2]), 'row 2 of filelist is used more than once'),
        (dict(train_idx=[1, 2], gallery_idx=[4]), 'label 2 is in the training set and in the test'),
    ],
)
def test_contradictions_name_the_row(read, changes, message):
    with pytest.raises(ValueError, match=rf'config\.mat: {message}'):
        read(**changes)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.mat: '):
        read_new_protocol(tmp_path / 'none.mat', CROPS)
