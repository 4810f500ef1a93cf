"""Batch norm that uses its running statistics, folded into the convolution beside it.

Folding is exact up to rounding. It happens in each call, on weights that are small beside the maps,
so that nothing has to be prepared, kept in step with the weights or undone.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_DEAD = 1e-20
"""A norm that scales a channel by less gives a constant: no activation is large enough."""


class Folded(NamedTuple):
    """A convolution with bias, and the bounds between which its input is clamped.

    Attributes:
        weight: As of the convolution.
        bias: ``(out_channels,)``.
        low, high: ``(in_channels,)``, None without bounds.
    """

    weight: Tensor
    bias: Tensor
    low: Tensor | None = None
    high: Tensor | None = None


def uses_running_statistics(*modules: nn.Module) -> bool:
    """Whether no batch norm in ``modules`` would look at the batch."""
    norms = (m for module in modules for m in module.modules() if isinstance(m, _BatchNorm))
    return not any(norm.training or norm.running_var is None for norm in norms)


def in_float32(x: Tensor) -> bool:
    """Whether ``x`` is, and stays, in the precision for which folding is accurate."""
    return x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)


def can_fold(x: Tensor, *modules: nn.Module) -> bool:
    """Whether ``modules`` may process ``x`` folded: norms use running statistics, and nobody needs
    a gradient.
    """
    if not in_float32(x) or not uses_running_statistics(*modules):
        return False
    if not torch.is_grad_enabled():
        return True
    return not (x.requires_grad or any(p.requires_grad for m in modules for p in m.parameters()))


def affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift ``(channels,)`` that the norm applies."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def fold_after(conv: nn.Conv2d, norm: _BatchNorm) -> Folded:
    """``norm(conv(x))``; the convolution has no bias."""
    scale, shift = affine(norm)
    return Folded(conv.weight * scale.view(-1, 1, 1, 1), shift)


def fold_before(scale: Tensor, shift: Tensor, weight: Tensor) -> Folded:
    """``conv(relu(scale * x + shift))`` of a 1 x 1 convolution ``weight (out, in, 1, 1)``.

    ``relu(scale * x + shift)`` is ``scale * (x.clamp(min=t) - t)`` with ``t = -shift / scale``
    (``max=t`` where the scale is negative): the scale goes into the weight and the constant into
    the bias, which leaves one pass over the map where norm and ReLU would make two.
    """
    dead = scale.abs() < _DEAD
    scale = scale.masked_fill(dead, 0.0)
    threshold = -shift / scale
    bias = weight.flatten(1) @ torch.where(dead, shift.clamp(min=0), shift)
    infinity = torch.tensor(torch.inf, device=scale.device)
    return Folded(
        weight * scale.view(1, -1, 1, 1),
        bias,
        torch.where(scale > 0, threshold, -infinity),
        torch.where(scale < 0, threshold, infinity),
    )
