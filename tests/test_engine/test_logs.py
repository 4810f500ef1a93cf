import io
import logging
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import IterTimerHook, LoggerHook
from mmengine.hooks.hook import Hook
from mmengine.logging import MessageHub
from mmengine.runner.priority import get_priority
from torch import nn

from mmps.engine import DataTimeHook, OIMStatisticsHook, ProgressHook
from mmps.engine.logs import BEFORE_LOGGER, steps_to_log
from mmps.models.losses import OIMLoss


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('stream', [Terminal, io.StringIO])
def test_progress_is_shown_on_terminals_below_the_log(monkeypatch, stream):
    shown, log = stream(), io.StringIO()
    monkeypatch.setattr(sys, 'stderr', shown)
    monkeypatch.setattr(sys, 'stdout', log)
    logger = logging.Logger('progress')
    logger.addHandler(handler := logging.StreamHandler(log))
    runner = SimpleNamespace(test_dataloader=[0] * 5, logger=logger)
    hook = ProgressHook()
    hook.before_test_epoch(runner)
    for batch in range(5):
        hook.after_test_iter(runner, batch)
    logger.info('a line')
    hook.after_test_epoch(runner, metrics={})
    assert log.getvalue() == 'a line\n'
    assert ('5/5' in shown.getvalue()) == (stream is Terminal)
    assert 'a line' not in shown.getvalue()
    assert logger.handlers == [handler]


class Loader(list):
    num_workers = 2


def make_runner(length, **logger):
    return SimpleNamespace(
        hooks=[Hook(), LoggerHook(**logger)],
        train_dataloader=Loader(range(length)),
        message_hub=MessageHub('log'),
        logger=logging.getLogger('log_hooks'),
    )


@pytest.mark.parametrize(
    ('length', 'logger', 'lines'),
    [
        (7, dict(interval=3), {2: 3, 5: 3}),
        (7, dict(interval=3, ignore_last=False), {2: 3, 5: 3, 6: 1}),
        (2, dict(interval=3), {1: 2}),
        (6, dict(interval=3, ignore_last=False), {2: 3, 5: 3}),
    ],
)
def test_steps_of_a_line(length, logger, lines):
    """mmengine's own logger is asked when it writes."""
    written = []
    runner = make_runner(length, **logger)
    runner.iter, runner.experiment_name = 0, 'x'
    runner.log_processor = SimpleNamespace(get_log_after_iter=lambda *_: ({}, ''))
    for batch_idx in range(length):
        runner.visualizer = SimpleNamespace(
            add_scalars=lambda *_, batch_idx=batch_idx, **__: written.append(batch_idx)
        )
        runner.hooks[1].after_train_iter(runner, batch_idx)
    found = {i: steps_to_log(runner, i) for i in range(length)}
    assert {i: n for i, n in found.items() if n} == lines
    assert written == list(lines)


def test_priority_is_between_timer_and_logger():
    assert get_priority(IterTimerHook.priority) < BEFORE_LOGGER < get_priority(LoggerHook.priority)


def feed(hook, runner, data_time, steps=2):
    for batch_idx in range(steps):
        runner.message_hub.update_scalar('train/data_time', data_time)
        runner.message_hub.update_scalar('train/time', 1.0)
        hook.after_train_iter(runner, batch_idx)


def test_data_share_and_its_warning(caplog):
    runner = make_runner(2, interval=2)
    hook = DataTimeHook(warn_above=0.3)
    feed(hook, runner, 0.9)  # workers start: logged, not judged
    assert runner.message_hub.get_scalar('train/data_share').current() == pytest.approx(0.9)
    feed(hook, runner, 0.25)
    assert runner.message_hub.get_scalar('train/data_share').current() == pytest.approx(0.25)
    assert not caplog.records
    feed(hook, runner, 0.4)
    feed(hook, runner, 0.4)
    (record,) = caplog.records
    assert '40% of the last 2 steps' in record.getMessage()
    assert 'num_workers (now 2)' in record.getMessage()


def test_oim_statistics_reach_the_log():
    model = nn.ModuleDict({'criterion': OIMLoss(num_ids=2, embed_dim=2, queue_size=4)})
    runner = make_runner(2, interval=2)
    runner.model = model
    for batch_idx in range(2):
        model.criterion(torch.eye(2), torch.tensor([0, -1]))
        OIMStatisticsHook().after_train_iter(runner, batch_idx)
    log = {k: v.data[0].tolist() for k, v in runner.message_hub.log_scalars.items()}
    assert log == {
        'train/oim/lut_filled': [0.5],
        'train/oim/queue_filled': [0.5],
        'train/oim/labelled_people': [1.0],
        'train/oim/own_similarity': [1.0],
    }
