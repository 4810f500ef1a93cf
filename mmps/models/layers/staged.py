"""Networks whose stages can be frozen, or computed twice to save memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


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
