"""The spatial transformer: one bounded affine warp per map, and the boxes that follow it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.layers.fast import memory_format
from mmps.registry import MODELS


@MODELS.register_module()
class STN(BaseModule):
    """A :class:`SpatialTransformer` between stem and proposal network: one affine warp per image.

    :class:`PersonSearch` takes the warps from :meth:`warp` and moves boxes with them
    (:class:`AffineFrame`), so that the warp never shifts a box silently.

    Example:
        >>> neck = STN(in_channels=8)
        >>> (x,), theta = neck.warp((torch.rand(2, 8, 12, 20),))
        >>> x.shape, theta.shape
        (torch.Size([2, 8, 12, 20]), torch.Size([2, 2, 3]))

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
        return tuple(self.transformer.warp(x, theta) for x in inputs), theta

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.warp(inputs)[0]


class SpatialTransformer(nn.Module):
    """Predicts one bounded affine warp per map and applies it (paper, section III; Jaderberg et al.
    2015).

    It starts as the identity. Bounds keep the warp invertible and people in view.

    Example:
        >>> transformer = SpatialTransformer(channels=8)
        >>> x = torch.rand(1, 8, 12, 20)
        >>> warped, theta = transformer(x)
        >>> torch.allclose(warped, x), theta.tolist()
        (True, [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])

    Args:
        channels: Channels of the maps ``(n, channels, h, w)``, which keep their shape.
        hidden: Width of the localisation network.
        grid: Height and width to which maps are pooled before the warp is predicted.
        max_linear: Largest change of each of the four linear coefficients from the identity.
        max_shift: Largest shift, as a share of half the map's width or height.

    Raises:
        ValueError: ``max_linear`` is not in [0, 0.5), where the warp is always invertible.
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
        """The warped maps, and the warps."""
        theta = self.theta(x)
        return self.warp(x, theta), theta

    def warp(self, x: Tensor, theta: Tensor) -> Tensor:
        return warp(x, theta)


def warp(x: Tensor, theta: Tensor) -> Tensor:
    """Maps ``(n, c, h, w)`` sampled where ``theta`` ``(n, 2, 3)`` takes their positions."""
    # In float32 the sampling positions of a wide map are off by up to 1e-5 of a cell, and the
    # identity would not be one.
    grid = F.affine_grid(theta.double(), list(x.shape), align_corners=False)
    warped = F.grid_sample(x.double(), grid, padding_mode='border', align_corners=False)
    return warped.to(x.dtype, memory_format=memory_format(x))


@dataclass(frozen=True)
class AffineFrame:
    """Takes boxes between the images of a batch and their affinely warped feature maps.

    Everything after a :class:`SpatialTransformer` sees the warped frame, so annotated boxes go
    there before they become targets, and detected boxes come back. A box's centre follows the
    affine map exactly; its sides are scaled by the lengths of the mapped axes, which is exact
    without rotation and shear, keeps the box axis-parallel with them, and makes the way back the
    exact inverse.

    Example:
        >>> half_size = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])
        >>> frame = AffineFrame(half_size, size=(200, 100))
        >>> frame.to_image(torch.tensor([[100.0, 50.0, 140.0, 70.0]]), 0)
        tensor([[100.,  50., 120.,  60.]])

    Attributes:
        theta: ``(n, 2, 3)``, warped to image coordinates, both normalised to [-1, 1] over the
            image.
        size: Width and height of the (padded) batch in pixels.
    """

    theta: Tensor
    size: tuple[int, int]

    def to_image(self, boxes: Tensor, index: int | Tensor) -> Tensor:
        """Boxes ``(m, 4)`` (xyxy, pixels) from the warped frame of image ``index``, or of the image
        of each box ``(m,)``, to that image.
        """
        matrix, shift = self._in_pixels(index)
        centres, sides = _split(boxes)
        return _join(_times(matrix, centres) + shift, sides * _lengths(matrix))

    def to_warped(self, boxes: Tensor, index: int | Tensor) -> Tensor:
        """The way back: boxes of an image to its warped frame."""
        matrix, shift = self._in_pixels(index)
        centres, sides = _split(boxes)
        return _join(_times(_inverse(matrix), centres - shift), sides / _lengths(matrix))

    def _in_pixels(self, index: int | Tensor) -> tuple[Tensor, Tensor]:
        theta = self.theta[index].detach().float()
        half = torch.stack([theta.new_full((), side) for side in self.size]) / 2
        matrix = theta[..., :2] * half[:, None] / half
        return matrix, half + half * theta[..., 2] - _times(matrix, half)


def _times(matrix: Tensor, points: Tensor) -> Tensor:
    """``(..., 2, 2)`` times ``(..., 2)``; not by a reduction, see :func:`_lengths`."""
    return matrix[..., 0] * points[..., :1] + matrix[..., 1] * points[..., 1:]


def _inverse(matrix: Tensor) -> Tensor:
    """Of ``(..., 2, 2)``, written out, for exchange formats have no inverse."""
    (a, b), (c, d) = (row.unbind(-1) for row in matrix.unbind(-2))
    adjugate = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return adjugate / (a * d - b * c)[..., None, None]


def _split(boxes: Tensor) -> tuple[Tensor, Tensor]:
    corner, opposite = boxes[:, :2], boxes[:, 2:]
    return (corner + opposite) / 2, opposite - corner


def _join(centres: Tensor, sides: Tensor) -> Tensor:
    return torch.cat([centres - sides / 2, centres + sides / 2], 1)


def _lengths(matrix: Tensor) -> Tensor:
    """Of the columns. Not by a reduction: ONNX Runtime before 1.32 fails at those of no boxes."""
    upper, lower = matrix.unbind(-2)
    return (upper.square() + lower.square()).sqrt()
