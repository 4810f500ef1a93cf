import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_world_size
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """The rows ``(n, ...)`` of all ranks, in rank order; ``n`` may differ between ranks and may be
    0.

    No gradient flows through it. Every rank must call it.
    """
    if get_world_size() == 1:
        return rows.detach()
    sizes = all_gather(torch.tensor(len(rows), device=rows.device))
    padding = [0, 0] * (rows.dim() - 1) + [0, int(max(sizes)) - len(rows)]
    parts = all_gather(F.pad(rows.detach(), padding))
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


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
