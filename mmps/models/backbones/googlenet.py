"""GoogLeNet (Szegedy et al., CVPR 2015): its stem, and its last modules for identification."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmps.models.layers import StagedModule, fast
from mmps.registry import MODELS


@MODELS.register_module()
class GoogLeNet(StagedModule):
    """The stem of GoogLeNet: up to inception 4e, ``(n, 3, h, w)`` -> ``(n, 832, h / 16, w / 16)``.

    Parameter names are torchvision's, whose published weights expect images scaled to [-1, 1].

    Example:
        >>> (x,) = GoogLeNet()(torch.rand(1, 3, 64, 32))
        >>> x.shape
        torch.Size([1, 832, 4, 2])

    ``width`` is the share of the published channels; at 0.25 the map has 208. The stages of
    :class:`StagedModule` are the convolutions before inception 3a, inception 3, inception 4.
    """

    def __init__(self, width: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        first, third = _narrowed(width, 64, 192)
        self.conv1 = ConvNormReLU(3, first, 7, stride=2, padding=3)
        self.maxpool1 = _halve()
        self.conv2 = ConvNormReLU(first, first, 1)
        self.conv3 = ConvNormReLU(first, third, 3, padding=1)
        self.maxpool2 = _halve()
        self.out_channels = third
        self._add('3a', _narrowed(width, 64, 96, 128, 16, 32, 32))
        self._add('3b', _narrowed(width, 128, 128, 192, 32, 96, 64))
        self.maxpool3 = _halve()
        self._add('4a', _narrowed(width, 192, 96, 208, 16, 48, 64))
        self._add('4b', _narrowed(width, 160, 112, 224, 24, 64, 64))
        self._add('4c', _narrowed(width, 128, 128, 256, 24, 64, 64))
        self._add('4d', _narrowed(width, 112, 144, 288, 32, 64, 64))
        self._add('4e', _narrowed(width, 256, 160, 320, 32, 128, 128))
        self.freeze_stages()

    def _add(self, name: str, widths: Sequence[int]) -> None:
        inception = Inception(self.out_channels, widths)
        self.add_module(f'inception{name}', inception)
        self.out_channels = inception.out_channels

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        modules = list(self.children())
        return [modules[:5], modules[5:8], modules[8:]]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (super().forward(x),)


@MODELS.register_module()
class GoogLeNetIdentification(StagedModule):
    """Inception 5a and 5b on region features: ``(n, in_channels, h, w)`` -> ``(n, 1024, h, w)``.

    It has one stage; ``width`` and the names of parameters are as of the stem.

    Example:
        >>> GoogLeNetIdentification()(torch.rand(2, 832, 7, 7)).shape
        torch.Size([2, 1024, 7, 7])
    """

    def __init__(self, in_channels: int = 832, width: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.inception5a = Inception(in_channels, _narrowed(width, 256, 160, 320, 32, 128, 128))
        self.inception5b = Inception(
            self.inception5a.out_channels, _narrowed(width, 384, 192, 384, 48, 128, 128)
        )
        self.out_channels = self.inception5b.out_channels
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.inception5a, self.inception5b]]


class Inception(nn.Module):
    """Four branches side by side: 1 x 1; two reduced 3 x 3; pooled 1 x 1.

    The third branch has 3 x 3 kernels where the GoogLeNet paper has 5 x 5, because the published
    ImageNet weights have them so.

    Example:
        >>> Inception(16, widths=(8, 4, 8, 2, 4, 4))(torch.rand(2, 16, 5, 7)).shape
        torch.Size([2, 24, 5, 7])

    ``widths`` are the output channels of: 1 x 1; reduction and 3 x 3; reduction and second 3 x 3;
    pooled 1 x 1.
    """

    def __init__(self, in_channels: int, widths: Sequence[int]):
        super().__init__()
        one, reduce_three, three, reduce_five, five, pooled = widths
        self.out_channels = one + three + five + pooled
        self.branch1 = ConvNormReLU(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            ConvNormReLU(in_channels, reduce_three, 1),
            ConvNormReLU(reduce_three, three, 3, padding=1),
        )
        self.branch3 = nn.Sequential(
            ConvNormReLU(in_channels, reduce_five, 1),
            ConvNormReLU(reduce_five, five, 3, padding=1),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            ConvNormReLU(in_channels, pooled, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm and ReLU, with names and epsilon of torchvision.

    Example:
        >>> ConvNormReLU(3, 8, kernel=3, padding=1)(torch.rand(2, 3, 5, 7)).shape
        torch.Size([2, 8, 5, 7])
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if fast.can_fold(x, self):
            return self.relu(fast.conv_norm(x, self.conv, self.bn))
        return self.relu(self.bn(self.conv(x)))


def _halve() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _narrowed(width: float, *channels: int) -> list[int]:
    return [max(1, round(width * count)) for count in channels]
