import torch
from mmengine.dist import all_reduce
from torch import Tensor


def sum_over_ranks(x: Tensor) -> Tensor:
    """The sum of ``x`` over all ranks, on each of them; gradients are summed likewise.

    Every rank must call it, and run backward through it.
    """
    return _SumOverRanks.apply(x)


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        total = grad.clone()
        all_reduce(total)
        return total
