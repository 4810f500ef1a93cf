import pytest
import torch
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _scope():
    """The default scope is global to the process, so every test sets it."""
    init_default_scope('mmps')


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
