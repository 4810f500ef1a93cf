from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers import DenseBlock, StagedModule
from mmps.registry import MODELS


@MODELS.register_module()
class DenseNetIdentification(StagedModule):
    """DenseNet's last dense block, norm and ReLU, on region features.

    ``(n, in_channels, h, w)`` -> ``(n, in_channels + num_layers * growth_rate, h, w)``;
    DenseNet-121: 512 -> 1024 (paper, section III, "Local features"). Parameter names are
    torchvision's.

    Args:
        in_channels: Channels of the region features.
        num_layers: Dense layers in the block.
        growth_rate: Channels that each of them adds.
        block: The block's number in the whole DenseNet, which names its parameters.
        frozen_stages, norm_eval, with_cp, init_cfg: See :class:`StagedModule`; one stage.
    """

    def __init__(
        self,
        in_channels: int = 512,
        num_layers: int = 16,
        growth_rate: int = 32,
        block: int = 4,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ):
        super().__init__(frozen_stages, norm_eval, with_cp, init_cfg)
        dense = DenseBlock(in_channels, num_layers, growth_rate)
        self.out_channels = dense.out_channels
        self.features = nn.Sequential(
            OrderedDict(
                {
                    f'denseblock{block}': dense,
                    f'norm{block + 1}': nn.BatchNorm2d(dense.out_channels),
                }
            )
        )
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [list(self.features)]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.run_stage(self.features, x), inplace=True)
