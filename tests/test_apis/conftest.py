import pytest
import torch
from mmengine.registry import init_default_scope

from mmps.registry import MODELS
from mmps.testing.hashing_network import HashingNetwork
from mmps.testing.prw_files import write_tiny_prw
from mmps.testing.tiny_models import tiny_config


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory):
    """Config file and checkpoint of an untrained model, and the folder of its test set."""
    init_default_scope('mmps')
    folder = tmp_path_factory.mktemp('tiny_model')
    root = write_tiny_prw(folder / 'prw', test_frames=5)
    config = tiny_config('ps_densenet121_att_prw.py', root, test_dataloader__batch_size=2)
    config.dump(folder / 'tiny.py')
    torch.manual_seed(3)
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict()), folder / 'tiny.pth')
    return folder / 'tiny.py', folder / 'tiny.pth', root


@pytest.fixture
def hashing():
    """A network without weights."""
    return HashingNetwork()
