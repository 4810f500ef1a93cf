import logging

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmps.registry import HOOKS

from .log_interval import BEFORE_LOGGER, steps_to_log


@HOOKS.register_module()
class DataTimeHook(Hook):
    """Adds to each line of the log the share of the time spent waiting for data.

    Says once what to do where it is large. The first line of a run, in which workers start, is not
    judged.

    Args:
        warn_above: Share from which on it says so, or None.
    """

    priority = BEFORE_LOGGER

    def __init__(self, warn_above: float | None = 0.3):
        self.warn_above = warn_above
        self._lines = 0

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
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
