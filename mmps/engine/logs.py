"""Hooks that add to the log of a run, and the record of what it was made with."""

import logging
import shlex
import socket
import sys
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook, LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

import mmps
from mmps.models.losses import OIMLoss
from mmps.registry import HOOKS
from mmps.utils.collect_env import checkout, collect_env
from mmps.utils.files import whole_file, write_json
from mmps.utils.training_log import RECORD

BEFORE_LOGGER = 55
"""Priority between that of mmengine's timer and that of its logger."""


def steps_to_log(runner: Runner, batch_idx: int) -> int:
    """How many steps the line covers that is about to be written, 0 where there will be none."""
    logger = next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None)
    if logger is None:
        return 0
    if logger.every_n_inner_iters(batch_idx, logger.interval):
        return logger.interval
    length = len(runner.train_dataloader)
    last = logger.end_of_epoch(runner.train_dataloader, batch_idx)
    if last and (not logger.ignore_last or length <= logger.interval):
        return length % logger.interval or logger.interval
    return 0


@HOOKS.register_module()
class DataTimeHook(Hook):
    """Adds to each line of the log the share of the time spent waiting for data.

    Says once what to do where it is large. The first line of a run, in which workers start, is not
    judged.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> from mmengine.logging import MessageHub
        >>> hub = MessageHub('example')
        >>> hub.update_scalars({'train/data_time': 0.6, 'train/time': 0.8})  # seconds of a step
        >>> runner = MagicMock(message_hub=hub, hooks=[LoggerHook(interval=1)])
        >>> HOOKS.build(dict(type='DataTimeHook', warn_above=0.5)).after_train_iter(runner, 0)
        >>> float(hub.get_scalar('train/data_share').current().round(2))
        0.75

    Args:
        warn_above: Share of the time from which on it warns, or None.
    """

    priority = BEFORE_LOGGER

    def __init__(self, warn_above: float | None = 0.3):
        self.warn_above = warn_above
        self._lines = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, *args, **kwargs) -> None:
        """Puts ``data_share`` where mmengine's logger finds it."""
        steps = steps_to_log(runner, batch_idx)
        if not steps:
            return
        waiting, whole = (
            runner.message_hub.get_scalar(f'train/{name}').mean(steps)
            for name in ('data_time', 'time')
        )
        share = float(waiting / whole)
        runner.message_hub.update_scalar('train/data_share', share)
        self._lines += 1
        if self._lines > 1 and self.warn_above is not None and share > self.warn_above:
            self.warn_above = None
            runner.logger.log(
                logging.WARNING,
                f'{share:.0%} of the last {steps} steps went by waiting for data. Raise '
                f'train_dataloader.num_workers (now {runner.train_dataloader.num_workers}), and '
                'have train_dataloader.persistent_workers=True and the images on a local disk.',
            )


@HOOKS.register_module()
class OIMStatisticsHook(Hook):
    """Adds to each line of the log how full OIM's tables are and how well they tell people apart.

    The names are ``oim/`` and the keys of :meth:`OIMStatistics.summarise`.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> import torch
        >>> from mmengine.logging import MessageHub
        >>> hub, loss = MessageHub('example'), OIMLoss(num_ids=2, embed_dim=2, queue_size=4)
        >>> _ = loss(torch.eye(2), torch.tensor([1, -1]))
        >>> runner = MagicMock(message_hub=hub, hooks=[LoggerHook(interval=1)], model=loss)
        >>> HOOKS.build(dict(type='OIMStatisticsHook')).after_train_iter(runner, 0)
        >>> float(hub.get_scalar('train/oim/queue_filled').current())
        0.25
    """

    priority = BEFORE_LOGGER

    def after_train_iter(self, runner: Runner, batch_idx: int, *args, **kwargs) -> None:
        """Puts the statistics where mmengine's logger finds them, on all ranks alike."""
        if not steps_to_log(runner, batch_idx):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for loss in (module for module in model.modules() if isinstance(module, OIMLoss)):
            found = loss.statistics.summarise(loss.lut, loss.queue)
            for key, value in found.items():
                runner.message_hub.update_scalar(f'train/oim/{key}', value)


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows on a terminal how far an epoch, a validation or a test is, below the lines of the log.

    Configs do not name it: the tools add it. Output that is no terminal stays without.

    Example:
        >>> from unittest.mock import MagicMock  # in place of a runner
        >>> hook = HOOKS.build(dict(type='ProgressHook'))
        >>> hook.before_val_epoch(MagicMock(val_dataloader=range(3)))
        >>> hook.after_val_iter()  # on a terminal: validation:  33%|███▎      | 1/3
        >>> hook.after_val_epoch()
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._shown = ExitStack()
        self._bar: tqdm | None = None

    def _start(self, runner: Runner, title: str, steps: int) -> None:
        if not is_main_process():
            return
        bar = tqdm(total=steps, desc=title, leave=False, disable=None, mininterval=0.5)
        self._bar = self._shown.enter_context(bar)
        if not bar.disable:
            self._shown.enter_context(logging_redirect_tqdm([runner.logger]))

    def _step(self, *args: Any, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def _end(self, *args: Any, **kwargs: Any) -> None:
        self._shown.close()

    def before_train_epoch(self, runner: Runner) -> None:
        """Begins an epoch; of a training without epochs all of it."""
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        steps = len(runner.train_dataloader) if by_epoch else runner.max_iters
        self._start(runner, f'epoch {runner.epoch + 1}' if by_epoch else 'training', steps)

    def before_val_epoch(self, runner: Runner) -> None:
        """Begins a validation."""
        self._start(runner, 'validation', len(runner.val_dataloader))

    def before_test_epoch(self, runner: Runner) -> None:
        """Begins a test."""
        self._start(runner, 'test', len(runner.test_dataloader))

    after_train_iter = after_val_iter = after_test_iter = _step
    after_train_epoch = after_val_epoch = after_test_epoch = _end


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes down what a training or a test was made with, into the folder of its log.

    ``WORK_DIR/TIMESTAMP/run.json`` has what mmengine does not keep in a form to be read by
    programs: command, host, start, seed, ranks, what it goes on from, packages and hardware, and
    commit and changes of the checkouts. The resolved config is beside it, in
    ``vis_data/config.py``; what was changed but not committed, in ``uncommitted_*.diff``. A resumed
    run has a folder of its own, so that the records of the earlier ones stay.

    Example:
        >>> sorted(HOOKS.build(dict(type='RunRecordHook')).get_triggered_stages())
        ['before_test', 'before_train']
    """

    def before_train(self, runner: Runner) -> None:
        """Writes the record of a training."""
        self._write(runner, 'train', start_iteration=runner.iter)

    def before_test(self, runner: Runner) -> None:
        """Writes the record of a test."""
        self._write(runner, 'test')

    @master_only
    def _write(self, runner: Runner, task: str, **more: Any) -> None:
        folder = Path(runner.log_dir)
        write_json(
            folder / RECORD,
            {
                'task': task,
                'command': shlex.join([sys.executable, *sys.argv]),
                'working_folder': str(Path.cwd()),
                'host': socket.gethostname(),
                'started': datetime.now().astimezone().isoformat(timespec='seconds'),
                'config': runner.cfg.filename,
                'seed': runner.seed,
                'deterministic': runner.deterministic,
                'ranks': runner.world_size,
                'launcher': runner.launcher,
                'checkpoint': runner._load_from,
                'resumed': bool(runner._resume),
                **more,
                'checkouts': _checkouts(folder),
                'environment': collect_env(),
            },
        )


def _checkouts(folder: Path) -> list[dict[str, Any]]:
    """The checkouts of mmps and of the working folder, which may hold the user's own configs."""
    states = [checkout(Path(mmps.__file__).parent), checkout(Path.cwd())]
    found = {state['root']: state for state in states if state is not None}
    for root, state in found.items():
        if diff := state.pop('diff'):
            state['diff'] = f'uncommitted_{Path(root).name}.diff'
            with whole_file(folder / state['diff']) as temporary:
                temporary.write_text(diff, 'utf-8')
    return list(found.values())
