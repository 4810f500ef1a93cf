"""The relation mixer of PS-ARM (Fiaz et al., ACCV 2022)."""

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.registry import MODELS


@MODELS.register_module()
class RelationMixer(BaseModule):
    """Mixes the cells of a region with each other and its channels with each other, in front of a
    region network.

    What it reads as a map ``(c, h, w)`` are cells ``(h * w, c)`` in the order of the memory, not
    transposed: the published weights learned that.

    Example:
        >>> conv = dict(type='ConvModule', in_channels=16, out_channels=8, kernel_size=1)
        >>> mixer = RelationMixer(conv, in_channels=16, width=16, size=6)
        >>> [x.shape for x in mixer(torch.rand(2, 16, 6, 6))]
        [torch.Size([2, 16, 6, 6]), torch.Size([2, 8, 6, 6])]

    Args:
        network: Config of the region network behind.
        width: Channels that are mixed, at least 16.
        size: Height and width of the regions.
        expansion: Widening of the hidden layers.
        dropout: In the mixing layers, in training.
    """

    def __init__(
        self,
        network: dict,
        in_channels: int = 1024,
        width: int = 256,
        size: int = 14,
        expansion: int = 3,
        dropout: float = 0.5,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.reduce = nn.Conv2d(in_channels, width, 1)
        self.cell_gate, self.channel_gate = _CellGate(), _ChannelGate(width)
        self.cell_norm, self.channel_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.cell_mlp = _mixing_layers(size**2, expansion, dropout)
        self.channel_mlp = _mixing_layers(width, expansion, dropout)
        self.expand = nn.Conv2d(width, in_channels, 1)
        self.network = MODELS.build(network)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Regions ``(n, in_channels, size, size)`` to mixed ones, and what the network makes of
        them.
        """
        x = self.reduce(regions)
        cells = x.flatten(2).transpose(1, 2)
        seen = self.cell_norm(cells + self._gated(self.cell_gate, cells, x.shape))
        cells = cells + self.cell_mlp(seen.transpose(1, 2)).transpose(1, 2)
        seen = self.channel_norm(cells + self._gated(self.channel_gate, cells, x.shape))
        cells = cells + self.channel_mlp(seen)
        mixed = self.expand(cells.reshape(x.shape) + _salient(x) + x)
        return mixed, self.network(mixed)

    @staticmethod
    def _gated(gate: nn.Module, cells: Tensor, shape: torch.Size) -> Tensor:
        return gate(cells.reshape(shape)).flatten(2).transpose(1, 2)


def _mixing_layers(width: int, expansion: int, dropout: float) -> nn.Sequential:
    """Two layers on the last axis."""
    return nn.Sequential(
        nn.Linear(width, expansion * width),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(expansion * width, width),
        nn.Dropout(dropout),
    )


class _CellGate(nn.Module):
    """Weighs cells by the largest and the mean of their channels, around them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * self.norm(self.conv(seen)).sigmoid()


class _ChannelGate(nn.Module):
    """Weighs channels by their mean and their largest value."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))).sigmoid()
        return x * gate[:, :, None, None]


def _salient(x: Tensor, least: float = 1e-4) -> Tensor:
    """Weighs each value by how far it is from the mean of its channel (Yang et al., SimAM, ICML
    2021).
    """
    distance = (x - x.mean((2, 3), keepdim=True)).square()
    variance = distance.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    return x * (distance / (4 * (variance + least)) + 0.5).sigmoid()
