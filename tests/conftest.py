import os

# Tests run in as many processes as there are cores; theirs inherit it.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest
import torch
from mmdet.visualization import DetLocalVisualizer
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer


@pytest.fixture(autouse=True)
def _scope():
    """The default scope is global to the process, so every test sets it."""
    init_default_scope('mmps')


@pytest.fixture(autouse=True)
def _visualizer():
    """The visualizer is global to the process too, and a forked one hangs when it logs: the thread
    that writes for TensorBoard stays behind.
    """
    yield
    for kind in (Visualizer, DetLocalVisualizer):
        for visualizer in kind._instance_dict.values():
            visualizer.close()
        kind._instance_dict.clear()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope='session')
def _index_cache(tmp_path_factory):
    """What the tests and the tools they start read stays out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('MMPS_INDEX_CACHE', str(tmp_path_factory.mktemp('index_cache')))
        yield
