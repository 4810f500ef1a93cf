from pathlib import Path

import pytest

from mmps.formats import image_folder, scene_files
from mmps.formats.coco import CocoPersonSearchFiles
from mmps.formats.prw import PRWFiles


def test_a_config_stands_for_files_and_options():
    config = dict(type='PRWDataset', data_root='data/PRW', test_mode=True, pipeline=['none'])
    assert scene_files(config) == PRWFiles(Path('data/PRW'), test_mode=True)
    config = dict(type='CocoPersonSearchDataset', data_root='d', ann_file='a.json', lazy_init=True)
    assert scene_files(config) == CocoPersonSearchFiles(Path('d'), ann_file='a.json')
    with pytest.raises(KeyError, match='MyDataset'):
        scene_files(dict(type='MyDataset', data_root='d'))


def test_folder_of_the_images():
    config = dict(type='PRWDataset', data_root='data/PRW')
    assert image_folder(config) == Path('data/PRW/frames')
    assert image_folder(config | dict(data_prefix=dict(img='other'))) == Path('data/PRW/other')
    assert image_folder(config | dict(data_prefix=None)) == Path('data/PRW/frames')
