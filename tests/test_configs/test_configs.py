"""Every config of configs/, and every row of its grids of changes: trained one step and run, with
few regions and narrow networks.
"""

import functools
import itertools
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.published_weights import slim_network
from helpers.slim_person_search import a_step
from mmcv.transforms import Compose
from mmdet.structures.bbox import bbox_overlaps

from mmps.cli.grid import load_grid, make_runs
from mmps.models.roi_heads.reid_head import EmbeddingHead
from mmps.registry import MODELS
from mmps.testing.tiny_models import CONFIGS, small_config

RANDOM_COLOURS = ('RandomApply', 'RandomFlip')
QUICK_START = sorted(f'quick_start/{path.name}' for path in (CONFIGS / 'quick_start').glob('*.py'))
PATHS = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.rglob('*.py')
    if not {'_base_', 'grids', 'two_step'} & set(path.parts)
)

GRIDS = [load_grid(CONFIGS / f'grids/synthetic_{what}.py') for what in ('ablations', 'methods')]
ROWS = sorted({row.name for grid in GRIDS for row in grid.experiments})


@functools.cache
def rows():
    runs = (run for grid in GRIDS for run in make_runs(grid, Path('never written'), {}))
    return {run.experiment: run.config for run in runs}


def config_of(name):
    """The config of a file below configs/ or of a row of a grid; networks as wide as published
    ones are narrower here.
    """
    cfg = small_config(rows()[name] if name in ROWS else name)
    backbone = cfg.model.backbone
    if backbone.type != 'GoogLeNet' and 'block_layers' not in backbone:
        cfg.model = slim_network(cfg.model)
    return cfg


TRAINED = {}
"""The config that was trained, by what of it is trained."""


@pytest.mark.parametrize('name', [*PATHS, *ROWS])
def test_builds_trains_a_step_and_predicts(name):
    cfg = config_of(name)
    # Configs of several data sets share a network: what they know of people only sizes tables.
    trained = repr((cfg.model, cfg.optim_wrapper))
    trained = re.sub(
        r"'(num_ids|queue_size|classifier_weight)': [\d.]+|'context_matching': .*?\}", '', trained
    )
    if TRAINED.setdefault(trained, name) != name:
        return
    model, samples, moved = a_step(cfg)
    assert any(n.startswith('backbone') for n in moved)
    heads = [n for n, part in model.roi_head.named_modules() if isinstance(part, EmbeddingHead)]
    for head in heads:
        assert any(n.startswith(f'roi_head.{head}.') for n in moved)
        re_id_takes_part(model.roi_head.get_submodule(head))
    width = model.embed_dim
    assert samples[0].pred_instances.embeddings.shape[1] == width
    assert samples[0].query_instances.embeddings.shape == (1, width)


def re_id_takes_part(head):
    assert head.loss_weight > 0
    head.batches_trained.fill_(head.loss_warmup)
    embeddings = F.normalize(torch.rand(4, head.embed_dim))
    ids = torch.tensor([0, 1, 2, -1])
    overlaps = torch.ones(4)
    # Where unfilled rows take no part, there are none.
    head.train().loss_by_feat(embeddings, ids, overlaps)
    assert head.loss_by_feat(embeddings.flip(0), ids, overlaps)['loss_reid'] > 0


def test_there_is_a_config_for_each_row_of_the_paper():
    rows = itertools.product(NETS, ('', '_att'), ('prw', 'cuhk_sysu', 'cuhk03'))
    assert {f'ps_{net}{att}_{data}.py' for net, att, data in rows} <= set(PATHS)


NETS = ('densenet121', 'resnet50', 'googlenet')


@pytest.mark.parametrize('net', NETS)
def test_numbers_of_the_paper(net):
    cfg = small_config(f'ps_{net}_att_prw.py')
    model = MODELS.build(cfg.model)
    anchors = model.rpn_head.anchor_generator.base_anchors[0]
    sides = (anchors[:, 2:] - anchors[:, :2]).prod(1).sqrt()
    ratios = (anchors[:, 3] - anchors[:, 1]) / (anchors[:, 2] - anchors[:, 0])
    assert sorted(sides.round().tolist()) == [128] * 3 + [256] * 3 + [512] * 3
    assert sorted(ratios.tolist()) == pytest.approx([0.5] * 3 + [1] * 3 + [2] * 3)
    loss = model.roi_head.reid_head.criterion
    assert (len(loss.queue), loss.momentum, loss.scalar) == (2048, 0.5, 30)
    assert loss.lut.shape == (483, 2048)
    # lambda / N_reg = 10 / 2400 against a mean over 256 anchors
    assert model.rpn_head.loss_bbox.loss_weight / 256 == pytest.approx(10 / 2400)
    assigner = model.roi_head.bbox_assigner
    assert assigner.pos_iou_thr == assigner.neg_iou_thr == 0.75
    assert cfg.optim_wrapper.optimizer.lr == 0.001
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].milestones) == (50, [25])


@pytest.mark.parametrize(('scale', 'fits'), [((384, 192), True), ((1500, 900), False)])
def test_crops_fit_the_anchors_at_the_scale_of_their_configs(scale, fits):
    cfg = small_config('ps_resnet50_cuhk03.py')
    assert cfg.scale == (384, 192)
    assert cfg.model.train_cfg.rpn.allowed_border == -1
    anchors = MODELS.build(cfg.model).rpn_head.anchor_generator.base_anchors[0]
    for ratio in (1.6, 2.0, 2.5, 3.0):
        width = min(scale[0] / ratio, scale[1])
        crop = torch.tensor([[-width, -width * ratio, width, width * ratio]]) / 2
        best = bbox_overlaps(crop, anchors).max()
        assert (best > 0.65) == fits
        assert (best < 0.4) == (not fits)


@pytest.mark.parametrize('path', [path for path in PATHS if path.startswith('custom/')])
def test_own_data_are_read_in_coco_style(path):
    cfg = small_config(path)
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.type == 'CocoPersonSearchDataset'
        assert dataset.data_root == 'data/my_cameras'
        assert dataset.get('test_mode', False) == (split != 'train')
        assert dataset.pipeline[0].type == 'LoadSceneImage'


@pytest.mark.parametrize('path', ['ps_densenet121_att_prw.py', *QUICK_START])
def test_colours_reach_the_network_in_the_same_order_in_training_and_test(path, tmp_path):
    """A red scene is red in the first channel, which is what the published weights expect."""
    image = tmp_path / 'red.png'
    cv2.imwrite(str(image), np.full((270, 480, 3), (0, 0, 255), np.uint8))
    cfg = small_config(path)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    colours = []
    for training, loader in ((True, cfg.train_dataloader), (False, cfg.test_dataloader)):
        steps = [step for step in loader.dataset.pipeline if step.type not in RANDOM_COLOURS]
        scene = dict(img_path=str(image), img_id=0, img_name='red.png', cam_id=1, instances=[])
        scene.update(query_ids=[], query_bboxes=[])
        packed = Compose(steps)(scene)
        batch = {key: [value] for key, value in packed.items()}
        pixels = preprocessor(batch, training)['inputs'][0][:, 100, 100]
        mean, std = (torch.tensor(cfg.model.data_preprocessor[k]) for k in ('mean', 'std'))
        colours.append(pixels * std + mean)
    for colour in colours:
        torch.testing.assert_close(colour, torch.tensor([255.0, 0.0, 0.0]), atol=0.01, rtol=0)
