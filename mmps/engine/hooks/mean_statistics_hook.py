from collections.abc import Iterator

from mmengine.dist import all_reduce_params
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmps.registry import HOOKS


@HOOKS.register_module()
class MeanStatisticsHook(Hook):
    """Averages the running statistics of batch norm over the ranks before they are used.

    Each rank keeps those of its own images. Without this hook the ranks of a validation would
    evaluate different networks, and a checkpoint would hold rank 0's. mmengine's
    ``SyncBuffersHook`` averages the tables and counters of the model too, and forgets the copy
    that ``EMAHook`` keeps.
    """

    def after_train_epoch(self, runner: Runner) -> None:
        """Before a checkpoint is written."""
        self._average(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """For training that is counted in iterations, where validation comes within an epoch."""
        self._average(runner)

    @staticmethod
    def _average(runner: Runner) -> None:
        averaged = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        for model in (runner.model, *averaged):
            all_reduce_params(_running_statistics(model), op='mean')


def _running_statistics(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            yield module.running_mean
            yield module.running_var
