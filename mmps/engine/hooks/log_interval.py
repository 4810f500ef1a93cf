"""When mmengine writes a line of the log, for hooks that have to be done just before."""

from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

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
