"""The scene around people (Zheng et al., Global-Local Context Network for Person Search, 2021)."""

from collections import OrderedDict

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.registry import MODELS


@MODELS.register_module()
class SceneContext(BaseModule):
    """Adds to the map a vector of the whole scene, which re-ID takes beside each region.

    The largest values over the padded map count, so that the vector depends on the padding, too:
    a batch of one image gives what was published.

    Example:
        >>> import torch
        >>> neck = SceneContext(in_channels=8, width=4)
        >>> [x.shape for x in neck((torch.rand(2, 8, 6, 5),))]
        [torch.Size([2, 8, 6, 5]), torch.Size([2, 8, 1, 1])]

    Args:
        in_channels: Channels of the map, and of the vector.
        width: Channels of the convolutions between.
    """

    def __init__(self, in_channels: int = 1024, width: int = 256, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        widths = (in_channels, width, width, in_channels)
        layers = OrderedDict()
        for i, (given, made) in enumerate(zip(widths, widths[1:], strict=False), 1):
            layers[f'conv{i}'] = nn.Conv2d(given, made, 3, padding=1)
            layers[f'norm{i}'] = nn.BatchNorm2d(made)
            layers[f'relu{i}'] = nn.ReLU(inplace=True)
        self.layers = nn.Sequential(layers)

    def forward(self, x: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Maps, the first ``(b, in_channels, h, w)``, to it and ``(b, in_channels, 1, 1)``."""
        return x[0], F.adaptive_max_pool2d(self.layers(x[0]), 1)
