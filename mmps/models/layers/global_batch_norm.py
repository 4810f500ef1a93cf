import torch
import torch.nn.functional as F
from mmengine.dist import get_world_size
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from mmps.utils.dist import sum_over_ranks


class GlobalBatchNorm(_NormBase):
    """Batch norm of rows ``(n, num_features)``, with the statistics of the rows of all ranks.

    Unlike torch's ``SyncBatchNorm`` it runs on CPUs too, and a rank may have any number of rows, 0
    included. A single row over all ranks has no statistics, and is normalised with the running
    ones. Statistics are computed in float32.

    It is not one of torch's ``_BatchNorm``, so that mmengine's ``sync_bn`` leaves it alone.
    Parameters and buffers have the names of ``BatchNorm1d``.

    Args:
        num_features, eps, momentum: As for torch's ``BatchNorm1d``.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_features, eps, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised rows, of the type of ``x``. In training mode every rank must call it."""
        if not self.training:
            return self._with_running_statistics(x)
        if get_world_size() == 1:
            return self._with_running_statistics(x) if len(x) < 2 else self._with_own(x)
        return self._with_global(x)

    def _with_running_statistics(self, x: Tensor) -> Tensor:
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, eps=self.eps)

    def _with_own(self, x: Tensor) -> Tensor:
        self.num_batches_tracked.add_(1)
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, True, self.momentum, self.eps)

    def _with_global(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            rows = x.float()
            sums = sum_over_ranks(torch.cat([rows.sum(0), rows.new_tensor([len(rows)])]))
            count = sums[-1].detach()
            if count < 2:
                return self._with_running_statistics(x)
            mean = sums[:-1] / count
            centred = rows - mean
            variance = sum_over_ranks(centred.square().sum(0)) / count
            self._track(mean.detach(), variance.detach() * count / (count - 1))
            normalised = centred * (variance + self.eps).rsqrt()
            return (normalised * self.weight + self.bias).to(x.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
