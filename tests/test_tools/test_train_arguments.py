import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmps.utils.errors import UserError


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


@pytest.mark.parametrize(
    ('argv', 'dtype'), [([], None), (['--amp'], 'float16'), (['--amp', 'bfloat16'], 'bfloat16')]
)
def test_amp_argument(train, argv, dtype):
    assert train.parse_arguments(['config.py', *argv]).amp == dtype


def scaled_lr(train, batch_size, **optim_wrapper):
    """The learning rate of a config whose 0.01 belongs to 4 images per step."""
    config = Config(
        dict(
            auto_scale_lr=dict(enable=False, base_batch_size=4),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01), **optim_wrapper),
        )
    )
    train.set_auto_scale_lr(config, 'x.py')
    runner = SimpleNamespace(
        _train_dataloader=dict(batch_size=batch_size),
        world_size=2,
        logger=logging.getLogger(),
        param_schedulers=None,
    )
    wrapper = Runner.build_optim_wrapper(
        SimpleNamespace(model=torch.nn.Linear(1, 1)), config.optim_wrapper
    )
    Runner.scale_lr(runner, wrapper, config.auto_scale_lr)
    return wrapper.get_lr()['lr'][0]


def test_auto_scale_lr(train):
    assert scaled_lr(train, 2) == pytest.approx(0.01)
    assert scaled_lr(train, 8) == pytest.approx(0.04)
    assert scaled_lr(train, 2, accumulative_counts=4) == pytest.approx(0.04)


def test_auto_scale_lr_needs_to_know_where_from(train):
    with pytest.raises(UserError, match='config x.py has no auto_scale_lr.base_batch_size'):
        train.set_auto_scale_lr(Config(dict(model=1)), 'x.py')
