from mmengine.model import BaseModule
from torch import Tensor

from mmps.models.layers import SpatialTransformer, warp
from mmps.registry import MODELS


@MODELS.register_module()
class STN(BaseModule):
    """Spatial transformer between stem and proposal network: one affine warp per image.

    :class:`PersonSearch` takes the warps from :meth:`warp` and moves boxes with them
    (:class:`AffineFrame`), so that the warp never shifts a box silently.

    Args:
        in_channels: Channels of the first map.
        kwargs: See :class:`SpatialTransformer`.
    """

    def __init__(self, in_channels: int, init_cfg: dict | None = None, **kwargs):
        super().__init__(init_cfg)
        self.transformer = SpatialTransformer(in_channels, **kwargs)

    def warp(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Maps ``(n, c, h, w)`` to the warped maps and the warps ``(n, 2, 3)``, which the first map
        decides.
        """
        theta = self.transformer.theta(inputs[0])
        return tuple(warp(x, theta) for x in inputs), theta

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.warp(inputs)[0]
