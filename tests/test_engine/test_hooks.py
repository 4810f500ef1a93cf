import random
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import nn

from mmps.engine import NumIdentitiesCheckHook, ResumedValidationHook, SeedIterationHook


def draw(seed, iteration):
    SeedIterationHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_numbers_are_a_function_of_seed_and_iteration():
    assert draw(0, 7) == draw(0, 7)
    values = {draw(0, 7), draw(0, 8), draw(1, 7)}
    assert len(values) == 3
    assert all(len({one[i] for one in values}) == 3 for i in range(3))


def runner(rows, identities):
    model = nn.Module()
    model.roi_head = nn.Module()
    model.roi_head.reid_head = nn.Module()
    model.roi_head.reid_head.num_ids = rows
    dataset = SimpleNamespace(num_ids=identities, data_root='data/PRW')
    return SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))


def test_matching_identities_pass():
    NumIdentitiesCheckHook().before_train(runner(483, 483))


@pytest.mark.parametrize('rows', [482, 484])
def test_another_number_of_identities_is_refused(rows):
    with pytest.raises(ValueError, match='num_ids=483'):
        NumIdentitiesCheckHook().before_train(runner(rows, 483))


def resumed(epoch, *, val_interval=2, val_begin=1, max_epochs=5, validates=True):
    """How many validations the hook runs for a training resumed after ``epoch``."""
    loop = mock.Mock(spec=EpochBasedTrainLoop)
    loop.configure_mock(epoch=epoch, iter=10 * epoch, max_epochs=max_epochs, val_begin=val_begin)
    loop.val_interval = val_interval
    val_loop = mock.Mock() if validates else None
    runner = SimpleNamespace(train_loop=loop, val_loop=val_loop, logger=mock.Mock())
    ResumedValidationHook().before_train(runner)
    return val_loop.run.call_count if validates else None


def test_validation_behind_a_resumed_checkpoint_is_repeated():
    assert [resumed(epoch) for epoch in range(6)] == [0, 0, 1, 0, 1, 1]
    assert resumed(2, val_begin=3) == 0
    resumed(2, validates=False)


def test_validation_behind_a_resumed_iteration_is_repeated():
    loop = mock.Mock(spec=IterBasedTrainLoop)
    loop.configure_mock(epoch=0, iter=200, max_iters=1000, val_begin=1, val_interval=100)
    runner = SimpleNamespace(train_loop=loop, val_loop=mock.Mock(), logger=mock.Mock())
    ResumedValidationHook().before_train(runner)
    loop.iter = 250
    ResumedValidationHook().before_train(runner)
    assert runner.val_loop.run.call_count == 1
