"""Which scenes may hold a person, before anybody in them is looked at (Jaffe and Zakhor, Gallery
Filter Network for Person Search, WACV 2023).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.roi_heads.norm_aware_head import LinearNorm
from mmps.registry import MODELS


@MODELS.register_module()
class SceneHead(BaseModule):
    """Embeddings of whole scenes, and what a person looks for in them.

    A person's embedding weighs the values of a scene's; how alike the weighted scene is to the
    weighted scene that the person comes from is the factor of all similarities there.

    Example:
        >>> conv = dict(type='ConvModule', in_channels=4, out_channels=6, kernel_size=3)
        >>> head = SceneHead(dict(type='PooledRegion', network=conv), (4, 6), (8, 8)).eval()
        >>> scenes = head(torch.rand(2, 4, 20, 30))
        >>> people = F.normalize(torch.rand(3, 16))
        >>> scenes.shape, head.filters(people, scenes[[0, 0, 1]]).shape
        (torch.Size([2, 16]), torch.Size([3, 50]))

    Args:
        shared_head: Config of the network behind the pooled map, which gives several maps.
        in_channels: Channels of each.
        embed_dims: What each adds to the width of the embedding, in all as wide as a person's.
        pool_size: The map is pooled to this height and width, by the largest values.
        temperature: Of the sigmoid of a person's embedding.
    """

    def __init__(
        self,
        shared_head: dict,
        in_channels: Sequence[int],
        embed_dims: Sequence[int],
        pool_size: int = 56,
        temperature: float = 0.2,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.shared_head = MODELS.build(shared_head)
        self.projections = nn.ModuleList(
            LinearNorm(channels, width)
            for channels, width in zip(in_channels, embed_dims, strict=True)
        )
        self.norm = nn.BatchNorm1d(sum(embed_dims))
        self.pool_size = pool_size
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to embeddings ``(b, D)`` of unit norm."""
        maps = self.shared_head(F.adaptive_max_pool2d(x, self.pool_size))
        projected = zip(self.projections, maps, strict=True)
        rows = torch.cat([project(pooled.flatten(1)) for project, pooled in projected], 1)
        return F.normalize(rows.float())

    def filters(self, people: Tensor, scenes: Tensor) -> Tensor:
        """What :func:`~mmps.evaluation.functional.scene_factors` needs of each person.

        Args:
            people: Embeddings ``(q, D)`` of unit norm.
            scenes: Embeddings ``(q, D)`` of the scenes that they come from.

        Returns:
            ``(q, 3 * D + 2)``. A weighted scene is linear in the scene's embedding, so that its
            product with the person's own and the square of its length are products with vectors of
            the person, and a constant each.
        """
        gate = (people / self.temperature).sigmoid()
        scale = self.norm.weight * torch.rsqrt(self.norm.running_var + self.norm.eps)
        shift = self.norm.bias - self.norm.running_mean * scale
        weights = gate * scale
        own = F.normalize(scenes * weights + shift)
        constants = [own @ shift, (shift @ shift).expand(len(own))]
        vectors = [weights * own, weights.square(), 2 * weights * shift]
        return torch.cat([*vectors, torch.stack(constants, 1)], 1)
