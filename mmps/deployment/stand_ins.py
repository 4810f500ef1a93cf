"""Layers of the models in forms that can be traced and that other runtimes know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmps.deployment import operators  # noqa: F401  defines torch.ops.mmps
from mmps.models.backbones.densenet import DenseBlock
from mmps.models.layers.fast import RegionAlign
from mmps.models.necks.stn import STN, SpatialTransformer
from mmps.utils.errors import UserError


def traceable(model: nn.Module) -> nn.Module:
    """The model with stand-ins, which share its weights, for what cannot be traced; in place.

    Raises:
        UserError: There is no stand-in; the message names the key of the config.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in _STAND_INS:
                setattr(parent, name, _STAND_INS[type(child)](child))
    return model


class _Align(nn.Module):
    """:class:`RegionAlign` as one operator."""

    def __init__(self, align: RegionAlign):
        super().__init__()
        layer = align.layer
        if not (isinstance(layer, RoIAlign) and layer.pool_mode == 'avg'):
            raise UserError(
                f'roi_layer={type(layer).__name__} cannot be exported, only RoIAlign with '
                "pool_mode='avg' can"
            )
        self.output_size = layer.output_size
        self.how = layer.spatial_scale, layer.sampling_ratio, layer.aligned

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        return torch.ops.mmps.align(x, rois, *self.output_size, *self.how)


class _SingleRoIExtractor(nn.Module):
    """mmdet's extractor from one map, which asks whether there are regions."""

    def __init__(self, extractor: SingleRoIExtractor):
        super().__init__()
        if extractor.num_inputs != 1:
            raise UserError(
                f'featmap_strides of {extractor.num_inputs} maps cannot be exported, only RoI '
                'extractors of one map can'
            )
        self.num_inputs = 1
        self.roi_layers = extractor.roi_layers

    def forward(self, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
        return self.roi_layers[0](maps[0], rois)


class _DenseBlock(nn.Module):
    """:class:`DenseBlock` layer after layer."""

    def __init__(self, block: DenseBlock):
        super().__init__()
        self.layers = nn.ModuleList(block.values())

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class _AdaptiveAvgPool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` of a map whose size is not known yet, as two matrix products."""

    def __init__(self, pool: nn.AdaptiveAvgPool2d):
        super().__init__()
        size = pool.output_size
        self.output_size = (size, size) if isinstance(size, int) else size

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (
            self._shares(bins, x.shape[axis], x)
            for bins, axis in zip(self.output_size, (2, 3), strict=True)
        )
        return rows @ x @ columns.T

    @staticmethod
    def _shares(bins: int, length: int, x: Tensor) -> Tensor:
        """What each of ``length`` cells adds to each bin, ``(bins, length)``."""
        number = torch.arange(bins, device=x.device)[:, None]
        start, end = number * length // bins, ((number + 1) * length + bins - 1) // bins
        cells = torch.arange(length, device=x.device)
        return ((cells >= start) & (cells < end)).to(x.dtype) / (end - start)


class _SpatialTransformer(nn.Module):
    """:class:`SpatialTransformer`; in float32, for few runtimes sample in float64."""

    def __init__(self, transformer: SpatialTransformer):
        super().__init__()
        self.transformer = transformer

    def theta(self, x: Tensor) -> Tensor:
        return self.transformer.theta(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        theta = self.theta(x)
        return _warp(x, theta), theta


class _STN(STN):
    """:class:`STN` with the stand-in above."""

    def __init__(self, neck: STN):
        nn.Module.__init__(self)
        self.transformer = neck.transformer

    def warp(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        theta = self.transformer.theta(inputs[0])
        return tuple(_warp(x, theta) for x in inputs), theta


def _warp(x: Tensor, theta: Tensor) -> Tensor:
    """As :func:`mmps.models.necks.stn.warp`, positions in float64 as there."""
    across, down = (
        (torch.arange(length, device=x.device, dtype=torch.float64) * 2 + 1) / length - 1
        for length in (x.shape[3], x.shape[2])
    )
    theta = theta.double()[:, None, None]  # (n, 1, 1, 2, 3)
    grid = theta[..., 0] * across[:, None] + theta[..., 1] * down[:, None, None] + theta[..., 2]
    return F.grid_sample(x, grid.float(), padding_mode='border', align_corners=False)


_STAND_INS: dict[type[nn.Module], Callable[[nn.Module], nn.Module]] = {
    SingleRoIExtractor: _SingleRoIExtractor,
    RegionAlign: _Align,
    DenseBlock: _DenseBlock,
    nn.AdaptiveAvgPool2d: _AdaptiveAvgPool,
    SpatialTransformer: _SpatialTransformer,
    STN: _STN,
}
