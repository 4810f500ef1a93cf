import math

import pytest
import torch
from mmengine.config import Config

from mmps.utils.config import PROJECT, find_config, load_config
from mmps.utils.errors import UserError


def checkpoint(path, config):
    torch.save({'meta': {'cfg': config}, 'state_dict': {}}, path)
    return str(path)


@pytest.mark.parametrize('name', ['ps_densenet121_att_prw', 'configs/ps_densenet121_att_prw.py'])
def test_configs_that_come_with_the_package_go_by_their_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name) == str(PROJECT / 'configs/ps_densenet121_att_prw.py')
    assert load_config(name, {}).model.type == 'PersonSearch'
    (tmp_path / 'ps_densenet121_att_prw').write_text('a = 1')  # what is here comes first
    assert find_config('ps_densenet121_att_prw') == 'ps_densenet121_att_prw'


def test_a_checkpoint_carries_its_config(tmp_path):
    config = Config.fromfile(PROJECT / 'configs/quick_start/ps_densenet_slim_att_plus_synthetic.py')
    path = checkpoint(tmp_path / 'epoch_1.pth', config.pretty_text)
    found = load_config(path, {'train_cfg.max_epochs': 3})
    assert found.train_cfg.max_epochs == 3
    config.train_cfg.max_epochs = 3
    assert found.to_dict() == config.to_dict()
    assert found.filename == path.replace('.pth', '.py')


def test_values_of_a_config_in_a_checkpoint(tmp_path):
    text = "a = dict(b=[1, -2.5, None], c=(True, 'x'), d={'e f': float_of})\n"
    path = checkpoint(tmp_path / 'a.pth', text.replace('float_of', 'inf'))
    values = load_config(path, {}).to_dict()
    assert values == dict(a=dict(b=[1, -2.5, None], c=(True, 'x'), d={'e f': math.inf}))


@pytest.mark.parametrize(
    'text',
    ["a = __import__('os').system('touch ran')", 'a = open("ran", "w")', 'def f(): pass', '('],
)
def test_nothing_in_a_checkpoint_is_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = checkpoint(tmp_path / 'a.pth', text)
    with pytest.raises(UserError, match=r'the config in checkpoint .*a.pth is more than plain val'):
        load_config(path, {})
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [{'state_dict': {}}, {'meta': None}, [1]])
def test_a_checkpoint_without_a_config(content, tmp_path):
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='a.pth holds no config: give its config file too'):
        load_config(str(tmp_path / 'a.pth'), {})


@pytest.mark.parametrize('name', ['**', '[', 'no-such-config', '*'])
def test_what_is_no_name_of_a_config(name):
    assert find_config(name) is None
