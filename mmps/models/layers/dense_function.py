"""A dense block whose norms use their running statistics, without copies of its activations: for
CPUs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from mmps.models.layers.folding import fold_before

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
