"""What a training leaves behind: its record and curves, a state to resume, a model to hand on."""

import hashlib
import itertools
import json
from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from mmps.registry import HOOKS, MODELS
from mmps.utils.checkpoint import CheckpointError, read_checkpoint
from mmps.utils.config import load_config
from mmps.utils.errors import UserError
from mmps.utils.training_log import read_training_log
from mmps.visualization import read_image

NUMBERS = itertools.count()


@pytest.fixture(scope='module')
def ema_config(config_file):
    """The config with a moving average of the weights."""
    path = config_file.with_name('ema.py')
    config = Config.fromfile(config_file)
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    config.dump(path)
    return path


@pytest.fixture(scope='module')
def work_dir(ema_config, load_tool):
    """Of a training of one epoch, resumed for another."""
    folder = ema_config.parent / 'outputs'
    train(load_tool, ema_config, folder)
    train(load_tool, ema_config, folder, '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    return folder


def train(load_tool, config, work_dir, *options):
    """As in a process of its own: mmengine would share a visualizer of the same name."""
    name = f'visualizer.name=run_{next(NUMBERS)}'
    if '--cfg-options' not in options:
        options = (*options, '--cfg-options')
    load_tool('train.py').main([str(config), '--work-dir', str(work_dir), *options, name])


def test_every_run_has_a_record(work_dir):
    first, second = (json.loads(p.read_text()) for p in sorted(work_dir.glob('*/run.json')))
    assert (first['task'], first['seed'], first['ranks']) == ('train', 0, 1)
    assert first['environment']['torch'] == torch.__version__
    assert (first['resumed'], first['start_iteration']) == (False, 0)
    assert (second['resumed'], second['start_iteration']) == (True, 2)
    assert second['checkpoint'] == str(work_dir / 'epoch_1.pth')
    assert first['command'] and first['host'] and first['started'] <= second['started']
    for run in work_dir.glob('*/run.json'):
        config = Config.fromfile(run.parent / 'vis_data' / 'config.py')
        assert config.custom_hooks[-1].type == 'EMAHook'


def test_curves_are_written_for_tensorboard_and_for_programs(work_dir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = min(work_dir.glob('*/vis_data'))
    rows = [json.loads(line) for line in (run / 'scalars.json').read_text().splitlines()]
    trained, validated = rows
    assert {'loss', 'loss_reid', 'lr', 'time', 'data_time', 'data_share'} < trained.keys()
    assert {'oim/lut_filled', 'oim/queue_filled', 'oim/labelled_people'} < trained.keys()
    assert trained['loss'] == pytest.approx(
        sum(value for key, value in trained.items() if key.startswith('loss_')), rel=1e-5
    )
    assert 'search/mAP' in validated
    events = EventAccumulator(str(run)).Reload()
    assert set(events.Tags()['scalars']) == (trained.keys() | validated.keys()) - {'step'}
    assert events.Scalars('oim/lut_filled')[0].value == pytest.approx(trained['oim/lut_filled'])


@HOOKS.register_module(name='StateKeeper')
class StateKeeper(Hook):
    """Keeps the state that a training begins with."""

    def before_train(self, runner):
        ema = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
        log = runner.message_hub.state_dict()['log_scalars']
        StateKeeper.state = {
            'model': {k: v.clone() for k, v in runner.model.state_dict().items()},
            'average': {k: v.clone() for k, v in ema.ema_model.state_dict().items()},
            'optimizer': runner.optim_wrapper.state_dict(),
            'schedulers': [dict(s.state_dict()) for s in runner.param_schedulers],
            'log': {k: [part.tolist() for part in v.data] for k, v in log.items()},
            'progress': (runner.epoch, runner.iter),
        }


@pytest.fixture
def scaled(monkeypatch):
    """Mixed precision as on a GPU, but on the CPU."""
    if torch.cuda.is_available():
        return
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr('mmengine.runner.amp.autocast', lambda **_: nullcontext())
    monkeypatch.setattr(f'{module}.GradScaler', lambda **kw: torch.amp.GradScaler('cpu', **kw))


def test_a_resumed_run_begins_with_the_whole_state(ema_config, tmp_path, scaled):
    config = Config.fromfile(ema_config)
    config.work_dir, config.train_cfg.max_epochs = str(tmp_path), 1
    config.visualizer = dict(type='Visualizer', vis_backends=[], name='state')
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.optim_wrapper = {
        **config.optim_wrapper,
        'type': 'AmpOptimWrapper',
        'loss_scale': dict(init_scale=64.0, growth_interval=2),
    }
    Runner.from_cfg(config).train()
    saved = read_checkpoint(tmp_path / 'epoch_1.pth')
    config.resume, config.load_from = True, str(tmp_path / 'epoch_1.pth')
    config.custom_hooks.append(dict(type='StateKeeper'))
    config.experiment_name = config.visualizer.name = 'resumed'
    Runner.from_cfg(config).train()
    state = StateKeeper.state
    prefix = 'module.'
    average = {k: v for k, v in state['average'].items() if k.startswith(prefix)}
    assert state['average'].keys() - average.keys() == {'steps'}
    assert state['average']['steps'] == saved['ema_state_dict']['steps'] == 2
    # mmengine saves the average as the weights, and the weights as the average.
    for key, value in average.items():
        assert torch.equal(value.cpu(), saved['state_dict'][key.removeprefix(prefix)]), key
    for key, value in state['model'].items():
        assert torch.equal(value.cpu(), saved['ema_state_dict'][prefix + key]), key
    trained = {key: value.cpu() for key, value in state['model'].items()}
    differ = [k for k, v in trained.items() if not torch.equal(v, saved['state_dict'][k])]
    assert differ
    assert state['optimizer']['loss_scaler'] == saved['optimizer']['loss_scaler']
    assert state['optimizer']['loss_scaler']['scale'] == 128.0
    torch.testing.assert_close(
        state['optimizer']['state'],
        saved['optimizer']['state'],
        rtol=0,
        atol=0,
        check_device=False,
    )
    assert state['schedulers'] == saved['param_schedulers']
    log = {
        k: [part.tolist() for part in v.data]
        for k, v in saved['message_hub']['log_scalars'].items()
    }
    assert state['log'] == log
    assert state['progress'] == (1, 2)


def refuse(checkpoint, match, load_tool, config, *options):
    with pytest.raises(CheckpointError, match=match):
        train(load_tool, config, checkpoint.parent / 'refused', *options)
    assert not list((checkpoint.parent / 'refused').glob('*.pth'))


@pytest.mark.parametrize('options', [('--resume', '{}'), ('--cfg-options', 'load_from={}')])
def test_training_refuses_a_checkpoint_that_would_run_code(
    options, work_dir, ema_config, tmp_path, load_tool
):
    content = read_checkpoint(work_dir / 'epoch_1.pth')
    path = tmp_path / 'strange.pth'
    torch.save(content | {'note': tmp_path}, path)
    options = [option.format(path) for option in options]
    refuse(path, r'strange.pth is refused.*Path', load_tool, ema_config, *options)


def test_resuming_refuses_half_a_state_and_other_weights(work_dir, ema_config, tmp_path, load_tool):
    content = read_checkpoint(work_dir / 'epoch_1.pth')
    path = tmp_path / 'half.pth'
    torch.save({k: content[k] for k in ('meta', 'state_dict', 'message_hub')}, path)
    refuse(path, 'no optimizer, param_schedulers', load_tool, ema_config, '--resume', str(path))
    content['state_dict']['roi_head.reid_head.criterion.lut'] = torch.zeros(4, 16)
    torch.save(content, path)
    refuse(path, r'1 of another shape .*lut', load_tool, ema_config, '--resume', str(path))


def publish(load_tool, *arguments):
    load_tool('misc/publish_model.py').main([str(argument) for argument in arguments])


def test_publishing(work_dir, tmp_path, load_tool, capsys):
    publish(load_tool, work_dir / 'epoch_1.pth', '--out', tmp_path)
    (path,) = tmp_path.iterdir()
    assert str(path) in capsys.readouterr().out
    assert path.name == f'ema-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth'
    content = torch.load(path, weights_only=True)
    assert content.keys() == {'meta', 'state_dict'}
    saved = read_checkpoint(work_dir / 'epoch_1.pth')
    gone = saved['state_dict'].keys() - content['state_dict'].keys()
    assert gone == {
        f'roi_head.reid_head.criterion.{name}' for name in ('lut', 'queue', 'queue_pointer')
    }
    for key, value in content['state_dict'].items():
        assert torch.equal(value, saved['state_dict'][key]), key
    config = Config.fromstring(content['meta']['cfg'], file_format='.py')
    assert 'work_dir' not in config
    log = read_training_log(work_dir)
    assert content['meta']['metrics']['search/mAP'] == dict(log.curves['search/mAP'])[2]
    assert content['meta']['dataset_meta']['classes'] == ('person',)
    MODELS.build(config.model).load_state_dict(content['state_dict'], strict=False)
    publish(load_tool, work_dir / 'epoch_1.pth', '--out', tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_publishing_the_weights_behind_the_average(work_dir, tmp_path, load_tool):
    checkpoint = work_dir / 'epoch_1.pth'
    options = ('--out', tmp_path, '--name', 'net', '--trained-weights', '--keep-tables')
    publish(load_tool, checkpoint, *options)
    (path,) = tmp_path.glob('net-*.pth')
    state, saved = torch.load(path, weights_only=True)['state_dict'], read_checkpoint(checkpoint)
    assert state.keys() == saved['state_dict'].keys()
    for key, value in state.items():
        assert torch.equal(value, saved['ema_state_dict'][f'module.{key}']), key


def test_publishing_what_is_no_training_checkpoint(tmp_path, load_tool):
    torch.save({'state_dict': {'w': torch.zeros(2)}}, tmp_path / 'bare.pth')
    with pytest.raises(UserError, match='bare.pth holds no config'):
        publish(load_tool, tmp_path / 'bare.pth')


def test_analysis_of_a_resumed_training(work_dir, tmp_path, load_tool, capsys):
    tool, plot = load_tool('analysis_tools/analyze_logs.py'), tmp_path / 'curves.png'
    tool.main([str(work_dir), str(work_dir), '--plot', str(plot)])
    out = capsys.readouterr().out
    assert 'outputs: 4 iterations, 2 epochs in 2 runs' in out
    assert 'search/mAP' in out and 's per step' in out
    assert read_image(plot).shape[1] > 1000
    with pytest.raises(UserError, match='--keys los: not in any'):
        tool.main([str(work_dir), '--keys', 'los'])


def test_wandb_is_one_key_away(ema_config, tmp_path, monkeypatch):
    """With a stand-in for the package: the run would go to its servers."""
    from mmps.registry import VISUALIZERS

    (tmp_path / 'wandb.py').write_text(
        'rows = []\n'
        'def init(**options): rows.append(options)\n'
        'def log(row, commit): rows.append(row)\n'
        'def join(): rows.append("closed")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = {
        'visualizer.vis_backends.1.type': 'WandbVisBackend',
        'visualizer.vis_backends.1.init_kwargs.project': 'person-search',
    }
    config = load_config(str(ema_config), options)
    visualizer = VISUALIZERS.build({**config.visualizer, 'save_dir': str(tmp_path), 'name': 'w'})
    visualizer.add_scalars({'loss': 1.0}, step=3)
    visualizer.close()
    import wandb

    assert wandb.rows[0]['project'] == 'person-search'
    assert wandb.rows[1:] == [{'loss': 1.0}, 'closed']
