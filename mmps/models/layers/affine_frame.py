from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AffineFrame:
    """Takes boxes between the images of a batch and their affinely warped feature maps.

    Everything after a :class:`SpatialTransformer` sees the warped frame, so annotated boxes go
    there before they become targets, and detected boxes come back. A box's centre follows the
    affine map exactly; its sides are scaled by the lengths of the mapped axes, which is exact
    without rotation and shear, keeps the box axis-parallel with them, and makes the way back the
    exact inverse.

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
