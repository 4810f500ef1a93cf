import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers.memory_format import memory_format


class SpatialTransformer(nn.Module):
    """Predicts one bounded affine warp per map and applies it (paper, section III; Jaderberg et al.
    2015).

    It starts as the identity. Bounds keep the warp invertible and people in view.

    Args:
        channels: Channels of the maps ``(n, channels, h, w)``, which keep their shape.
        hidden: Width of the localisation network.
        grid: Height and width to which maps are pooled before the warp is predicted.
        max_linear: Largest change of each of the four linear coefficients from the identity.
        max_shift: Largest shift, as a share of half the map's width or height.

    Raises:
        ValueError: If ``max_linear`` is not in [0, 0.5), where the warp is always invertible.
    """

    def __init__(
        self,
        channels: int,
        hidden: int = 32,
        grid: tuple[int, int] = (4, 4),
        max_linear: float = 0.1,
        max_shift: float = 0.1,
    ):
        super().__init__()
        if not 0 <= max_linear < 0.5:
            raise ValueError(
                f'SpatialTransformer: max_linear={max_linear}, but it must be in [0, 0.5)'
            )
        self.localisation = nn.Sequential(
            nn.AdaptiveAvgPool2d(grid),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(hidden * grid[0] * grid[1], 6),
        )
        nn.init.zeros_(self.localisation[-1].weight)
        nn.init.zeros_(self.localisation[-1].bias)
        linear, shift = [max_linear] * 2, [max_shift]
        self.register_buffer('bounds', torch.tensor([linear + shift] * 2), persistent=False)

    def theta(self, x: Tensor) -> Tensor:
        """The warp ``(n, 2, 3)`` from output to input coordinates, normalised to [-1, 1]."""
        residual = self.localisation(x).float().view(-1, 2, 3)
        identity = torch.eye(2, 3, device=x.device)
        return identity + self.bounds * residual.tanh()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the warped maps and the warps."""
        theta = self.theta(x)
        return warp(x, theta), theta


def warp(x: Tensor, theta: Tensor) -> Tensor:
    """Maps ``(n, c, h, w)`` sampled where ``theta`` ``(n, 2, 3)`` takes their positions."""
    # In float32 the sampling positions of a wide map are off by up to 1e-5 of a cell, and the
    # identity would not be one.
    grid = F.affine_grid(theta.double(), list(x.shape), align_corners=False)
    warped = F.grid_sample(x.double(), grid, padding_mode='border', align_corners=False)
    return warped.to(x.dtype, memory_format=memory_format(x))
