from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.layers import RegionFocus, align_regions, extract
from mmps.registry import MODELS


@MODELS.register_module()
class RegionNetwork(BaseModule):
    """Regions of the maps to identification features, for re-ID alone.

    RoIAlign -> (spatial transformer) -> (attention) -> identification network. Detection and re-ID
    want different things of a region: what all people have in common, and what they have not. With
    a network of its own, re-ID can also look at finer maps and larger regions, at little cost: it
    sees people only, while detection sees every proposal.

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
