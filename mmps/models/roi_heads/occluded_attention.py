"""Occluded attention (Yu et al., Cascade Transformers for End-to-End Person Search, CVPR 2022)."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.registry import MODELS


@MODELS.register_module()
class OccludedAttention(BaseModule):
    """A region network of attention at two scales, which learns from regions that hide each other.

    Half of the channels become tokens of one cell, the other half tokens of 3 x 3 overlapping
    cells. In training a stripe of tokens, one cell wide, is exchanged between the regions, as if
    people stood in front of one another.

    Example:
        >>> network = OccludedAttention(in_channels=16, out_channels=24, width=32)
        >>> [x.shape for x in network(torch.rand(3, 16, 14, 14))]
        [torch.Size([3, 16, 14, 14]), torch.Size([3, 24, 14, 14])]

    Args:
        width: Channels that attention works on.
        heads: Of the attention at each scale.
        exchange: Whether stripes are exchanged in training; the first result is then not the
            regions, but a convolution of them, so that exchanged cells do not pass it by.
    """

    takes_pretrained = False  # no network of ImageNet has such weights

    def __init__(
        self,
        in_channels: int = 1024,
        out_channels: int = 2048,
        width: int = 512,
        heads: int = 8,
        exchange: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.exchange = exchange
        self.skip = nn.Conv2d(in_channels, in_channels, 1, bias=False) if exchange else None
        self.reduce = nn.Conv2d(in_channels, width, 1, bias=False)
        self.scales = nn.ModuleList(
            TokenAttention(width // 2, width // 4, kernel, heads) for kernel in (1, 3)
        )
        self.expand = nn.Conv2d(width, out_channels, 1, bias=False)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Regions ``(n, in_channels, h, w)`` to what goes by attention, and what comes out of it,
        ``(n, out_channels, h, w)``.
        """
        exchange = self.exchange and self.training
        skip = regions if self.skip is None else self.skip(regions)
        if exchange:
            skip = StripeExchange(skip)(skip)
        x = self.reduce(regions)
        swap = StripeExchange(x) if exchange else None
        seen = [scale(part, swap) for scale, part in zip(self.scales, x.chunk(2, 1), strict=True)]
        return skip, self.expand(x + torch.cat(seen, 1))


class StripeExchange:
    """Gives each region a stripe, one cell wide, of another one: the same row or column of all.

    The last row and the last column are never drawn, as published.

    Example:
        >>> swap = StripeExchange(torch.zeros(2, 1, 2, 2))
        >>> swap.order, swap.row, swap.at = torch.tensor([1, 0]), True, 0
        >>> swap(torch.arange(8.0).view(2, 1, 2, 2))[:, 0].tolist()
        [[[4.0, 5.0], [2.0, 3.0]], [[0.0, 1.0], [6.0, 7.0]]]

    It draws a stripe and an order for regions ``(n, c, h, w)`` of this number and size.
    """

    def __init__(self, regions: Tensor):
        self.order = torch.randperm(len(regions), device=regions.device)
        self.row = bool(torch.rand(()) < 0.5)
        self.at = int(torch.randint(max(regions.shape[2 if self.row else 3] - 1, 1), ()))

    def __call__(self, regions: Tensor) -> Tensor:
        """Regions ``(n, c, h, w)``, or tokens of the same size, with the stripe exchanged."""
        drawn = torch.zeros(regions.shape[2:], dtype=torch.bool, device=regions.device)
        drawn[self.at if self.row else slice(None), slice(None) if self.row else self.at] = True
        return torch.where(drawn, regions[self.order], regions)


class TokenAttention(nn.Module):
    """Self-attention between the cells of each region, added to them.

    Example:
        >>> TokenAttention(channels=4, hidden=8, kernel=3, heads=2)(torch.rand(2, 4, 6, 5)).shape
        torch.Size([2, 4, 6, 5])

    Tokens are ``hidden`` wide, ``kernel`` cells long on each side, and a cell apart.
    """

    def __init__(self, channels: int, hidden: int, kernel: int, heads: int):
        super().__init__()
        self.kernel, self.heads = kernel, heads
        self.to_tokens = nn.Conv2d(channels, hidden, kernel, padding=kernel // 2)
        self.norm1 = nn.LayerNorm(hidden)
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden)
        self.ffn = nn.Sequential(
            nn.Linear(hidden, 4 * hidden), nn.ReLU(inplace=True), nn.Linear(4 * hidden, hidden)
        )
        self.to_cells = nn.Linear(hidden, channels * kernel**2)

    def forward(self, x: Tensor, swap: StripeExchange | None = None) -> Tensor:
        """Regions ``(n, channels, h, w)`` of the same shape; tokens are swapped first."""
        tokens = self.to_tokens(x)
        if swap is not None:
            tokens = swap(tokens)
        # The sum is with the normalised tokens, as published.
        tokens = self.norm1(tokens.flatten(2).transpose(1, 2))
        tokens = tokens + self.out(self._attended(tokens))
        tokens = tokens + self.ffn(self.norm2(tokens))
        return x + self._summed(tokens.transpose(1, 2).unflatten(2, x.shape[2:]))

    def _summed(self, tokens: Tensor) -> Tensor:
        """Tokens ``(n, hidden, h, w)`` as cells ``(n, channels, h, w)``, summed where they overlap:
        a transposed convolution, and as many biases as there are tokens around a cell.
        """
        shape = -1, self.kernel, self.kernel
        weight = self.to_cells.weight.T.unflatten(1, shape)
        bias = self.to_cells.bias.view(1, *shape)
        ones, padding = torch.ones_like(tokens[:1, :1]), self.kernel // 2
        summed = F.conv_transpose2d(tokens, weight, padding=padding)
        return summed + F.conv_transpose2d(ones, bias, padding=padding)

    def _attended(self, tokens: Tensor) -> Tensor:
        n, count, width = tokens.shape
        heads = (
            part(tokens).view(n, count, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        return F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(n, count, width)
