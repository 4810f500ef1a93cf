"""The example of docs/extending.md, outside of the package."""

from pathlib import Path

import pytest
import torch
from helpers.ranks import run_ranks
from helpers.slim_person_search import a_step
from mmengine.model import MMDistributedDataParallel
from torch import distributed

from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import slim_model, small_config
from mmps.utils.config import load_config

EXAMPLE = Path(__file__).parents[1] / 'docs/my_project'


@pytest.fixture(scope='module')
def config():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        regions = dict(output_size=4, sampling_ratio=1)
        yield small_config(
            load_config(str(EXAMPLE / 'mobilenet_prw.py'), {}),
            model__roi_head__bbox_roi_extractor__roi_layer=regions,
            model__roi_head__bbox_head__roi_feat_size=4,
            model__rpn_head__anchor_generator__scales=[1, 2, 4],
        )


def test_a_network_of_parts_outside_the_package_learns_and_searches(config):
    model, samples, moved = a_step(config)
    assert {name.rpartition('.')[2] for name in moved if 'criterion' in name} == {'centres'}
    assert any(name.startswith('roi_head.shared_head.layers') for name in moved)
    assert any(name.startswith('backbone.layer5') for name in moved)
    assert not any(name.startswith('backbone.layer6') for name in moved)
    assert samples[0].query_instances.embeddings.shape == (1, 256)
    regions = torch.rand(2, 256, 4, 4)
    pooled = model.roi_head.reid_head.pool(regions)
    assert torch.equal(pooled, regions.amax((2, 3), keepdim=True))


def two_steps(settings, find_unused_parameters):
    torch.manual_seed(0)
    model = MMDistributedDataParallel(
        MODELS.build(settings),
        broadcast_buffers=False,
        find_unused_parameters=find_unused_parameters,
    )
    for step in range(2):
        torch.manual_seed(2 * step + distributed.get_rank())
        data = model.module.data_preprocessor(random_scenes([[0, 1, -1], [2]]), True)
        loss, _ = model.module.parse_losses(model(**data, mode='loss'))
        loss.backward()
    stem = model.module.backbone
    return [next(part.parameters()).grad for part in (stem.layer5, stem.conv2)]


def test_stages_without_gradient_train_on_two_ranks(config, tmp_path):
    assert config.find_unused_parameters
    used, unused = zip(*run_ranks(two_steps, 2, tmp_path, config.model, True), strict=True)
    assert torch.equal(*used)
    assert used[0].abs().sum() > 0
    assert unused == (None, None)
    (tmp_path / 'without').mkdir()
    with pytest.raises(Exception, match='find_unused_parameters'):
        run_ranks(two_steps, 2, tmp_path / 'without', config.model, False)


def test_without_an_identification_network_regions_are_taken_as_they_are():
    cfg = small_config('ps_densenet121_att_prw.py')
    cfg.model = slim_model(
        model__roi_head__shared_head=None, model__roi_head__bbox_head__in_channels=4
    )
    model, samples, moved = a_step(cfg)
    assert not any('shared_head' in name for name in model.state_dict())
    assert any(name.startswith('roi_head.reid_head') for name in moved)
    assert samples[0].query_instances.embeddings.shape == (1, 16)
