from types import SimpleNamespace

import torch
from helpers.ranks import run_ranks
from mmengine.hooks import EMAHook
from torch import distributed, nn

from mmps.engine import MeanStatisticsHook
from mmps.models.losses import OIMLoss


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
