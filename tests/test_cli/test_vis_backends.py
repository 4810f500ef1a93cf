import importlib.util

import pytest
from mmengine.config import Config

from mmps.cli.common import require_vis_backends
from mmps.utils.errors import UserError


def config(*types):
    return Config(dict(visualizer=dict(vis_backends=[dict(type=name) for name in types])))


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)


def types(configured):
    return [backend.type for backend in configured.visualizer.vis_backends]


def test_installed_packages_change_nothing(capsys):
    configured = config('LocalVisBackend', 'TensorboardVisBackend')
    require_vis_backends(configured)
    assert types(configured) == ['LocalVisBackend', 'TensorboardVisBackend']
    assert not capsys.readouterr().out


def test_tensorboard_is_left_out_with_a_notice(nothing_installed, capsys):
    configured = config('LocalVisBackend', 'TensorboardVisBackend')
    require_vis_backends(configured)
    assert types(configured) == ['LocalVisBackend']
    assert 'pip install tensorboard' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('name', 'package'), [('WandbVisBackend', 'wandb'), ('MLflowVisBackend', 'mlflow')]
)
def test_others_were_asked_for(name, package, nothing_installed):
    with pytest.raises(UserError, match=f'{name} needs a package.*pip install {package}$'):
        require_vis_backends(config('LocalVisBackend', name))


def test_a_config_without_visualizer():
    require_vis_backends(Config(dict(model=1)))
