from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmps.utils.cli import UserError


@pytest.fixture
def test_tool(load_tool):
    return load_tool('test.py')


def test_checkpoint_of_another_model_is_a_user_error(test_tool, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'state_dict': nn.Linear(2, 5).state_dict()}, path)
    with pytest.raises(UserError, match='2 of another shape'):
        test_tool.check_weights(SimpleNamespace(model=nn.Linear(2, 3)), str(path))
    test_tool.check_weights(SimpleNamespace(model=nn.Linear(2, 5)), str(path))
