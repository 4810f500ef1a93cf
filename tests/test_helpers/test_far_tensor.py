import numpy as np
import pytest
import torch
from helpers.far_tensor import FarTensor, far, far_samples
from helpers.prw_files import write_tiny_prw
from mmengine.runner import Runner

from mmps.models.detectors import PersonSearch
from mmps.testing.tiny_models import tiny_config


def test_a_far_tensor_is_not_read_and_not_mixed():
    near = torch.arange(4.0)
    tensor = far({'a': [near]})['a'][0]
    for read in (np.asarray, lambda t: t.numpy(), lambda t: np.array([t])):
        with pytest.raises(TypeError, match='cpu'):
            read(tensor * 2)
    with pytest.raises(RuntimeError, match='not all tensors are on the same device'):
        tensor + near
    assert isinstance(tensor + 1, FarTensor) and isinstance(tensor + torch.tensor(1.0), FarTensor)
    np.testing.assert_array_equal((tensor + tensor).cpu().numpy(), [0, 2, 4, 6])
    assert tensor.sum().item() == 6


def far_results(step, seen):
    """A step of a model whose results are far."""

    def far_step(*args, **kwargs):
        results = step(*args, **kwargs)
        seen.append(step.__name__)
        return far(results) if isinstance(results, dict) else far_samples(results)

    return far_step


def test_training_and_validation_take_results_of_a_gpu(tmp_path, monkeypatch):
    seen = []
    for name in ('train_step', 'val_step'):
        step = far_results(getattr(PersonSearch, name), seen)
        monkeypatch.setattr(PersonSearch, name, step)
    length = dict(train_cfg__max_epochs=1, train_cfg__val_interval=1)
    config = tiny_config('ps_densenet121_att_prw.py', write_tiny_prw(tmp_path / 'prw'), **length)
    config.work_dir = str(tmp_path / 'work')
    runner = Runner.from_cfg(config)
    runner.train()
    assert set(seen) == {'train_step', 'val_step'}
    assert np.isfinite(runner.message_hub.get_scalar('val/search/mAP').current())
