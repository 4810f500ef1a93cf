from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxJitter:
    """Moved and resized copies of boxes, as a detector might have drawn them.

    Args:
        copies: Copies of each box.
        shift: Largest move of the centre, in widths and heights of the box.
        scale: Largest change of width and height, as a fraction.
    """

    copies: int
    shift: float = 0.05
    scale: float = 0.1

    def __call__(self, boxes: Tensor) -> Tensor:
        """Boxes ``(n, 4)``, xyxy, to ``(copies * n, 4)``: all boxes, then all again."""
        boxes = boxes.repeat(self.copies, 1)
        size = boxes[:, 2:] - boxes[:, :2]
        noise = torch.empty(2, *size.shape, dtype=size.dtype, device=size.device).uniform_(-1, 1)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 + self.shift * noise[0] * size
        half = size * (1 + self.scale * noise[1]) / 2
        return torch.cat([centre - half, centre + half], 1)
