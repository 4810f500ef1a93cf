"""DenseNet (Huang et al., CVPR 2017): its stem, and its last block as identification network."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers import StagedModule, fast
from mmps.registry import MODELS

BOTTLENECK = 4  # width of the 1 x 1 convolution, in growth rates (DenseNet-BC)


@MODELS.register_module()
class DenseNet(StagedModule):
    """The stem of a DenseNet: everything up to its last transition, whose pooling is left out.

    An image ``(n, 3, h, w)`` becomes one map ``(n, out_channels, h / 16, w / 16)`` when there are
    three blocks; the defaults are DenseNet-121's, with ``out_channels`` = 512 (paper, section III,
    "Global features"). Parameter names are torchvision's.

    A map is coarse: at stride 16 a person of 80 pixels is five cells tall. ``fine_block`` returns a
    second one for re-ID, the block's output before its transition, at stride 4 for block 1, 8 for
    block 2; ``fine_channels`` is its width.

    Example:
        >>> stem = DenseNet(block_layers=(1, 1, 1), growth_rate=4, init_channels=8, fine_block=2)
        >>> [tuple(x.shape) for x in stem(torch.rand(1, 3, 96, 64))]
        [(1, 4, 6, 4), (1, 10, 12, 8)]

    Args:
        block_layers: Number of dense layers in each block.
        growth_rate: Channels that each dense layer adds. One number, or one for each block.
        compression: Share of the channels that a transition keeps. One number, or one for each.
        init_channels: Channels of the first convolution.
        fine_block: Number of the block whose output is returned as a second map, or None.
        kwargs: Of :class:`StagedModule`; stage 1 is the first convolution, stage 2 the first block
            with its transition, and so on.

    Raises:
        ValueError: There is no such ``fine_block``.
    """

    def __init__(
        self,
        block_layers: Sequence[int] = (6, 12, 24),
        growth_rate: int | Sequence[int] = 32,
        compression: float | Sequence[float] = 0.5,
        init_channels: int = 64,
        fine_block: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        count = len(block_layers)
        layers = OrderedDict(
            conv0=nn.Conv2d(3, init_channels, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(init_channels),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        rates, shares = _for_each(growth_rate, count), _for_each(compression, count)
        channels = init_channels
        blocks = zip(block_layers, rates, shares, strict=True)
        for i, (num_layers, rate, share) in enumerate(blocks, start=1):
            layers[f'denseblock{i}'] = block = DenseBlock(channels, num_layers, rate)
            layers[f'transition{i}'] = Transition(block.out_channels, share, pool=i < count)
            channels = layers[f'transition{i}'].out_channels
        self.features = nn.Sequential(layers)
        self.out_channels = channels
        if fine_block is not None and fine_block not in range(1, count + 1):
            raise ValueError(f'DenseNet: fine_block={fine_block}, but there are {count} blocks')
        self.fine_block = fine_block
        self.fine_channels = fine_block and layers[f'denseblock{fine_block}'].out_channels
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        modules = list(self.features)
        return [modules[:4], *(modules[i : i + 2] for i in range(4, len(modules), 2))]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self._first_stage(x)
        fine = ()
        for i, (block, transition) in enumerate(self.stages()[1:], start=1):
            if i == self.fine_block:
                fine = (self.run_stage([block], x),)
                x = self.run_stage([transition], *fine)
            else:
                x = self.run_stage([block, transition], x)
        return (x, *fine)

    def _first_stage(self, x: Tensor) -> Tensor:
        conv, norm, relu, pool = first = self.stages()[0]
        if not fast.can_fold(x, *first):
            return self.run_stage(first, x)
        # ReLU and largest value commute; this way it has a quarter of the positions.
        return relu(pool(fast.conv_norm(x, conv, norm)))


@MODELS.register_module()
class DenseNetIdentification(StagedModule):
    """DenseNet's last dense block, norm and ReLU, on region features.

    It maps regions as a :class:`DenseBlock` does; DenseNet-121: 512 -> 1024 channels (paper,
    section III, "Local features").

    Example:
        >>> network = DenseNetIdentification(in_channels=4, num_layers=2, growth_rate=4)
        >>> network(torch.rand(5, 4, 14, 14)).shape
        torch.Size([5, 12, 14, 14])

    Args:
        in_channels: Channels of the region features.
        num_layers: Dense layers in the block.
        growth_rate: Channels that each of them adds.
        block: The block's number in the whole DenseNet, which names its parameters.
        kwargs: Of :class:`StagedModule`; one stage.
    """

    def __init__(
        self,
        in_channels: int = 512,
        num_layers: int = 16,
        growth_rate: int = 32,
        block: int = 4,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        dense = DenseBlock(in_channels, num_layers, growth_rate)
        self.out_channels = dense.out_channels
        norm = nn.BatchNorm2d(dense.out_channels)
        layers = {f'denseblock{block}': dense, f'norm{block + 1}': norm}
        self.features = nn.Sequential(OrderedDict(layers))
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [list(self.features)]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x), inplace=True)


class DenseBlock(nn.ModuleDict):
    """Layers that each see the concatenation of everything before them.

    ``(n, in_channels, h, w)`` -> ``(n, in_channels + num_layers * growth_rate, h, w)``. Parameter
    names are torchvision's (``denselayer1.norm1.weight``).

    Example:
        >>> DenseBlock(in_channels=8, num_layers=3, growth_rate=4)(torch.rand(2, 8, 5, 7)).shape
        torch.Size([2, 20, 5, 7])
    """

    def __init__(self, in_channels: int, num_layers: int, growth_rate: int):
        super().__init__(
            {
                f'denselayer{i + 1}': _DenseLayer(in_channels + i * growth_rate, growth_rate)
                for i in range(num_layers)
            }
        )
        self.out_channels = in_channels + num_layers * growth_rate

    def forward(self, x: Tensor) -> Tensor:
        if fast.can_fuse(x, self):
            return fast.dense_block(x, self)
        for layer in self.values():
            x = torch.cat([x, layer(x)], 1)
        return x


class _DenseLayer(nn.Module):
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


class Transition(nn.Sequential):
    """Norm-ReLU-1 x 1 conv that keeps a share of the channels; 2 x 2 average pooling if ``pool``.

    Example:
        >>> Transition(in_channels=12)(torch.rand(2, 12, 8, 6)).shape
        torch.Size([2, 6, 4, 3])
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
        return fast.norm_conv_pool(x, *self) if fast.is_on('folding') else super().forward(x)


def _for_each(value: float | Sequence[float], blocks: int) -> Sequence[float]:
    return value if isinstance(value, Sequence) else [value] * blocks
