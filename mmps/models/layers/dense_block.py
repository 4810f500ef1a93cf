from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers.dense_function import DenseBlockFunction
from mmps.models.layers.folding import (
    affine,
    can_fold,
    fold_before,
    in_float32,
    uses_running_statistics,
)

BOTTLENECK = 4  # width of the 1 x 1 convolution, in growth rates (DenseNet-BC)


class DenseLayer(nn.Module):
    """Norm-ReLU-conv twice (1 x 1 bottleneck, 3 x 3), the unit of a dense block."""

    def __init__(self, in_channels: int, growth_rate: int):
        super().__init__()
        width = BOTTLENECK * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, growth_rate, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.relu(self.norm1(x)))
        return self.conv2(self.relu(self.norm2(x)))

    def fixed(self) -> list[Tensor]:
        """What :class:`DenseBlockFunction` takes of a layer whose norms use their running
        statistics.
        """
        first, second = affine(self.norm1), affine(self.norm2)
        return [*first, self.conv1.weight, *second, self.conv2.weight]


class DenseBlock(nn.ModuleDict):
    """Layers that each see the concatenation of everything before them.

    ``(n, in_channels, h, w)`` -> ``(n, in_channels + num_layers * growth_rate, h, w)``. Parameter
    names are torchvision's (``denselayer1.norm1.weight``).
    """

    def __init__(self, in_channels: int, num_layers: int, growth_rate: int):
        super().__init__(
            {
                f'denselayer{i + 1}': DenseLayer(in_channels + i * growth_rate, growth_rate)
                for i in range(num_layers)
            }
        )
        self.out_channels = in_channels + num_layers * growth_rate

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == 'cpu' and in_float32(x) and uses_running_statistics(self):
            fixed = (tensor for layer in self.values() for tensor in layer.fixed())
            return DenseBlockFunction.apply(x, *fixed)
        for layer in self.values():
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Sequential):
    """Norm-ReLU-1 x 1 conv that keeps a share of the channels; 2 x 2 average pooling if
    ``pool``.
    """

    def __init__(self, in_channels: int, compression: float = 0.5, pool: bool = True):
        self.out_channels = int(in_channels * compression)
        layers = OrderedDict(
            norm=nn.BatchNorm2d(in_channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(in_channels, self.out_channels, 1, bias=False),
        )
        if pool:
            layers['pool'] = nn.AvgPool2d(2)
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        folded = None
        if can_fold(x, self):
            folded = fold_before(*affine(self.norm), self.conv.weight)
            x = x.permute(0, 2, 3, 1).clamp(folded.low, folded.high).permute(0, 3, 1, 2)
        else:
            x = self.relu(self.norm(x))
        # Pooling and a 1 x 1 convolution commute; this way it has a quarter of the positions.
        if 'pool' in self._modules:
            x = self.pool(x)
        return F.conv2d(x, folded.weight, folded.bias) if folded else self.conv(x)
