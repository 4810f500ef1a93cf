from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers import DenseBlock, StagedModule, Transition
from mmps.models.layers.folding import can_fold, fold_after
from mmps.registry import MODELS


def _for_each(value: float | Sequence[float], blocks: Sequence[int]) -> Sequence[float]:
    return value if isinstance(value, Sequence) else [value] * len(blocks)


@MODELS.register_module()
class DenseNet(StagedModule):
    """The stem of a DenseNet: everything up to its last transition, whose pooling is left out.

    An image ``(n, 3, h, w)`` becomes one map ``(n, out_channels, h / 16, w / 16)`` when there are
    three blocks; the defaults are DenseNet-121's, with ``out_channels`` = 512 (paper, section III,
    "Global features"). The last dense block is the identification network,
    :class:`DenseNetIdentification`. Parameter names are torchvision's.

    Args:
        block_layers: Number of dense layers in each block.
        growth_rate: Channels that each dense layer adds; one number, or one for each block.
        compression: Share of the channels that a transition keeps; one number, or one for each.
        init_channels: Channels of the first convolution.
        frozen_stages, norm_eval, with_cp, init_cfg: See :class:`StagedModule`; stage 1 is the
            first convolution, stage 2 the first block with its transition, and so on.
    """

    def __init__(
        self,
        block_layers: Sequence[int] = (6, 12, 24),
        growth_rate: int | Sequence[int] = 32,
        compression: float | Sequence[float] = 0.5,
        init_channels: int = 64,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ):
        super().__init__(frozen_stages, norm_eval, with_cp, init_cfg)
        layers = OrderedDict(
            conv0=nn.Conv2d(3, init_channels, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(init_channels),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = init_channels
        blocks = zip(
            block_layers,
            _for_each(growth_rate, block_layers),
            _for_each(compression, block_layers),
            strict=True,
        )
        for i, (num_layers, rate, share) in enumerate(blocks, start=1):
            layers[f'denseblock{i}'] = block = DenseBlock(channels, num_layers, rate)
            layers[f'transition{i}'] = transition = Transition(
                block.out_channels, share, pool=i < len(block_layers)
            )
            channels = transition.out_channels
        self.features = nn.Sequential(layers)
        self.out_channels = channels
        self.check_frozen_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        modules = list(self.features)
        return [modules[:4], *(modules[i : i + 2] for i in range(4, len(modules), 2))]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self._first_stage(x)
        for stage in self.stages()[1:]:
            x = self.run_stage(stage, x)
        return (x,)

    def _first_stage(self, x: Tensor) -> Tensor:
        conv, norm, relu, pool = first = self.stages()[0]
        if not can_fold(x, *first):
            return self.run_stage(first, x)
        folded = fold_after(conv, norm)
        x = F.conv2d(x, folded.weight, folded.bias, conv.stride, conv.padding)
        # ReLU and largest value commute; this way it has a quarter of the positions.
        return relu(pool(x))
