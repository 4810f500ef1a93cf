import torch
from torch import Tensor, nn

from mmps.registry import MODELS

MODES = ('spatial', 'channel', 'both')


@MODELS.register_module()
class SoftAttention(nn.Module):
    """Weighs region features with a deterministic mask in [0, 1] (paper, section III).

    The paper calls its attention "soft (stochastic)"; a soft mask is differentiable and needs no
    sampling. Regions ``(n, channels, h, w)`` keep their shape.

    Args:
        channels: Channels of the regions.
        mode: ``'spatial'``: one weight per position, ``(n, 1, h, w)``; ``'channel'``: one per
            channel, ``(n, channels, 1, 1)``; ``'both'``: their product.
        reduction: Width of the hidden layers is ``channels / reduction``.
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
