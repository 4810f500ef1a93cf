"""Batch norm that uses its running statistics, folded into the convolution beside it.

Folding is exact up to rounding. It happens in each call, on weights that are small beside the maps,
so that nothing has to be prepared, kept in step with the weights or undone.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
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


PER_LAYER = 6
"""Scale and shift of the first norm, first weight; the same of the second."""

ROWS_AT_ONCE = 1600
"""Positions of the map that go through a 1 x 1 convolution together: their activations stay in the
cache."""


class DenseBlockFunction(torch.autograd.Function):
    """Layers of norm-ReLU-1 x 1 conv-norm-ReLU-3 x 3 conv whose norms are fixed scales and shifts.

    One channels-last map ``(n, h, w, c)`` holds the input and what each layer adds to it, and one
    of the same shape gathers the gradients; autograd would keep and copy each layer's concatenated
    and normalised input, which grows with the square of the number of layers (Pleiss et al. 2017).
    Of each layer only the input of its 3 x 3 convolution is kept beside; the input of the 1 x 1
    is computed again from the map.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, *parameters: Tensor) -> Tensor:
        """Map ``(n, c, h, w)``, and :data:`PER_LAYER` tensors for each layer."""
        n, channels, h, w = x.shape
        layers = _per_layer(parameters)
        block = x.new_empty(n, h, w, channels + sum(len(layer[-1]) for layer in layers))
        block[..., :channels] = x.permute(0, 2, 3, 1)
        keep = any(ctx.needs_input_grad)
        kept, middle = [], None
        for *bottleneck, weight2 in layers:
            # Fresh memory costs as much as a pass over it.
            if keep or middle is None or middle.shape[-1] != len(bottleneck[2]):
                middle = x.new_empty(n, h, w, len(bottleneck[2]))
            _bottleneck(block[..., :channels], *bottleneck, out=middle)
            if keep:
                kept.append(middle.permute(0, 3, 1, 2))
            new = F.conv2d(middle.permute(0, 3, 1, 2), weight2, padding=1)
            block[..., channels : channels + len(weight2)] = new.permute(0, 2, 3, 1)
            channels += len(weight2)
        ctx.save_for_backward(block, *kept, *parameters)
        return block.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:
        block, *saved = ctx.saved_tensors
        count = len(saved) // (PER_LAYER + 1)
        kept, layers = saved[:count], _per_layer(saved[count:])
        # Not the caller's tensor, which may be used elsewhere: gradients are added to it.
        grads = torch.empty_like(block).copy_(grad.permute(0, 2, 3, 1))
        end = block.shape[-1]
        found: list[Tensor] = []
        for middle, layer in zip(reversed(kept), reversed(layers), strict=True):
            channels = end - len(layer[-1])
            grad_new = grads[..., channels:end].contiguous()
            seen = block[..., :channels], grads[..., :channels]
            found[:0] = _layer_backward(*seen, middle, grad_new, layer)
            end = channels
        return grads[..., :end].permute(0, 3, 1, 2), *found


def _per_layer(parameters: tuple[Tensor, ...] | list[Tensor]) -> list[tuple[Tensor, ...]]:
    return list(zip(*(parameters[i::PER_LAYER] for i in range(PER_LAYER)), strict=True))


def _bottleneck(
    x: Tensor,
    scale1: Tensor,
    shift1: Tensor,
    weight1: Tensor,
    scale2: Tensor,
    shift2: Tensor,
    out: Tensor,
) -> None:
    """Norm-ReLU-1 x 1 conv-norm-ReLU of a map ``(n, h, w, c)`` into ``out (n, h, w, width)``."""
    weight, bias, low, high = fold_before(scale1, shift1, weight1)
    matrix = (weight.flatten(1) * scale2[:, None]).T
    bias = torch.addcmul(shift2, bias, scale2)
    parts = (rows.flatten(0, 2).split(ROWS_AT_ONCE) for rows in (x, out))
    for seen, made in zip(*parts, strict=True):
        torch.addmm(bias, seen.clamp(low, high), matrix, out=made).relu_()


def _layer_backward(
    x: Tensor, grad_x: Tensor, middle: Tensor, grad_new: Tensor, layer: tuple[Tensor, ...]
) -> list[Tensor]:
    """Gradients of a layer's parameters; that of its input ``x (n, h, w, c)`` is added to
    ``grad_x``.

    Args:
        middle: Input of the 3 x 3 convolution, ``(n, width, h, w)``.
        grad_new: Gradient of the layer's output, ``(n, h, w, growth)``.
    """
    scale1, shift1, weight1, scale2, _, weight2 = layer
    grad_middle, grad_weight2, _ = torch.ops.aten.convolution_backward(
        grad_new.permute(0, 3, 1, 2),
        *(middle, weight2, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
        [True, True, False],
    )
    relu_backward = torch.ops.aten.threshold_backward
    grad_middle = relu_backward(grad_middle, middle, 0).permute(0, 2, 3, 1).flatten(0, 2)
    seen = torch.addcmul(shift1, x, scale1).relu_().flatten(0, 2)
    matrix = weight1.flatten(1)
    # Of the product of the normalised input with weight1, before scale2.
    grad_matrix = grad_middle.T @ seen
    grad_seen = relu_backward(grad_middle @ (matrix * scale2[:, None]), seen, 0).view(x.shape)
    grad_x.addcmul_(grad_seen, scale1)
    return [
        (grad_seen * x).sum((0, 1, 2)),
        grad_seen.sum((0, 1, 2)),
        (grad_matrix * scale2[:, None]).view_as(weight1),
        (grad_matrix * matrix).sum(1),
        grad_middle.sum(0),
        grad_weight2,
    ]


def memory_format(x: Tensor) -> torch.memory_format:
    """That of a map ``(n, c, h, w)``: channels-last, or contiguous."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def align_regions(extractor: nn.Module) -> nn.Module:
    """Make the RoI layers of mmdet's RoI extractors in ``extractor`` :class:`RegionAlign`; returns
    it.
    """
    for part in list(extractor.modules()):
        if isinstance(part, BaseRoIExtractor):
            part.roi_layers = nn.ModuleList(map(RegionAlign, part.roi_layers))
    return extractor


def extract(extractor: nn.Module, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    """Regions of the first maps, as many as the extractor takes: ``(n, c, h, w)``.

    In float32 under autocast as well: RoI layers would round boxes to 16 bits, by up to 4
    pixels in bfloat16, for which they have no kernel on CPUs besides. In the memory format of the
    maps: of any other, each layer behind would make its own copies.
    """
    maps = [feats.float() for feats in x[: extractor.num_inputs]]
    return extractor(maps, rois).to(x[0].dtype, memory_format=memory_format(x[0]))


class RegionAlign(nn.Module):
    """A RoI layer of mmcv for maps of any memory format, with a CPU form of RoIAlign that is as
    fast as the rest.

    mmcv's layers read memory as ``(b, c, h, w)`` whatever the strides say, and on CPUs gather one
    value after another. A bin of average RoIAlign is a weighted sum of map positions, and in a
    channels-last map each position is one row of memory: an embedding bag. Results and gradients
    agree to rounding. Boxes get no gradient, as in mmcv.

    Args:
        layer: A RoI layer of mmcv; all but average RoIAlign with a fixed number of samples, in
            float32 on a CPU, is left to it.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.output_size = layer.output_size
        self.as_rows = (
            isinstance(layer, RoIAlign) and layer.sampling_ratio > 0 and layer.pool_mode == 'avg'
        )

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` and RoIs ``(n, 5)`` (image index, xyxy in image pixels) to regions
        ``(n, c, *output_size)``.
        """
        if not self.as_rows or x.device.type != 'cpu' or x.dtype != torch.float32:
            return self.layer(x.contiguous(), rois)
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)
        positions, weights = self._taps(rois, x.shape[-2:])
        bins = F.embedding_bag(positions, rows, mode='sum', per_sample_weights=weights)
        return bins.view(len(rois), *self.output_size, x.shape[1]).permute(0, 3, 1, 2)

    def _taps(self, rois: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Rows of the map that each bin sums, ``(n * bins, taps)``, and their weights."""
        corners = rois[:, 1:] * self.layer.spatial_scale - (0.5 if self.layer.aligned else 0.0)
        sides = corners[:, 2:] - corners[:, :2]
        if not self.layer.aligned:
            sides = sides.clamp(min=1.0)
        (y, y_weight), (x, x_weight) = (
            self._axis(corners[:, i], sides[:, i], self.output_size[1 - i], size[1 - i])
            for i in (1, 0)
        )
        height, width = size
        y = y + rois[:, 0].long().view(-1, 1, 1) * height
        positions = y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
        return positions.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)

    def _axis(self, start: Tensor, side: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
        """Cells along one axis and their weights, ``(n, bins, 2 * samples)``: each sample lies
        between two cells.
        """
        samples = self.layer.sampling_ratio
        steps = (torch.arange(bins * samples, device=start.device) + 0.5) / (bins * samples)
        places = start[:, None] + steps * side[:, None]
        # Beyond a cell's width outside the map is nothing; up to there the border goes on.
        inside = (places >= -1) & (places <= length)
        # A box that is not a number, as where a training diverges, has nothing in it either.
        places = places.nan_to_num(0.0).clamp(0, length - 1)
        lower = places.floor()
        share = places - lower
        weights = torch.stack([1 - share, share], -1) * (inside / samples).unsqueeze(-1)
        cells = torch.stack([lower, (lower + 1).clamp(max=length - 1)], -1).long()
        shape = len(start), bins, 2 * samples
        return cells.view(shape), weights.view(shape)
