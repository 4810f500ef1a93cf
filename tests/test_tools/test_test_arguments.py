from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmps.utils.errors import UserError


@pytest.fixture
def test_tool(load_tool):
    return load_tool('test.py')


def test_checkpoint_of_another_model_is_a_user_error(test_tool, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'state_dict': nn.Linear(2, 5).state_dict()}, path)
    with pytest.raises(UserError, match='2 of another shape'):
        test_tool.check_weights(SimpleNamespace(model=nn.Linear(2, 3)), str(path))
    test_tool.check_weights(SimpleNamespace(model=nn.Linear(2, 5)), str(path))


def test_amp_only_where_it_is_faster(test_tool, monkeypatch):
    config = Config(dict(test_cfg=dict(type='TestLoop')))
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr(test_tool, 'cpu_has_bfloat16', lambda: False)
    with pytest.raises(UserError, match='does not compute in bfloat16'):
        test_tool.set_test_amp(config)
    monkeypatch.setattr(test_tool, 'cpu_has_bfloat16', lambda: True)
    test_tool.set_test_amp(config)
    assert config.test_cfg.fp16 is True
