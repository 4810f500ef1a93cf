"""From maps and boxes to identification features, for re-ID alone; and its parts."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.layers.fast import align_regions, extract
from mmps.models.necks.stn import SpatialTransformer
from mmps.registry import MODELS

MODES = ('spatial', 'channel', 'both')


@MODELS.register_module()
class RegionNetwork(BaseModule):
    """Regions of the maps to identification features, for re-ID alone.

    RoIAlign -> (spatial transformer) -> (attention) -> identification network. Detection and re-ID
    want different things of a region: what all people have in common, and what they have not. With
    a network of its own, re-ID can also look at finer maps and larger regions, at little cost: it
    sees people only, while detection sees every proposal.

    Example:
        >>> network = RegionNetwork(
        ...     roi_extractor=dict(
        ...         type='SingleRoIExtractor',
        ...         roi_layer=dict(type='RoIAlign', output_size=(16, 8), sampling_ratio=1),
        ...         out_channels=8,
        ...         featmap_strides=[16],
        ...     ),
        ...     network=dict(type='DenseNetIdentification', num_layers=2, growth_rate=4),
        ...     attention=dict(type='SoftAttention'),
        ... )
        >>> network((torch.rand(1, 8, 12, 20),), torch.tensor([[0, 32.0, 32, 96, 160]])).shape
        torch.Size([1, 16, 16, 8])

    Args:
        roi_extractor: Config of the RoI extractor; :class:`FineRoIExtractor` takes a finer map too.
        network: Config of the identification network; it also gets ``in_channels``.
        attention: Config of the attention; it also gets ``channels``. None: no attention.
        region_transformer: Arguments of a :class:`SpatialTransformer` on each region, or None.
    """

    def __init__(
        self,
        roi_extractor: dict,
        network: dict,
        attention: dict | None = None,
        region_transformer: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.roi_extractor = align_regions(MODELS.build(roi_extractor))
        channels = self.roi_extractor.out_channels
        self.focus = RegionFocus(channels, attention, region_transformer)
        self.network = MODELS.build(network, default_args=dict(in_channels=channels))

    def start_from(self, network: nn.Module) -> None:
        """Take the weights of another identification network.

        Raises:
            ValueError: If it is built differently.
        """
        try:
            self.network.load_state_dict(network.state_dict())
        except RuntimeError as error:
            raise ValueError(
                'roi_head.reid_network.network takes the pretrained weights of '
                f'roi_head.shared_head and has to be built like it: {error}'
            ) from error

    def forward(self, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Maps ``(b, c, h, w)`` and RoIs ``(n, 5)`` (image index, xyxy) to ``(n, c', h', w')``."""
        return self.network(self.focus(extract(self.roi_extractor, x, rois)))


@MODELS.register_module()
class FineRoIExtractor(BaseModule):
    """Regions of the stem's map with the detail of a finer one.

    At stride 16 a person of 80 pixels is five cells tall. Regions of the finer map are added to
    those of the first through a 1 x 1 convolution, which starts at zero: pretrained weights behind
    it see what they know.

    Example:
        >>> layer = dict(type='RoIAlign', output_size=(16, 8), sampling_ratio=1)
        >>> extractor = FineRoIExtractor(layer, out_channels=4, fine_channels=2)
        >>> maps = torch.rand(1, 4, 12, 20), torch.rand(1, 2, 24, 40)
        >>> extractor(maps, torch.tensor([[0, 32.0, 32, 96, 160]])).shape
        torch.Size([1, 4, 16, 8])

    Args:
        roi_layer: Config of the RoI layer, as for mmdet's ``SingleRoIExtractor``.
        out_channels: Channels of the first map, and of the regions.
        fine_channels: Channels of the second map.
        featmap_strides: Strides of the two maps.
    """

    num_inputs = 2

    def __init__(
        self,
        roi_layer: dict,
        out_channels: int,
        fine_channels: int,
        featmap_strides: Sequence[int] = (16, 8),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.out_channels = out_channels
        one = dict(type='SingleRoIExtractor', roi_layer=roi_layer)
        self.coarse, self.fine = (
            MODELS.build(dict(**one, out_channels=channels, featmap_strides=[stride]))
            for channels, stride in zip((out_channels, fine_channels), featmap_strides, strict=True)
        )
        self.lateral = nn.Conv2d(fine_channels, out_channels, 1, bias=False)
        nn.init.zeros_(self.lateral.weight)

    def forward(self, feats: tuple[Tensor, Tensor], rois: Tensor) -> Tensor:
        """Two maps and RoIs ``(n, 5)`` (image, xyxy) to regions ``(n, out_channels, h, w)``."""
        return self.coarse(feats[:1], rois) + self.lateral(self.fine(feats[1:], rois))


class RegionFocus(nn.Module):
    """What happens to regions before an identification network sees them: both steps are optional.

    Example:
        >>> focus = RegionFocus(8, attention=dict(type='SoftAttention'), region_transformer={})
        >>> focus(torch.rand(5, 8, 14, 14)).shape
        torch.Size([5, 8, 14, 14])

    Regions ``(n, channels, h, w)`` keep their shape; arguments are those of a
    :class:`RegionNetwork`.
    """

    def __init__(
        self, channels: int, attention: dict | None = None, region_transformer: dict | None = None
    ):
        super().__init__()
        self.region_transformer = self.attention = None
        if region_transformer is not None:
            self.region_transformer = SpatialTransformer(channels, **region_transformer)
        if attention:
            self.attention = MODELS.build(attention, default_args=dict(channels=channels))

    def forward(self, feats: Tensor) -> Tensor:
        if self.region_transformer is not None:
            feats, _ = self.region_transformer(feats)
        return feats if self.attention is None else self.attention(feats)


@MODELS.register_module()
class SoftAttention(nn.Module):
    """Weighs region features with a deterministic mask in [0, 1] (paper, section III).

    The paper calls its attention "soft (stochastic)"; a soft mask is differentiable and needs no
    sampling. Regions ``(n, channels, h, w)`` keep their shape.

    Example:
        >>> attention = SoftAttention(channels=8)
        >>> regions = torch.rand(5, 8, 14, 14)
        >>> attention.mask(regions).shape
        torch.Size([5, 1, 14, 14])
        >>> torch.equal(attention(regions), regions * attention.mask(regions))
        True

    Args:
        channels: Channels of the regions.
        mode: ``'spatial'``: one weight per position, ``(n, 1, h, w)``; ``'channel'``: one per
            channel, ``(n, channels, 1, 1)``; ``'both'``: their product.
        reduction: Width of the hidden layers is ``channels / reduction``, at least 8.
        bias: Initial value before the sigmoid. At 2 the mask starts near 0.88, so that pretrained
            weights see features close to those they know while the sigmoid still has a gradient.

    Raises:
        ValueError: If ``mode`` is not one of the three.
    """

    def __init__(
        self, channels: int, mode: str = 'spatial', reduction: int = 16, bias: float = 2.0
    ):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'SoftAttention: mode={mode!r}, but it must be one of {MODES}')
        hidden = max(channels // reduction, 8)
        self.spatial = self.channel = None
        if mode in ('spatial', 'both'):
            self.spatial = nn.Sequential(
                nn.Conv2d(channels, hidden, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, 1, 3, padding=1),
            )
            nn.init.constant_(self.spatial[-1].bias, bias)
        if mode in ('channel', 'both'):
            self.channel = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(channels, hidden, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, channels, 1),
            )
            nn.init.constant_(self.channel[-1].bias, bias)

    def mask(self, x: Tensor) -> Tensor:
        """The weights for ``x``, broadcastable to its shape ``(n, channels, h, w)``."""
        branches = (self.spatial, self.channel)
        masks = [torch.sigmoid(branch(x)) for branch in branches if branch is not None]
        return masks[0] if len(masks) == 1 else masks[0] * masks[1]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask(x)
