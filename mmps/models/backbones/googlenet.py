from collections.abc import Sequence

from torch import Tensor, nn

from mmps.models.layers import ConvNormReLU, Inception, StagedModule
from mmps.registry import MODELS


def _halve() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


@MODELS.register_module()
class GoogLeNet(StagedModule):
    """The stem of GoogLeNet: up to inception 4e, ``(n, 3, h, w)`` -> ``(n, 832, h / 16, w / 16)``.

    Inception 5a and 5b are the identification network, :class:`GoogLeNetIdentification`. Parameter
    names are torchvision's, whose published weights expect images scaled to [-1, 1].

    Args:
        frozen_stages, norm_eval, with_cp, init_cfg: See :class:`StagedModule`; stages: the
            convolutions before inception 3a, inception 3, inception 4.
    """

    out_channels = 832

    def __init__(
        self,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ):
        super().__init__(frozen_stages, norm_eval, with_cp, init_cfg)
        self.conv1 = ConvNormReLU(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = _halve()
        self.conv2 = ConvNormReLU(64, 64, 1)
        self.conv3 = ConvNormReLU(64, 192, 3, padding=1)
        self.maxpool2 = _halve()
        self.inception3a = Inception(192, (64, 96, 128, 16, 32, 32))
        self.inception3b = Inception(256, (128, 128, 192, 32, 96, 64))
        self.maxpool3 = _halve()
        self.inception4a = Inception(480, (192, 96, 208, 16, 48, 64))
        self.inception4b = Inception(512, (160, 112, 224, 24, 64, 64))
        self.inception4c = Inception(512, (128, 128, 256, 24, 64, 64))
        self.inception4d = Inception(512, (112, 144, 288, 32, 64, 64))
        self.inception4e = Inception(528, (256, 160, 320, 32, 128, 128))
        self.freeze_stages()

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        modules = list(self.children())
        return [modules[:5], modules[5:8], modules[8:]]

    def forward(self, x: Tensor) -> tuple[Tensor]:
        for stage in self.stages():
            x = self.run_stage(stage, x)
        return (x,)
