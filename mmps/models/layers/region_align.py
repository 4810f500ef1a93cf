import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn

from mmps.models.layers.memory_format import memory_format


def align_regions(extractor: nn.Module) -> nn.Module:
    """Make the RoI layers of mmdet's RoI extractors in ``extractor`` :class:`RegionAlign`; returns
    it.
    """
    for part in list(extractor.modules()):
        if isinstance(part, BaseRoIExtractor):
            part.roi_layers = nn.ModuleList(map(RegionAlign, part.roi_layers))
    return extractor


def extract(extractor: nn.Module, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    """Regions of the first maps, as many as the extractor takes: ``(n, c, h, w)``.

    In float32 under autocast as well: RoI layers would round boxes to 16 bits, by up to 4
    pixels in bfloat16, for which they have no kernel on CPUs besides. In the memory format of the
    maps: of any other, each layer behind would make its own copies.
    """
    maps = [feats.float() for feats in x[: extractor.num_inputs]]
    return extractor(maps, rois).to(x[0].dtype, memory_format=memory_format(x[0]))


class RegionAlign(nn.Module):
    """A RoI layer of mmcv for maps of any memory format, with a CPU form of RoIAlign that is as
    fast as the rest.

    mmcv's layers read memory as ``(b, c, h, w)`` whatever the strides say, and on CPUs gather one
    value after another. A bin of average RoIAlign is a weighted sum of map positions, and in a
    channels-last map each position is one row of memory: an embedding bag. Results and gradients
    agree to rounding. Boxes get no gradient, as in mmcv.

    Args:
        layer: A RoI layer of mmcv; all but average RoIAlign with a fixed number of samples, in
            float32 on a CPU, is left to it.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.output_size = layer.output_size
        self.as_rows = (
            isinstance(layer, RoIAlign) and layer.sampling_ratio > 0 and layer.pool_mode == 'avg'
        )

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` and RoIs ``(n, 5)`` (image index, xyxy in image pixels) to regions
        ``(n, c, *output_size)``.
        """
        if not self.as_rows or x.device.type != 'cpu' or x.dtype != torch.float32:
            return self.layer(x.contiguous(), rois)
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)
        positions, weights = self._taps(rois, x.shape[-2:])
        bins = F.embedding_bag(positions, rows, mode='sum', per_sample_weights=weights)
        return bins.view(len(rois), *self.output_size, x.shape[1]).permute(0, 3, 1, 2)

    def _taps(self, rois: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Rows of the map that each bin sums, ``(n * bins, taps)``, and their weights."""
        corners = rois[:, 1:] * self.layer.spatial_scale - (0.5 if self.layer.aligned else 0.0)
        sides = corners[:, 2:] - corners[:, :2]
        if not self.layer.aligned:
            sides = sides.clamp(min=1.0)
        (y, y_weight), (x, x_weight) = (
            self._axis(corners[:, i], sides[:, i], self.output_size[1 - i], size[1 - i])
            for i in (1, 0)
        )
        height, width = size
        y = y + rois[:, 0].long().view(-1, 1, 1) * height
        positions = y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
        return positions.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)

    def _axis(self, start: Tensor, side: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
        """Cells along one axis and their weights, ``(n, bins, 2 * samples)``: each sample lies
        between two cells.
        """
        samples = self.layer.sampling_ratio
        steps = (torch.arange(bins * samples, device=start.device) + 0.5) / (bins * samples)
        places = start[:, None] + steps * side[:, None]
        # Beyond a cell's width outside the map is nothing; up to there the border goes on.
        inside = (places >= -1) & (places <= length)
        # A box that is not a number, as where a training diverges, has nothing in it either.
        places = places.nan_to_num(0.0).clamp(0, length - 1)
        lower = places.floor()
        share = places - lower
        weights = torch.stack([1 - share, share], -1) * (inside / samples).unsqueeze(-1)
        cells = torch.stack([lower, (lower + 1).clamp(max=length - 1)], -1).long()
        shape = len(start), bins, 2 * samples
        return cells.view(shape), weights.view(shape)
