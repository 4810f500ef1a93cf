import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmps.engine import NumIdentitiesCheckHook, SeedIterationHook


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
