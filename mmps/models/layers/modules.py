"""Modules that several networks are built with: stages that can be frozen, norms of rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils.checkpoint import checkpoint

from mmps.registry import MODELS


class StagedModule(BaseModule):
    """A network whose first stages can be frozen and whose batch norm can be kept in evaluation
    mode.

    Example:
        >>> class Tiny(StagedModule):
        ...     def __init__(self, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        ...         self.freeze_stages()
        ...     def stages(self):
        ...         return [[self.conv], [self.norm]]
        >>> network = Tiny(frozen_stages=1, with_cp=True)
        >>> [name for name, p in network.named_parameters() if p.requires_grad]
        ['norm.weight', 'norm.bias']

    Args:
        frozen_stages: Leading entries of :meth:`stages` that are not trained. Their batch norm uses
            its running statistics.
        norm_eval: All batch norm uses running statistics in training. Small batches of large scenes
            need that.
        with_cp: Activation checkpointing of each stage. Less memory, more time, the same gradients.
        init_cfg: mmengine initialisation; default Kaiming for convolutions.

    Attributes:
        norm_eval_freezes: Whether scale and shift of these norms are not trained either.
    """

    norm_eval_freezes = False

    def __init__(
        self,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ):
        if init_cfg is None:
            init_cfg = [
                # fan_in, lest activations explode where batch norm does not normalise.
                dict(type='Kaiming', layer='Conv2d', mode='fan_in'),
                dict(type='Constant', val=1, layer='_BatchNorm'),
            ]
        super().__init__(init_cfg)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """The modules of each stage, in order from the image."""
        raise NotImplementedError

    def freeze_stages(self) -> None:
        """Freeze the first of them; call at the end of a subclass's constructor."""
        if not 0 <= self.frozen_stages <= len(self.stages()):
            raise ValueError(
                f'{type(self).__name__}: frozen_stages={self.frozen_stages}, '
                f'but it must be between 0 and {len(self.stages())}'
            )
        self.train()  # DistributedDataParallel asks what is frozen before training starts

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages():
            x = self.run_stage(stage, x)
        return x

    def run_stage(self, stage: Sequence[nn.Module], x: Tensor) -> Tensor:
        """One entry of :meth:`stages` on maps ``(n, c, h, w)``."""
        stage = nn.Sequential(*stage)
        return recomputed(stage, x) if self.with_cp else stage(x)

    def train(self, mode: bool = True) -> 'StagedModule':
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages]:
            for module in stage:
                module.eval()
                module.requires_grad_(False)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
                    if self.norm_eval_freezes:
                        module.requires_grad_(False)
        return self


def recomputed(module: nn.Module, x: Tensor) -> Tensor:
    """``module(x)`` whose activations are computed again in the backward pass instead of kept.

    Batch norm sees the batch twice, but updates its running statistics once: gradients and
    statistics are those of ``module(x)``.
    """
    if not torch.is_grad_enabled():
        return module(x)
    return checkpoint(
        module, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(module))
    )


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


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
