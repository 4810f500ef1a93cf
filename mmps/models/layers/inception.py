import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers.folding import can_fold, fold_after


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm and ReLU under torchvision's GoogLeNet names and
    epsilon.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        if not can_fold(x, self):
            return self.relu(self.bn(self.conv(x)))
        folded = fold_after(self.conv, self.bn)
        return F.conv2d(x, folded.weight, folded.bias, self.conv.stride, self.conv.padding).relu_()


class Inception(nn.Module):
    """Four branches side by side: 1 x 1; two reduced 3 x 3; pooled 1 x 1.

    The third branch has 3 x 3 kernels where the GoogLeNet paper has 5 x 5, because the published
    ImageNet weights have them so.

    Args:
        in_channels: Channels of the input.
        widths: Output channels of: 1 x 1; reduction and 3 x 3; reduction and second 3 x 3; pooled 1
            x 1.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int, int, int, int, int]):
        super().__init__()
        one, reduce_three, three, reduce_five, five, pooled = widths
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
        self.out_channels = one + three + five + pooled

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)
