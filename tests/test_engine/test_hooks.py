import logging
import random
from types import SimpleNamespace
from unittest import mock
from uuid import uuid4

import numpy as np
import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, get_priority
from torch import nn

from mmps.engine import (
    MissingMetricHook,
    NumIdentitiesCheckHook,
    ResumedValidationHook,
    SeedIterationHook,
)


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
    model.num_ids, model.num_ids_key = rows, 'model.x.num_ids'
    dataset = SimpleNamespace(num_ids=identities, data_root='data/PRW')
    return SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))


def test_matching_identities_pass():
    NumIdentitiesCheckHook().before_train(runner(483, 483))


def test_models_that_learn_no_identities_pass():
    NumIdentitiesCheckHook().before_train(runner(None, 483))


@pytest.mark.parametrize('rows', [482, 484])
def test_another_number_of_identities_is_refused(rows):
    with pytest.raises(ValueError, match='num_ids=483'):
        NumIdentitiesCheckHook().before_train(runner(rows, 483))


def resumed(step, kind=EpochBasedTrainLoop, *, best=None, validates=True, **options):
    """How many validations the hook runs in a training resumed after an epoch or iteration."""
    defaults = dict(val_interval=2, val_begin=1, max_epochs=5, max_iters=5, epoch=0, iter=step)
    if kind is EpochBasedTrainLoop:
        defaults |= dict(epoch=step, iter=10 * step)
    loop = mock.Mock(spec=kind)
    loop.configure_mock(**{**defaults, **options})
    hub = MessageHub(f'resumed {uuid4()}', runtime_info={'best_ckpt': best} if best else {})
    runner = SimpleNamespace(
        train_loop=loop,
        val_loop=mock.Mock() if validates else None,
        logger=mock.Mock(),
        message_hub=hub,
        hooks=[CheckpointHook()],
    )
    ResumedValidationHook().before_train(runner)
    return runner.val_loop.run.call_count if validates else None


@pytest.mark.parametrize('kind', [EpochBasedTrainLoop, IterBasedTrainLoop])
def test_validation_behind_a_resumed_checkpoint_is_repeated(kind):
    assert [resumed(step, kind) for step in range(6)] == [0, 0, 1, 0, 1, 1]
    assert resumed(2, kind, val_begin=3) == 0
    resumed(2, kind, validates=False)


def test_validation_that_made_a_best_checkpoint_is_not_repeated():
    assert resumed(2, best='work_dirs/best_search_mAP_epoch_2.pth') == 0
    assert resumed(2, best='work_dirs/best_search_mAP_epoch_12.pth') == 1
    assert resumed(4, IterBasedTrainLoop, best='work_dirs/best_search_mAP_iter_4.pth') == 0


def test_a_metric_that_the_validation_has_not(tmp_path, caplog):
    """mmengine's own hook takes None for "not measured" and stops at a missing key."""
    best = CheckpointHook(save_best='search/mAP', rule='greater')
    logger = logging.getLogger('missing')
    hooks = [CheckpointHook(), best]
    runner = SimpleNamespace(
        hooks=hooks, logger=logger, epoch=1, iter=3, message_hub=MessageHub('m')
    )
    hook = MissingMetricHook()
    metrics = {'search/queries': 0.0, 'det/AP': 0.5}
    with pytest.raises(KeyError):
        best._save_best_checkpoint(runner, metrics)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            hook.after_val_epoch(runner, metrics := {'search/queries': 0.0, 'det/AP': 0.5})
            best._save_best_checkpoint(runner, metrics)
    assert metrics == {'search/queries': 0.0, 'det/AP': 0.5, 'search/mAP': None}
    assert [record.getMessage()[:39] for record in caplog.records] == [
        'the validation has no search/mAP, so th'
    ]
    hook.after_val_epoch(runner, metrics := {'search/mAP': 0.5})
    assert metrics == {'search/mAP': 0.5}
    assert get_priority(hook.priority) < get_priority(best.priority)
