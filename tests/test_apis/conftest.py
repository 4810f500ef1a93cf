import pytest

# Fixtures import what they need: the process that hands tests out to others loads this file too.


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory):
    """Config file and checkpoint of an untrained model, and the folder of its test set."""
    from helpers.prw_files import write_tiny_prw
    from mmengine.registry import init_default_scope

    from mmps.testing.tiny_models import tiny_config
    from mmps.utils.checkpoint import save_untrained

    init_default_scope('mmps')
    folder = tmp_path_factory.mktemp('tiny_model')
    root = write_tiny_prw(folder / 'prw', test_frames=5)
    config = tiny_config('ps_densenet121_att_prw.py', root, test_dataloader__batch_size=2)
    config.dump(folder / 'tiny.py')
    save_untrained(config.model, folder / 'tiny.pth', seed=3)
    return folder / 'tiny.py', folder / 'tiny.pth', root


@pytest.fixture
def hashing():
    """A network without weights."""
    from helpers.hashing_network import HashingNetwork

    return HashingNetwork()
