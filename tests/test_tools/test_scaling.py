"""What docs/train_and_test.md says about scaling up, on the tiny config."""

import os

import pytest
import torch
from helpers.ranks import run_ranks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import distributed

from mmps.models.detectors import PersonSearch
from mmps.models.layers.fast import RegionAlign
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.utils.checkpoint import read_checkpoint

TABLES = 'roi_head.reid_head.criterion.'
EMA = dict(type='EMAHook', momentum=0.1)


@pytest.fixture
def write_config(config_file, tmp_path):
    """The tiny config with changes; ``custom_hooks`` are added to its own."""

    def write(custom_hooks=(), **changes):
        config = Config.fromfile(config_file)
        config.custom_hooks += custom_hooks
        config.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
        config.dump(tmp_path / 'config.py')
        return tmp_path / 'config.py'

    return write


def train(load_tool, config, work_dir, *options):
    load_tool('train.py').main([str(config), '--work-dir', str(work_dir), *options])


def load(work_dir, epoch):
    return read_checkpoint(work_dir / f'epoch_{epoch}.pth')


def without_prefix(averaged):
    return {name.removeprefix('module.'): v for name, v in averaged.items() if name != 'steps'}


def test_ema_averages_weights_and_takes_tables_from_the_student(
    write_config, load_tool, tmp_path, monkeypatch
):
    validated = []
    predict = PersonSearch.predict

    def spy(self, *args, **kwargs):
        validated.append({name: value.clone() for name, value in self.state_dict().items()})
        return predict(self, *args, **kwargs)

    monkeypatch.setattr(PersonSearch, 'predict', spy)
    train(load_tool, write_config([EMA]), tmp_path / 'run')
    checkpoint = load(tmp_path / 'run', 1)
    # What is loaded for testing is the average; the trained weights wait for a resume.
    average, student = checkpoint['state_dict'], without_prefix(checkpoint['ema_state_dict'])
    assert average.keys() == student.keys() == validated[0].keys()
    weight = 'roi_head.reid_head.project.weight'
    assert not torch.equal(average[weight], student[weight])
    for name in average:
        assert torch.equal(average[name], validated[0][name]), name
    for name in ('lut', 'queue', 'queue_pointer'):
        assert torch.equal(average[TABLES + name], student[TABLES + name])
    rows = average[TABLES + 'lut'].norm(dim=1)
    assert torch.allclose(rows[rows > 0], torch.ones(()))
    assert average[TABLES + 'queue_pointer'] > 0


def test_ema_resumes_with_the_same_bits(write_config, load_tool, tmp_path):
    config = write_config([EMA], train_cfg__max_epochs=2)
    train(load_tool, config, tmp_path / 'whole')
    epoch = ('--cfg-options', 'train_cfg.max_epochs=1')
    train(load_tool, config, tmp_path / 'parts', *epoch)
    train(load_tool, config, tmp_path / 'parts', '--resume')
    whole, parts = load(tmp_path / 'whole', 2), load(tmp_path / 'parts', 2)
    for key in ('state_dict', 'ema_state_dict'):
        assert whole[key].keys() == parts[key].keys()
        different = [n for n, v in whole[key].items() if not torch.equal(v, parts[key][n])]
        assert not different
    assert whole['ema_state_dict']['steps'] == 4


@pytest.fixture
def step(config_file):
    """Train one batch after another and return the state of the model after each."""

    def run(optim_wrapper, batches=2):
        init_default_scope('mmps')
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(config_file).model)
        model.init_weights()
        model.train()
        optimiser = dict(type='SGD', lr=0.01)
        holder = type('Holder', (), dict(model=model))
        wrapper = Runner.build_optim_wrapper(holder, dict(optimizer=optimiser, **optim_wrapper))
        states = [{n: v.clone() for n, v in model.state_dict().items()}]
        for number in range(batches):
            torch.manual_seed(number)
            batch = random_scenes([[0, 1, -1], [2]])
            model.train_step(batch, wrapper)
            states.append({n: v.clone() for n, v in model.state_dict().items()})
        return states

    return run


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_accumulation_moves_weights_together_and_tables_every_time(step):
    start, first, second = step(dict(type='OptimWrapper', accumulative_counts=2))
    weight = 'roi_head.reid_head.project.weight'
    assert weight not in moved(start, first)
    assert weight in moved(first, second)
    tables = {TABLES + name for name in ('lut', 'queue', 'queue_pointer')}
    assert tables <= moved(start, first)
    assert tables <= moved(first, second)


def test_clipping_bounds_the_step(step):
    for max_norm in (1e-3, 1e-2):
        start, after = step(dict(type='OptimWrapper', clip_grad=dict(max_norm=max_norm)), batches=1)
        statistics = ('running', 'num_batches', 'criterion', 'batches_trained')
        change = [
            (after[name] - start[name]).double().square().sum()
            for name in start
            if not any(word in name for word in statistics)
        ]
        assert float(sum(change) ** 0.5) == pytest.approx(0.01 * max_norm, rel=1e-3)


def test_bfloat16_keeps_weights_tables_and_boxes_in_float32(step, monkeypatch):
    seen = []
    pool = RegionAlign.forward
    monkeypatch.setattr(
        RegionAlign,
        'forward',
        lambda self, maps, rois: seen.append((maps.dtype, rois.dtype)) or pool(self, maps, rois),
    )
    linear = torch.nn.Linear.forward
    widths = set()
    monkeypatch.setattr(
        torch.nn.Linear,
        'forward',
        lambda self, x: (lambda y: widths.add(y.dtype) or y)(linear(self, x)),
    )
    start, *_, low = step(dict(type='BFloat16OptimWrapper'))
    assert set(seen) == {(torch.float32, torch.float32)}
    assert widths == {torch.bfloat16}
    for name, value in start.items():
        assert low[name].dtype == value.dtype
        assert torch.isfinite(low[name]).all()
    assert {TABLES + 'lut', 'backbone.features.conv0.weight'} <= moved(start, low)


def test_bfloat16_detects_and_embeds(config_file):
    init_default_scope('mmps')
    model = MODELS.build(Config.fromfile(config_file).model).eval()
    model.init_weights()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        (sample,) = model.test_step(random_scenes([[0, 1]]))
    assert len(sample.pred_instances) > 0
    assert sample.pred_instances.bboxes.dtype == torch.float32
    lengths = sample.pred_instances.embeddings.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def train_on_a_rank(load_tool, config, work_dir, options):
    for name, value in (('RANK', distributed.get_rank()), ('WORLD_SIZE', 2), ('LOCAL_RANK', 0)):
        os.environ[name] = str(value)
    os.environ['MASTER_ADDR'] = '127.0.0.1'
    states = []
    original = PersonSearch.predict

    def spy(self, *args, **kwargs):
        states.append({name: value.clone() for name, value in self.state_dict().items()})
        return original(self, *args, **kwargs)

    PersonSearch.predict = spy
    train(load_tool, config, work_dir, '--launcher', 'pytorch', *options)
    return states[0]


@pytest.mark.parametrize(
    'recipe',
    [
        {},
        dict(
            custom_hooks=[EMA],
            optim_wrapper__accumulative_counts=2,
            optim_wrapper__clip_grad=dict(max_norm=1.0),
            train_dataloader__batch_size=1,
        ),
        dict(
            optim_wrapper__type='BFloat16OptimWrapper',
            train_dataloader__batch_sampler=dict(type='IdentityBalancedBatchSampler'),
        ),
        dict(
            train_dataloader__batch_sampler=dict(type='AspectRatioBatchSampler'),
            train_dataloader__dataset__with_sizes=True,
        ),
    ],
    ids=['plain', 'EMA, accumulation, clipping', 'bfloat16, identities', 'aspect ratios'],
)
def test_two_ranks_train_and_validate_one_network(recipe, write_config, load_tool, tmp_path):
    config = write_config(**recipe)
    (tmp_path / 'ranks').mkdir()
    ranks = run_ranks(
        train_on_a_rank, 2, tmp_path / 'ranks', load_tool, config, tmp_path / 'run',
        ('--auto-scale-lr',),
    )  # fmt: skip
    saved = load(tmp_path / 'run', 1)['state_dict']
    for state in ranks:
        different = [name for name, value in saved.items() if not torch.equal(value, state[name])]
        assert not different
    assert saved[TABLES + 'lut'].norm() > 0
