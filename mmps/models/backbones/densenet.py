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

    A map is coarse: at stride 16 a person of 80 pixels is five cells tall. ``fine_block`` returns a
    second one for re-ID, the block's output before its transition, at stride 4 for block 1, 8 for
    block 2; ``fine_channels`` is its width.

    Args:
        block_layers: Number of dense layers in each block.
        growth_rate: Channels that each dense layer adds; one number, or one for each block.
        compression: Share of the channels that a transition keeps; one number, or one for each.
        init_channels: Channels of the first convolution.
        fine_block: Number of the block whose output is returned as a second map, or None.
        frozen_stages, norm_eval, with_cp, init_cfg: See :class:`StagedModule`; stage 1 is the
            first convolution, stage 2 the first block with its transition, and so on.
    """

    def __init__(
        self,
        block_layers: Sequence[int] = (6, 12, 24),
        growth_rate: int | Sequence[int] = 32,
        compression: float | Sequence[float] = 0.5,
        init_channels: int = 64,
        fine_block: int | None = None,
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
        if fine_block is not None and fine_block not in range(1, len(block_layers) + 1):
            raise ValueError(
                f'DenseNet: fine_block={fine_block}, but there are {len(block_layers)} blocks'
            )
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
        if not can_fold(x, *first):
            return self.run_stage(first, x)
        folded = fold_after(conv, norm)
        x = F.conv2d(x, folded.weight, folded.bias, conv.stride, conv.padding)
        # ReLU and largest value commute; this way it has a quarter of the positions.
        return relu(pool(x))
