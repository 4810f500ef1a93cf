import pytest
import torch
from mmengine.config import Config

from mmps.utils.cli import UserError


@pytest.fixture
def train(load_tool):
    return load_tool('train.py')


@pytest.fixture
def config(tmp_path):
    return Config(dict(work_dir=str(tmp_path), load_from=None, resume=False))


def test_resume_takes_the_newest_checkpoint(train, config, tmp_path, capsys):
    for number in (2, 10):
        torch.save({'state_dict': {}}, tmp_path / f'epoch_{number}.pth')
    train.set_resume(config, 'auto')
    assert config.resume is True
    assert config.load_from == str(tmp_path / 'epoch_10.pth')
    assert 'resuming from' in capsys.readouterr().out


def test_resume_starts_afresh_where_there_is_none(train, config, tmp_path, capsys):
    train.set_resume(config, 'auto')
    assert (config.resume, config.load_from) == (False, None)
    assert f'no checkpoint in {tmp_path}' in capsys.readouterr().out


def test_resume_from_a_given_checkpoint(train, config, tmp_path):
    path = tmp_path / 'other.pth'
    with pytest.raises(UserError, match='other.pth does not exist'):
        train.set_resume(config, str(path))
    torch.save({}, path)
    train.set_resume(config, str(path))
    assert (config.resume, config.load_from) == (True, str(path))


def test_without_resume_nothing_changes(train, config, tmp_path):
    torch.save({}, tmp_path / 'epoch_1.pth')
    train.set_resume(config, None)
    assert (config.resume, config.load_from) == (False, None)


@pytest.mark.parametrize(
    ('argv', 'resume'), [([], None), (['--resume'], 'auto'), (['--resume', 'a.pth'], 'a.pth')]
)
def test_resume_argument(train, argv, resume):
    assert train.parse_arguments(['config.py', *argv]).resume == resume


def test_amp_explains_itself_without_a_gpu(train, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(UserError, match='--amp: mixed precision needs a GPU'):
        train.set_amp(Config(dict(optim_wrapper=dict(type='OptimWrapper'))))


def test_amp_with_a_gpu(train, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    config = Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(lr=1))))
    train.set_amp(config)
    assert config.optim_wrapper.type == 'AmpOptimWrapper'
    assert config.optim_wrapper.loss_scale == 'dynamic'
    assert config.optim_wrapper.optimizer.lr == 1
    with pytest.raises(UserError, match='optim_wrapper.type=ApexOptimWrapper'):
        train.set_amp(Config(dict(optim_wrapper=dict(type='ApexOptimWrapper'))))


def test_auto_scale_lr(train):
    config = Config(dict(auto_scale_lr=dict(enable=False, base_batch_size=4)))
    train.set_auto_scale_lr(config, 'x.py')
    assert config.auto_scale_lr.enable is True
    with pytest.raises(UserError, match='config x.py has no auto_scale_lr.base_batch_size'):
        train.set_auto_scale_lr(Config(dict(model=1)), 'x.py')
