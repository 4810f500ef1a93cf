import numpy as np
import pytest
from helpers.cuhk03_files import write_tiny_cuhk03
from mmengine.registry import init_default_scope

from mmps.datasets import CUHK03Dataset
from mmps.registry import DATASETS
from mmps.testing.tiny_models import small_config


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_cuhk03(tmp_path_factory.mktemp('cuhk03'))


def test_training_split(root):
    dataset = CUHK03Dataset(data_root=str(root))
    assert len(dataset) == 33
    assert dataset.num_ids == 4
    entry = dataset.get_data_info(0)
    folder = root / 'cuhk03_release/images_labelled'
    assert entry['img_path'] == str(folder / '1_001_1_01.png')
    assert entry['cam_id'] == 1
    (person,) = entry['instances']
    assert person['bbox'][:2] == [0, 0]
    assert person['bbox_label'] == 0
    assert len(list(folder.glob('*.png'))) == 72


def test_test_split(root):
    annotations = CUHK03Dataset(data_root=str(root), test_mode=True).search_annotations
    assert annotations.num_images == 39
    assert annotations.num_queries == len(annotations.galleries['new']) == 8
    np.testing.assert_array_equal(annotations.box_splits, np.arange(40))
    np.testing.assert_array_equal(
        annotations.person_ids[annotations.query_images], annotations.query_person_ids
    )
    assert set(annotations.cameras) == {1, 2, 3, 4}


def test_options_reach_the_files(root):
    dataset = CUHK03Dataset(
        data_root=str(root), boxes='detected', protocol='classic', classic_split=1, test_mode=True
    )
    assert set(dataset.search_annotations.galleries) == {
        'classic',
        'classic_any_view',
        'classic_all',
    }
    assert set(dataset.search_annotations.person_ids) == {1002, 1005, 2003}
    assert '/images_detected/' in dataset.get_data_info(0)['img_path']


@pytest.mark.parametrize('loader', ['train_dataloader', 'test_dataloader'])
def test_the_pipelines_of_the_configs(root, loader):
    init_default_scope('mmps')
    config = small_config('ps_resnet50_cuhk03.py')[loader].dataset
    dataset = DATASETS.build({**config, 'data_root': str(root)})
    for index in range(0, len(dataset), 4):
        packed = dataset[index]
        height, width = packed['inputs'].shape[1:]
        # Padding apart, a crop fills the height or the width it is scaled to.
        assert height == 384 or width == 192
        assert (height, width) <= (384, 192)
        sample = packed['data_samples']
        if loader == 'test_dataloader':
            (box,) = sample.gt_instances.bboxes.tolist()
            assert box == [0, 0, sample.ori_shape[1], sample.ori_shape[0]]
