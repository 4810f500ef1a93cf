"""The ResNet-50 of OIM (Xiao et al., CVPR 2017), whose residual sums come before the norm."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers import StagedModule
from mmps.registry import MODELS


@MODELS.register_module()
class PostSumResNet(StagedModule):
    """Its stem: up to the third of the six blocks of conv4, ``(n, 3, h, w)`` to one map of stride
    16 with 16 times ``base_channels``.

    Not a ResNet of torchvision's: one batch norm follows the sum of a block's branch and its
    shortcut, all convolutions have a bias, and the first pooling has no border.

    Example:
        >>> import torch
        >>> (x,) = PostSumResNet(base_channels=2)(torch.rand(1, 3, 64, 96))
        >>> x.shape
        torch.Size([1, 32, 4, 6])

    ``base_channels`` are those of the first convolution; the stages of :class:`StagedModule` are
    conv1, conv2, conv3 and conv4.
    """

    norm_eval_freezes = True

    def __init__(self, base_channels: int = 64, **kwargs: Any):
        super().__init__(**kwargs)
        c = base_channels
        self.conv1 = nn.Conv2d(3, c, 7, stride=2, padding=3)
        self.norm1 = nn.BatchNorm2d(c)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = _blocks(c, c, 3, stride=1)
        self.conv3 = _blocks(4 * c, 2 * c, 4, stride=2)
        self.conv4 = _blocks(8 * c, 4 * c, 3, stride=2)
        self.out_channels = 16 * c
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        first = [self.conv1, self.norm1, self.relu, self.pool]
        return [first, self.conv2, self.conv3, self.conv4]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (super().forward(x),)


@MODELS.register_module()
class PostSumResNetIdentification(StagedModule):
    """The rest of it, on regions: three blocks of conv4, then conv5 at half the size.

    Example:
        >>> import torch
        >>> PostSumResNetIdentification(base_channels=2)(torch.rand(3, 32, 14, 14)).shape
        torch.Size([3, 64, 7, 7])

    Its stages are conv4 and conv5.
    """

    norm_eval_freezes = True

    def __init__(self, base_channels: int = 64, **kwargs: Any):
        super().__init__(**kwargs)
        c = base_channels
        self.conv4 = _blocks(16 * c, 4 * c, 3, stride=1)
        self.conv5 = _blocks(16 * c, 8 * c, 3, stride=2)
        self.out_channels = 32 * c
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [self.conv4, self.conv5]


class PostSumBlock(nn.Module):
    """A bottleneck whose last batch norm follows the sum; the shortcut has none of its own.

    Example:
        >>> import torch
        >>> PostSumBlock(4, 2, stride=2)(torch.rand(1, 4, 6, 6)).shape
        torch.Size([1, 8, 3, 3])

    The output has four times ``width`` channels; ``stride`` is that of the 3 x 3 convolution and
    the shortcut.
    """

    def __init__(self, in_channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.shortcut = None
        if stride > 1 or in_channels != 4 * width:
            self.shortcut = nn.Conv2d(in_channels, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(x)), inplace=True)
        branch = F.relu(self.norm2(self.conv2(branch)), inplace=True)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.norm3(self.conv3(branch) + shortcut), inplace=True)


def _blocks(in_channels: int, width: int, count: int, stride: int) -> nn.Sequential:
    rest = [PostSumBlock(4 * width, width, 1) for _ in range(count - 1)]
    return nn.Sequential(PostSumBlock(in_channels, width, stride), *rest)
