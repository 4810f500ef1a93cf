from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmps.models.losses import OIMLoss
from mmps.registry import HOOKS

from .log_interval import BEFORE_LOGGER, steps_to_log


@HOOKS.register_module()
class OIMStatisticsHook(Hook):
    """Adds to each line of the log how full OIM's tables are and how well they tell people apart.

    The names are ``oim/`` and the keys of :meth:`OIMStatistics.summarise`.
    """

    priority = BEFORE_LOGGER

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Puts the statistics where mmengine's logger finds them, on all ranks alike."""
        if not steps_to_log(runner, batch_idx):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for loss in (module for module in model.modules() if isinstance(module, OIMLoss)):
            found = loss.statistics.summarise(loss.lut, loss.queue)
            for key, value in found.items():
                runner.message_hub.update_scalar(f'train/oim/{key}', value)
