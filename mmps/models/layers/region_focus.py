from torch import Tensor, nn

from mmps.models.layers.spatial_transformer import SpatialTransformer
from mmps.registry import MODELS


class RegionFocus(nn.Module):
    """What happens to regions before an identification network sees them: both steps are optional.

    Args:
        channels: Channels of the regions ``(n, channels, h, w)``, which keep their shape.
        attention: Config of the attention, which also gets ``channels``; None: no attention.
        region_transformer: Arguments of a :class:`SpatialTransformer` on each region, or None.
    """

    def __init__(
        self, channels: int, attention: dict | None = None, region_transformer: dict | None = None
    ):
        super().__init__()
        self.region_transformer = (
            None
            if region_transformer is None
            else SpatialTransformer(channels, **region_transformer)
        )
        self.attention = attention and MODELS.build(attention, default_args=dict(channels=channels))

    def forward(self, feats: Tensor) -> Tensor:
        if self.region_transformer is not None:
            feats, _ = self.region_transformer(feats)
        return feats if self.attention is None else self.attention(feats)
