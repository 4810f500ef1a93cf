"""The Swin of SOLIDER (Chen et al., CVPR 2023), told how semantic its features are to be."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.backbones.swin import SwinBlockSequence, SwinTransformer
from mmdet.models.layers import PatchMerging
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.layers import fast
from mmps.registry import MODELS


@MODELS.register_module()
class SemanticSwin(SwinTransformer):
    """Its stem: three of its four stages, ``(n, 3, h, w)`` to a map of stride 16.

    Example:
        >>> stem = SemanticSwin(embed_dims=12, depths=(1, 1, 1), num_heads=(1, 2, 4))
        >>> stem(torch.rand(1, 3, 64, 96))[0].shape
        torch.Size([1, 48, 4, 6])

    Args:
        depths: Blocks of each stage.
        num_heads: Of the attention of each stage.
        semantic_weight: Between 0, appearance, and 1, semantics.
        kwargs: Of mmdet's ``SwinTransformer``.
    """

    def __init__(
        self,
        depths: Sequence[int] = (2, 2, 6),
        num_heads: Sequence[int] = (3, 6, 12),
        semantic_weight: float = 0.6,
        **kwargs: Any,
    ):
        with torch.device('cpu'):  # mmdet reads a number from a tensor, which 'meta' has not
            super().__init__(
                depths=depths, num_heads=num_heads, strides=(4, 2, 2), out_indices=(2,), **kwargs
            )
        for stage in self.stages[:-1]:
            stage.downsample = SemanticMerging(stage.downsample, semantic_weight)
        self.out_channels = self.num_features[-1]

    def train(self, mode: bool = True) -> 'SemanticSwin':
        super().train(mode)  # mmdet's gives nothing back
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        # mmdet's maps are contiguous, which RoIAlign and tokens of regions would rearrange again
        # and again.
        maps = super().forward(x)
        if not fast.is_on('channels_last'):
            return tuple(maps)
        return tuple(x.contiguous(memory_format=torch.channels_last) for x in maps)


@MODELS.register_module()
class SemanticSwinIdentification(BaseModule):
    """Its last stage on regions, at half their size, with ``depth`` blocks.

    ``drop_path_rates`` say how often each block is left out in training; the rest is as of the
    stem.

    Example:
        >>> SemanticSwinIdentification(12, depth=1, num_heads=2)(torch.rand(2, 12, 14, 14)).shape
        torch.Size([2, 24, 7, 7])
    """

    def __init__(
        self,
        in_channels: int = 384,
        depth: int = 2,
        num_heads: int = 24,
        semantic_weight: float = 0.6,
        drop_path_rates: Sequence[float] = (0.0, 0.0),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.out_channels = 2 * in_channels
        self.merge = SemanticMerging(
            PatchMerging(in_channels, self.out_channels, norm_cfg=dict(type='LN')), semantic_weight
        )
        self.stage = SwinBlockSequence(
            self.out_channels,
            num_heads,
            4 * self.out_channels,
            depth,
            drop_path_rate=list(drop_path_rates[:depth]),
        )
        self.norm = nn.LayerNorm(self.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x, size = self.merge(x.flatten(2).transpose(1, 2), x.shape[2:])
        x = self.norm(self.stage(x, size)[0])
        return x.transpose(1, 2).unflatten(2, size)


class SemanticMerging(nn.Module):
    """Patch merging, then a scale and a shift of each channel that the semantic weight decides.

    Example:
        >>> merging = SemanticMerging(PatchMerging(4, 8), semantic_weight=0.6)
        >>> x, size = merging(torch.rand(1, 24, 4), (4, 6))
        >>> x.shape, size
        (torch.Size([1, 6, 8]), (2, 3))
    """

    def __init__(self, merging: PatchMerging, semantic_weight: float):
        super().__init__()
        self.merging = merging
        self.scale = nn.Linear(2, merging.out_channels)
        self.shift = nn.Linear(2, merging.out_channels)
        for layer in (self.scale, self.shift):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.out_channels = merging.out_channels
        weights = torch.tensor([semantic_weight, 1 - semantic_weight])
        self.register_buffer('weights', weights, persistent=False)

    def forward(self, x: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
        """Tokens ``(n, h * w, c)`` of a map of that size to a quarter of them, and their size."""
        x, size = self.merging(x, size)
        return x * F.softplus(self.scale(self.weights)) + self.shift(self.weights), size
