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
