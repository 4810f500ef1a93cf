"""ConvNeXt (Liu et al., CVPR 2022): its stem, and its last stage for identification."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from mmps.models.layers import StagedModule
from mmps.registry import MODELS

INIT = dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02)


@MODELS.register_module()
class ConvNeXt(StagedModule):
    """The stem of ConvNeXt: three of its four stages, ``(n, 3, h, w)`` to a map of stride 16.

    Parameter names are torchvision's.

    Example:
        >>> (x,) = ConvNeXt(depths=(1, 1, 1), widths=(4, 8, 16))(torch.rand(1, 3, 64, 96))
        >>> x.shape
        torch.Size([1, 16, 4, 6])

    Args:
        depths: Blocks of each stage; those of ConvNeXt-B.
        widths: Channels of each stage.
        drop_path_rates: Of the first block and, growing evenly, of the last: how often a block is
            left out in training.
        kwargs: Of :class:`StagedModule`; stages: first convolution, first stage, second, third.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 3, 27),
        widths: Sequence[int] = (128, 256, 512),
        drop_path_rates: tuple[float, float] = (0.0, 0.0),
        init_cfg: dict | None = INIT,
        **kwargs: Any,
    ):
        super().__init__(init_cfg=init_cfg, **kwargs)
        first = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), _ChannelNorm(widths[0]))
        features = [first]
        rates = np.linspace(*drop_path_rates, sum(depths))
        rates = np.split(rates, np.cumsum(depths)[:-1])
        for i, (width, own) in enumerate(zip(widths, rates, strict=True)):
            if i:
                features.append(_halve(widths[i - 1], width))
            features.append(_blocks(width, own))
        self.features = nn.Sequential(*features)
        self.out_channels = widths[-1]
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        first, *rest = self.features
        return [[first], [rest[0]], *(rest[i : i + 2] for i in range(1, len(rest), 2))]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (super().forward(x),)


@MODELS.register_module()
class ConvNeXtIdentification(StagedModule):
    """The last stage of ConvNeXt on regions, at half their size, with ``depth`` blocks.

    It has one stage; rates and the names of parameters are as of the stem.

    Example:
        >>> ConvNeXtIdentification(8, 16, depth=1)(torch.rand(2, 8, 14, 14)).shape
        torch.Size([2, 16, 7, 7])
    """

    def __init__(
        self,
        in_channels: int = 512,
        out_channels: int = 1024,
        depth: int = 3,
        drop_path_rates: tuple[float, float] = (0.0, 0.0),
        init_cfg: dict | None = INIT,
        **kwargs: Any,
    ):
        super().__init__(init_cfg=init_cfg, **kwargs)
        rates = np.linspace(*drop_path_rates, depth)
        self.features = nn.ModuleDict(
            {'6': _halve(in_channels, out_channels), '7': _blocks(out_channels, rates)}
        )
        self.out_channels = out_channels
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [list(self.features.values())]


class _ChannelNorm(nn.LayerNorm):
    """Layer norm of the channels of each cell of a map ``(n, c, h, w)``."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A 7 x 7 convolution of each channel, then two layers for each cell; added to the input.

    Example:
        >>> block = ConvNeXtBlock(4)
        >>> x = torch.rand(2, 4, 5, 6)
        >>> bool((block(x) - x).abs().max() < 1e-4)  # it starts near the identity
        True

    A map ``(n, channels, h, w)`` keeps its shape; ``drop_path`` is how often the block is left out
    in training.
    """

    def __init__(self, channels: int, drop_path: float = 0.0):
        super().__init__()
        self.block = nn.ModuleDict(
            {
                '0': nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
                '2': nn.LayerNorm(channels, eps=1e-6),
                '3': nn.Linear(channels, 4 * channels),
                '5': nn.Linear(4 * channels, channels),
            }
        )
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        conv, norm, expand, reduce = self.block.values()
        cells = F.gelu(expand(norm(conv(x).permute(0, 2, 3, 1))))
        return x + self.drop_path(self.layer_scale * reduce(cells).permute(0, 3, 1, 2))


def _halve(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_ChannelNorm(in_channels), nn.Conv2d(in_channels, out_channels, 2, 2))


def _blocks(width: int, rates: np.ndarray) -> nn.Sequential:
    return nn.Sequential(*(ConvNeXtBlock(width, float(rate)) for rate in rates))
