"""What the config of each data set reads, from its files to the metrics, with a slim network."""

import math

import numpy as np
import pytest
import torch
from helpers.cuhk03_files import write_tiny_cuhk03
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.prw_files import write_tiny_prw
from mmengine.runner import Runner

from mmps.formats.from_config import test_annotations as annotations_of
from mmps.registry import METRICS, MODELS
from mmps.testing.tiny_models import small_config, tiny_config

WRITERS = {'prw': write_tiny_prw, 'cuhk_sysu': write_tiny_cuhk_sysu, 'cuhk03': write_tiny_cuhk03}
IDENTITIES = {'prw': 483, 'cuhk_sysu': 5532, 'cuhk03': 767}
RESULTS = {
    'prw': ['search/mAP'],
    'cuhk_sysu': ['search/mAP', 'search/top1_occlusion', 'search/top1_resolution'],
    'cuhk03': ['search/mAP'],
}


@pytest.fixture(params=sorted(WRITERS))
def name(request):
    return request.param


@pytest.fixture
def config(name, tmp_path):
    root = WRITERS[name](tmp_path / name)
    return tiny_config(f'ps_densenet121_att_{name}.py', root, train_dataloader__batch_size=2)


def test_a_slim_network_trains_and_is_evaluated(config, name):
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    config.model.roi_head.reid_head.num_ids = loader.dataset.num_ids
    model = MODELS.build(config.model)
    batch = model.data_preprocessor(next(iter(loader)), training=True)
    losses = model.train()(**batch, mode='loss')
    assert math.isfinite(losses['loss_reid'].item())
    loader = Runner.build_dataloader(config.test_dataloader)
    metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = loader.dataset.metainfo
    model.eval()
    for batch in loader:
        with torch.no_grad():
            metric.process(batch, [sample.to_dict() for sample in model.test_step(batch)])
    metrics = metric.evaluate(len(loader.dataset))
    assert all(0 <= metrics[key] <= 1 for key in RESULTS[name])


def test_the_test_set_without_a_model_is_the_same(config):
    dataset = Runner.build_dataloader(config.test_dataloader).dataset
    built, read = dataset.search_annotations, annotations_of(config)
    assert built.image_names == read.image_names
    assert list(built.galleries) == list(read.galleries)
    for one, other in zip(built.galleries.values(), read.galleries.values(), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(built.query_bboxes, read.query_bboxes)


@pytest.mark.parametrize('network', ['densenet121', 'resnet50', 'googlenet'])
@pytest.mark.parametrize('attention', ['', '_att'])
def test_identities_and_protocols_of_every_config(name, network, attention):
    config = small_config(f'ps_{network}{attention}_{name}.py')
    assert config.model.roi_head.reid_head.num_ids == IDENTITIES[name]
    assert ('attention' in config.model.roi_head) == bool(attention)
    assert config.test_evaluator == config.val_evaluator
    assert config.test_dataloader == config.val_dataloader
    assert not config.train_dataloader.dataset.get('test_mode', False)
    if name == 'cuhk_sysu':
        dataset = config.test_dataloader.dataset
        assert dataset.gallery_sizes == (100,)
        assert config.test_evaluator.gallery_sizes == (*dataset.gallery_sizes, *dataset.subsets)
