import importlib.util
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture(scope='session')
def tools():
    """The folder of the command-line tools."""
    return TOOLS


@pytest.fixture(scope='session')
def load_tool():
    """Import a tool by its path below ``tools/``: they are scripts, not part of the package."""

    def load(path):
        spec = importlib.util.spec_from_file_location(Path(path).stem, TOOLS / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope='module')
def config_file(tmp_path_factory):
    """A config that trains for one epoch on four images."""
    from helpers.prw_files import write_tiny_prw

    from mmps.testing.tiny_models import tiny_config

    folder = tmp_path_factory.mktemp('tiny')
    config = tiny_config(
        'ps_densenet121_att_prw.py',
        write_tiny_prw(folder / 'prw'),
        train_cfg__max_epochs=1,
        train_cfg__val_interval=1,
        optim_wrapper__optimizer__lr=1e-4,
        auto_scale_lr=dict(enable=False, base_batch_size=2),
    )
    path = folder / 'tiny.py'
    config.dump(path)
    return path
