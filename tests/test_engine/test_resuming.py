import os
import random
import time
from multiprocessing import get_context
from types import SimpleNamespace
from unittest import mock
from uuid import uuid4

import numpy as np
import pytest
import torch
from helpers.ranks import run_ranks
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.logging import MessageHub
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch import distributed, nn

from mmps.engine import (
    AtomicLocalBackend,
    MeanStatisticsHook,
    ResumedValidationHook,
    SeedIterationHook,
)
from mmps.models.losses import OIMLoss


def write(target):
    """Two contents in turn, for ever."""
    backend = AtomicLocalBackend()
    while True:
        for value in (b'a', b'b'):
            backend.put(value * 30_000_000, target)


def test_selected_by_name():
    assert isinstance(
        get_file_backend('x', backend_args=dict(backend='AtomicLocalBackend')), AtomicLocalBackend
    )


def test_writes_into_a_new_folder_and_leaves_no_other_file(tmp_path):
    AtomicLocalBackend().put(b'weights', tmp_path / 'new' / 'epoch_1.pth')
    assert (tmp_path / 'new' / 'epoch_1.pth').read_bytes() == b'weights'
    assert os.listdir(tmp_path / 'new') == ['epoch_1.pth']


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / 'epoch_1.pth'
    target.write_bytes(b'old')
    with pytest.raises(TypeError):
        AtomicLocalBackend().put('text', target)
    assert target.read_bytes() == b'old'


def test_a_killed_writer_leaves_a_complete_file(tmp_path):
    target = tmp_path / 'epoch_1.pth'
    for trial in range(2):
        process = get_context('fork').Process(target=write, args=(target,))
        process.start()
        while not target.exists():
            time.sleep(0.01)
        time.sleep(0.05 + 0.037 * trial)
        process.kill()
        process.join()
        content = target.read_bytes()
        assert len(content) == 30_000_000
        assert content in (b'a' * len(content), b'b' * len(content))


def network(rank):
    model = nn.Sequential(nn.BatchNorm2d(2), OIMLoss(num_ids=1, embed_dim=2))
    model[0].running_mean.fill_(rank)
    model[0].running_var.fill_(1 + 2 * rank)
    model[0].num_batches_tracked.fill_(7)
    model[1].queue_pointer.fill_(3)
    return model


def average():
    rank = distributed.get_rank()
    model, hook = network(rank), EMAHook()
    hook.before_run(SimpleNamespace(model=model))
    MeanStatisticsHook().after_train_epoch(SimpleNamespace(model=model, hooks=[hook]))
    return model.state_dict(), hook.ema_model.module.state_dict()


def test_statistics_of_student_and_average_are_those_of_all_ranks(tmp_path):
    for state in (state for rank in run_ranks(average, 2, tmp_path) for state in rank):
        assert torch.equal(state['0.running_mean'], torch.full((2,), 0.5))
        assert torch.equal(state['0.running_var'], torch.full((2,), 2.0))
        assert state['0.num_batches_tracked'] == 7
        assert state['1.queue_pointer'] == 3


def test_one_process_keeps_its_own():
    model = network(5)
    MeanStatisticsHook().before_val_epoch(SimpleNamespace(model=model, hooks=[]))
    assert torch.equal(model[0].running_mean, torch.full((2,), 5.0))


def draw(seed, iteration):
    SeedIterationHook().before_train_iter(SimpleNamespace(seed=seed, iter=iteration), 0)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_numbers_are_a_function_of_seed_and_iteration():
    assert draw(0, 7) == draw(0, 7)
    values = {draw(0, 7), draw(0, 8), draw(1, 7)}
    assert len(values) == 3
    assert all(len({one[i] for one in values}) == 3 for i in range(3))


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
