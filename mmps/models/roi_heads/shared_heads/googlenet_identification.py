from collections.abc import Sequence

from torch import Tensor, nn

from mmps.models.layers import Inception, StagedModule
from mmps.registry import MODELS


@MODELS.register_module()
class GoogLeNetIdentification(StagedModule):
    """GoogLeNet's inception 5a and 5b on region features: ``(n, 832, h, w)`` -> ``(n, 1024, h,
    w)``.

    Parameter names are torchvision's.

    Args:
        frozen_stages, norm_eval, with_cp, init_cfg: See :class:`StagedModule`; one stage.
    """

    out_channels = 1024

    def __init__(
        self,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ):
        super().__init__(frozen_stages, norm_eval, with_cp, init_cfg)
        self.inception5a = Inception(832, (256, 160, 320, 32, 128, 128))
        self.inception5b = Inception(832, (384, 192, 384, 48, 128, 128))
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.inception5a, self.inception5b]]

    def forward(self, x: Tensor) -> Tensor:
        return self.run_stage(*self.stages(), x)
