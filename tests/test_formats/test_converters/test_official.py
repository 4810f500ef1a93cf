import json
from functools import partial

import pytest
from helpers.cuhk03_files import write_tiny_cuhk03
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.prw_files import write_tiny_prw
from helpers.scene_indices import assert_same_index

from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.converters.official import NO_AREA, convert_split
from mmps.formats.converters.tally import Tally
from mmps.formats.cuhk03 import CUHK03Files
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles

WRITERS = {
    'PRW': (write_tiny_prw, PRWFiles, {}),
    'CUHK-SYSU': (
        partial(write_tiny_cuhk_sysu, traps=True),
        CUHKSYSUFiles,
        dict(gallery_sizes=(100, 50, 500), subsets=('occlusion', 'resolution')),
    ),
    'CUHK03': (write_tiny_cuhk03, CUHK03Files, {}),
    'CUHK03 classic': (
        write_tiny_cuhk03,
        CUHK03Files,
        dict(protocol='classic', boxes='detected', classic_split=3),
    ),
}


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('name', WRITERS)
def test_there_and_back(tmp_path, name, test_mode):
    write, kind, options = WRITERS[name]
    files = kind(write(tmp_path / 'set'), test_mode, **options)
    path = tmp_path / f'{files.split}.json'
    index = convert_split(files, path, Tally())
    assert_same_index(index, read_scenes(files)[0])
    coco = CocoPersonSearchFiles(tmp_path, test_mode, image_folder=str(files.image_root))
    back, removed = read_scenes(coco)
    assert_same_index(back, index)
    assert removed == []
    assert bool(index.galleries) == (test_mode and name != 'PRW')
    assert all((coco.image_root / frame.name).is_file() for frame in back.frames)


def test_images_are_measured(tmp_path):
    root = write_tiny_prw(tmp_path / 'PRW')
    convert_split(PRWFiles(root), tmp_path / 'train.json', Tally())
    image = json.loads((tmp_path / 'train.json').read_text())['images'][0]
    assert (image['width'], image['height']) == (160, 120)


def test_what_is_left_out_is_counted(tmp_path):
    from scipy.io import savemat

    root = write_tiny_prw(tmp_path / 'PRW')
    path = root / 'annotations' / 'c1s1_000000.jpg.mat'
    savemat(path, {'box_new': [[1.0, 2, 3, 0, 5], [1, 2, 3, 4, 5]]})
    tally = Tally()
    index = convert_split(PRWFiles(root), tmp_path / 'train.json', tally)
    assert len(index.frames[0].bboxes) == 1
    assert tally.lines() == [f'1 {NO_AREA} (first: {path} (row 0))']


def test_images_have_to_be_there(tmp_path):
    root = write_tiny_prw(tmp_path / 'PRW')
    (root / 'frames' / 'c1s1_000000.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'c1s1_000000\.jpg: .* \(1 of 4 are\)'):
        convert_split(PRWFiles(root), root / 'train.json', Tally())
    assert not (root / 'train.json').exists()
