"""Batch norm of rows: over all ranks, and so that every person counts once."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from mmps.registry import MODELS


@MODELS.register_module()
class GlobalBatchNorm(_NormBase):
    """Batch norm of rows ``(n, num_features)``, with the statistics of the rows of all ranks.

    Unlike torch's ``SyncBatchNorm`` it runs on CPUs too, and a rank may have any number of rows, 0
    included. A single row over all ranks has no statistics, and is normalised with the running
    ones. Statistics are computed in float32.

    It is not one of torch's ``_BatchNorm``, so that mmengine's ``sync_bn`` leaves it alone.
    Arguments, parameters and buffers are those of ``BatchNorm1d``.

    Example:
        >>> norm = GlobalBatchNorm(2)
        >>> norm(torch.tensor([[1.0, 0.0], [3.0, 4.0]])).round(decimals=3).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(num_features, eps, momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised rows, of the type of ``x``. In training mode every rank must call it."""
        if self.training and get_world_size() > 1:
            return self._with_global(x)
        return self._with_local(x, own=self.training and len(x) > 1)

    def _with_local(self, x: Tensor, own: bool) -> Tensor:
        """With the statistics of the rows, or with the running ones."""
        if own:
            self.num_batches_tracked.add_(1)
        running = self.running_mean, self.running_var
        return F.batch_norm(x, *running, self.weight, self.bias, own, self.momentum, self.eps)

    def _with_global(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            rows = x.float()
            sums = _SumOverRanks.apply(torch.cat([rows.sum(0), rows.new_tensor([len(rows)])]))
            count = sums[-1].detach()
            if count < 2:
                return self._with_local(x, own=False)
            mean = sums[:-1] / count
            centred = rows - mean
            variance = _SumOverRanks.apply(centred.square().sum(0)) / count
            return _normalised(self, centred, mean, variance, count).to(x.dtype)


class _SumOverRanks(torch.autograd.Function):
    """The sum over all ranks, on each of them; gradients are summed likewise.

    Every rank must call it, and run backward through it.
    """

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return _SumOverRanks.forward(ctx, grad)


@MODELS.register_module()
class PrototypeNorm(_BatchNorm):
    """Batch norm of rows whose mean is that of prototypes, in training (Lee et al., OIMNet++, ECCV
    2022). Arguments are those of ``BatchNorm1d``.

    A batch shows some people often and most of them once, and most regions of it are background. A
    prototype is the mean of a labelled person's rows, an unlabelled person's row, or the mean of
    all of the background. The variance is that of all rows around the mean of the prototypes. In
    evaluation it is batch norm.

    Example:
        >>> norm = PrototypeNorm(1, affine=False)
        >>> rows = torch.tensor([[0.0], [0.0], [0.0], [4.0]])
        >>> norm(rows, torch.tensor([7, 7, 7, 8])).round(decimals=3).flatten().tolist()
        [-1.0, -1.0, -1.0, 1.0]
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 2:
            raise ValueError(f'rows expected, got {input.ndim} axes')

    def forward(self, x: Tensor, person_ids: Tensor | None = None) -> Tensor:
        """Normalised rows ``(n, num_features)``.

        ``person_ids (n,)`` are -1 for an unlabelled person, below that for background. Without
        them, as without training, running statistics are taken.
        """
        self._check_input_dim(x)
        if not self.training or person_ids is None or len(x) < 2:
            running = self.running_mean, self.running_var
            return F.batch_norm(x, *running, self.weight, self.bias, eps=self.eps)
        with torch.autocast(x.device.type, enabled=False):
            rows = x.float()
            mean = _prototypes(rows, person_ids).mean(0)
            variance = (rows - mean).square().mean(0)
            return _normalised(self, rows - mean, mean, variance, len(rows)).to(x.dtype)


def _prototypes(rows: Tensor, person_ids: Tensor) -> Tensor:
    """``(p, d)``, one of each person and of the background."""
    unlabelled = person_ids == -1
    _, index = person_ids[~unlabelled].unique(return_inverse=True)
    count = torch.bincount(index).to(rows)
    sums = rows.new_zeros(len(count), rows.shape[1]).index_add(0, index, rows[~unlabelled])
    return torch.cat([sums / count[:, None], rows[unlabelled]])


def _normalised(
    norm: _NormBase, centred: Tensor, mean: Tensor, variance: Tensor, count: int | Tensor
) -> Tensor:
    """Rows less their mean, with these statistics, which also go into the running ones."""
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.detach(), norm.momentum)
    norm.running_var.lerp_(variance.detach() * count / (count - 1), norm.momentum)
    normalised = centred * (variance + norm.eps).rsqrt()
    return normalised * norm.weight + norm.bias if norm.affine else normalised
