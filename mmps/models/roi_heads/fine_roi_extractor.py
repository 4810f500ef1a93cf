from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.registry import MODELS


@MODELS.register_module()
class FineRoIExtractor(BaseModule):
    """Regions of the stem's map with the detail of a finer one.

    At stride 16 a person of 80 pixels is five cells tall. Regions of the finer map are added to
    those of the first through a 1 x 1 convolution, which starts at zero: pretrained weights behind
    it see what they know.

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
        self.coarse, self.fine = (
            MODELS.build(
                dict(
                    type='SingleRoIExtractor',
                    roi_layer=roi_layer,
                    out_channels=channels,
                    featmap_strides=[stride],
                )
            )
            for channels, stride in zip((out_channels, fine_channels), featmap_strides, strict=True)
        )
        self.lateral = nn.Conv2d(fine_channels, out_channels, 1, bias=False)
        nn.init.zeros_(self.lateral.weight)

    def forward(self, feats: tuple[Tensor, Tensor], rois: Tensor) -> Tensor:
        """Two maps and RoIs ``(n, 5)`` (image, xyxy) to regions ``(n, out_channels, h, w)``."""
        return self.coarse(feats[:1], rois) + self.lateral(self.fine(feats[1:], rois))
