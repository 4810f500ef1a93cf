"""Anchors as other programs draw them."""

import torch
from mmdet.models.task_modules import AnchorGenerator
from torch import Tensor

from mmps.registry import TASK_UTILS


@TASK_UTILS.register_module()
class RoundedAnchorGenerator(AnchorGenerator):
    """mmdet's anchors with corners rounded to whole pixels, as torchvision's are.

    Example:
        >>> RoundedAnchorGenerator(strides=[16], ratios=[0.5], scales=[2.0]).base_anchors
        [tensor([[-23., -11.,  23.,  11.]])]
    """

    def gen_single_level_base_anchors(
        self, base_size: float, scales: Tensor, ratios: Tensor, center: tuple | None = None
    ) -> Tensor:
        """Anchors ``(n, 4)`` xyxy around ``center`` or the origin; halves round to even."""
        return torch.round(super().gen_single_level_base_anchors(base_size, scales, ratios, center))
