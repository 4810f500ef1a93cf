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
    config = Config(dict(model={}))
    test_tool.check_weights(SimpleNamespace(model=nn.Linear(2, 5), cfg=config), str(path))


@pytest.mark.parametrize(
    ('argv', 'wanted'),
    [
        ([], None),
        (['--amp'], 'half'),
        (['--amp', 'auto'], 'auto'),
        (['--amp', '--out', 'p.npz'], 'half'),
        (['--amp', 'bfloat16'], 'bfloat16'),
    ],
)
def test_amp_may_have_a_value_and_stand_anywhere(test_tool, argv, wanted):
    for words in (['config.py', 'weights.pth', *argv], [*argv, 'config.py', 'weights.pth']):
        arguments = test_tool.parse_arguments(words)
        found = arguments.amp, arguments.config, arguments.checkpoint
        assert found == (wanted, 'config.py', 'weights.pth')


@pytest.mark.parametrize(
    ('gpu', 'bfloat16', 'asked', 'switched'),
    [
        (False, True, 'half', torch.bfloat16),
        (False, True, 'auto', torch.bfloat16),
        (False, False, 'auto', None),
        (True, True, 'half', torch.float16),
        (True, True, 'bfloat16', torch.bfloat16),
        (True, False, 'auto', None),
    ],
)
def test_precision_of_the_test_loop(test_tool, monkeypatch, gpu, bfloat16, asked, switched):
    config = Config(dict(test_cfg=dict(type='TestLoop')))
    dtypes = {'cuda': torch.float16, 'cpu': torch.bfloat16}  # what PyTorch has set
    monkeypatch.setattr('torch.set_autocast_dtype', dtypes.__setitem__)
    monkeypatch.setattr('torch.cuda.is_available', lambda: gpu)
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda **_: bfloat16)
    monkeypatch.setattr('mmps.engine.amp.cpu_has_bfloat16', lambda: bfloat16)
    test_tool.set_test_amp(config, asked)
    assert config.test_cfg.get('fp16', False) is (switched is not None)
    assert switched in (None, dtypes['cuda' if gpu else 'cpu'])


def test_amp_only_where_it_is_faster(test_tool, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr('mmps.engine.amp.cpu_has_bfloat16', lambda: False)
    with pytest.raises(UserError, match='does not compute in it'):
        test_tool.set_test_amp(Config(dict(test_cfg=dict(type='TestLoop'))), 'half')
