import logging

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmps.registry import HOOKS


@HOOKS.register_module()
class MissingMetricHook(Hook):
    """Lets a training go on whose validation has not the metric that the best checkpoint is for.

    A test set in which no query has anybody to find has no ``search/mAP``, and mmengine would stop
    at the missing key, after a whole epoch. No checkpoint becomes the best then.
    """

    # after the metrics are logged, before the checkpoint hook looks for the best
    priority = 'LOW'

    def __init__(self) -> None:
        self._told: set[str] = set()

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Marks the metrics as not measured, which mmengine passes over."""
        if metrics is None:
            return
        for hook in runner.hooks:
            wanted = isinstance(hook, CheckpointHook) and getattr(hook, 'key_indicators', None)
            for key in wanted or ():
                if key == 'auto' or key in metrics:
                    continue
                metrics[key] = None
                if key not in self._told:
                    self._told.add(key)
                    runner.logger.log(
                        logging.WARNING,
                        f'the validation has no {key}, so that no checkpoint is kept as the best; '
                        'mark queries whose person is in further test images, or choose by another '
                        'metric, e.g. default_hooks.checkpoint.save_best=det/AP',
                    )
