import functools
import gc
import importlib
import importlib.metadata
import os
import sys
import time

# Tests run in more processes than there are cores; theirs inherit it.
os.environ.setdefault('OMP_NUM_THREADS', '1')
# So do they the folder of `helpers`, which this process has from pyproject.toml.
os.environ['PYTHONPATH'] = os.pathsep.join(
    filter(None, (os.path.dirname(__file__), os.environ.get('PYTHONPATH')))
)

import pytest


def pytest_xdist_auto_num_workers():
    """One process more than cores: a fifth of the time, tests wait for streams, kills, servers."""
    from mmps.utils.threads import usable_cores

    return usable_cores() + 1


def pytest_configure(config):
    """What every test needs. The process that only hands them out to others begins without, which
    spares its imports.
    """
    if config.option.dist != 'no':
        return
    importlib.import_module('torch')  # before others that bring an OpenMP of their own
    import yapf.yapflib.yapf_api
    from hypothesis import settings

    # OpenVINO, which tests import themselves, tells nobody of it.
    sys.modules.setdefault('openvino_telemetry', None)
    # A runner formats its config a dozen times, 0.4 s each; the program it writes is the same
    # without.
    yapf.yapflib.yapf_api.FormatCode = lambda text, **options: (text, True)
    # Each training of a test records what is installed, which does not change: 0.4 s each, and
    # 0.1 s for the versions.
    for name in ('packages_distributions', 'version'):
        setattr(importlib.metadata, name, functools.cache(getattr(importlib.metadata, name)))
    # The same examples everywhere, so that a change is judged by itself; HYPOTHESIS_PROFILE=search
    # looks for new ones.
    settings.register_profile('fixed', derandomize=True)
    settings.register_profile('search', max_examples=500)
    settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'fixed'))


FORKS = (
    *('test_kill_and_resume.py', 'test_scaling.py', 'test_person_search_distributed.py'),
    *('test_resuming.py', 'test_grid.py', 'test_oim_distributed.py', 'test_oim_statistics.py'),
    *('test_global_batch_norm.py', 'test_checks.py', 'test_extending.py'),
)
"""Files whose tests fork this process; they come first, the longest before the others."""
LONG = (
    *('test_run_grid.py', 'test_configs.py', 'test_grids.py', 'test_person_search.py'),
    *('test_peer.py', 'test_mat.py', 'test_registry.py', 'test_fast.py', 'test_fuzzing.py'),
    *('test_lance.py', 'test_live.py', 'test_tracklets.py', 'test_export_onnx.py'),
    *('test_product.py', 'test_search_tools.py', 'test_published_models.py', 'test_app.py'),
    *('test_indexing.py', 'test_conversion.py', 'test_networks.py'),
)
"""Files that take long, the longest before the others; shorter ones fill the gaps behind them."""
IN_TRAININGS = (
    *('torch._dynamo', 'torch.utils.tensorboard', 'setuptools', 'mmdet.engine'),
    *('mmdet.evaluation', 'mmps.deployment'),
)
"""What a training imports on its way, 0.1 to 1 s each; the first by every optimizer."""
THREADS = {
    *('test_apis', 'test_deployment', 'test_retrieval', 'test_sources', 'test_web'),
    *('test_export_onnx.py', 'test_manage_gallery.py', 'test_picture_tools.py'),
    *('test_search_tools.py', 'test_gallery.py', 'test_page.py', 'test_networks.py'),
    *('test_published', 'test_published_models.py', 'test_examples.py'),
}
"""Folders and files that load engines and runtimes, whose threads a fork does not survive: they
come behind all others.
"""


def _place(item):
    first, name = (*FORKS, *LONG), item.path.name
    behind = bool(THREADS & set(item.path.parts))
    return behind, first.index(name) if name in first else len(first)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items.sort(key=_place)


def pytest_collection_finish(session):
    if any(item.path.name in FORKS for item in session.items):
        # Which forks have from here.
        importlib.metadata.packages_distributions()
        for name in IN_TRAININGS:
            importlib.import_module(name)
    # Every data set that is built collects garbage, 0.4 s each where all modules are looked at.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _scope():
    """The default scope is global to the process, so every test sets it."""
    from mmengine.registry import init_default_scope

    init_default_scope('mmps')


@pytest.fixture(autouse=True)
def _visualizer():
    """The visualizer is global to the process too, and a forked one hangs when it logs: the thread
    that writes for TensorBoard stays behind.
    """
    yield
    from mmdet.visualization import DetLocalVisualizer
    from mmengine.visualization import Visualizer

    for kind in (Visualizer, DetLocalVisualizer):
        for visualizer in kind._instance_dict.values():
            visualizer.close()
        kind._instance_dict.clear()


@pytest.fixture(autouse=True)
def _logger():
    """So are mmengine's loggers, whose files a server closes when it configures logging."""
    yield
    from mmengine.logging import MMLogger

    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    MMLogger._instance_dict.clear()


@pytest.fixture
def time_zone():
    """Sets the time zone of this process, until the test ends."""
    with pytest.MonkeyPatch.context() as patch:

        def use(name):
            patch.setenv('TZ', name)
            time.tzset()

        yield use
    time.tzset()


@pytest.fixture(autouse=True)
def _seed():
    import torch

    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope='session')
def _index_cache(tmp_path_factory):
    """What the tests and the tools they start read stays out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('MMPS_INDEX_CACHE', str(tmp_path_factory.mktemp('index_cache')))
        yield
