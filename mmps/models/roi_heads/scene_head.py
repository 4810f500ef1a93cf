"""Which scenes may hold a person, before anybody in them is looked at (Jaffe and Zakhor, Gallery
Filter Network for Person Search, WACV 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.roi_heads.norm_aware_head import LinearNorm
from mmps.registry import MODELS


class _Scene(NamedTuple):
    """An earlier scene (D,), the embeddings (n, D) of its people and their ids (n,), on the CPU."""

    scene: Tensor
    people: Tensor
    ids: Tensor
    held: set[int]


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
        loss_temperature: Of the loss.
        earlier_scenes: Whether the loss compares with scenes of earlier batches too. They are kept
            in memory, of each image the last, by each process for itself, and in no checkpoint.
    """

    def __init__(
        self,
        shared_head: dict,
        in_channels: Sequence[int],
        embed_dims: Sequence[int],
        pool_size: int = 56,
        temperature: float = 0.2,
        loss_temperature: float = 0.1,
        earlier_scenes: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.shared_head = MODELS.build(shared_head)
        self.projections = nn.ModuleList(
            LinearNorm(channels, width)
            for channels, width in zip(in_channels, embed_dims, strict=True)
        )
        self.embed_dim = sum(embed_dims)
        self.norm = nn.BatchNorm1d(self.embed_dim)
        self.pool_size = pool_size
        self.temperature = temperature
        self.loss_temperature = loss_temperature
        self.earlier_scenes = earlier_scenes
        self._earlier: dict[int, _Scene] = {}

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` to embeddings ``(b, D)`` of unit norm."""
        maps = self.shared_head(F.adaptive_max_pool2d(x, self.pool_size))
        projected = zip(self.projections, maps, strict=True)
        rows = torch.cat([project(pooled.flatten(1)) for project, pooled in projected], 1)
        return F.normalize(rows.float())

    def loss(
        self,
        x: Tensor,
        people: list[Tensor],
        ids: list[Tensor],
        images: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """``loss_scene``: a scene with a person, weighted by the person, is to be more like the
        person's own scene than those without are.

        A scene that shares somebody with the person's own may hold an unlabelled person unnoticed;
        it takes no part for such a person.

        Args:
            x: Map ``(b, c, h, w)``.
            people: For each image embeddings ``(n, D)`` of its people, of unit norm.
            ids: Who they are, ``(n,)``, -1 if unlabelled.
            images: Number of each image in the data set, by which its scene is known later; None:
                the scenes are compared with each other alone.
        """
        scenes = self(x)
        if self.earlier_scenes and images is not None:
            drawn = self._draw(ids, images)
            for image, *one in zip(images, scenes, people, ids, strict=True):
                if len(one[-1]):
                    rows = (part.detach().to('cpu', copy=True) for part in one)
                    self._earlier[image] = _Scene(*rows, _known(one[-1]))
            scenes = torch.cat([scenes, *(one.scene.to(scenes)[None] for one in drawn)])
            people = [*people, *(one.people.to(scenes) for one in drawn)]
            ids = [*ids, *(one.ids.to(scenes.device) for one in drawn)]
        own = torch.cat([torch.full_like(some, i) for i, some in enumerate(ids)])
        people, ids = torch.cat(people), torch.cat(ids)
        if len(ids) == 0:
            return {'loss_scene': scenes.sum() * 0 + self.norm.weight.sum() * 0}
        weighted = scenes[:, None] * (people / self.temperature).sigmoid()
        seen = F.normalize(self.norm(weighted.flatten(0, 1)).view_as(weighted), dim=2)
        numbers = torch.arange(len(ids), device=own.device)
        logits = torch.einsum('bqd,qd->bq', seen, seen[own, numbers]) / self.loss_temperature
        of_scene = torch.arange(len(scenes), device=own.device)[:, None] == own
        labelled = ids >= 0
        # Which labelled people are each other, and which scenes hold whom.
        same = (ids[:, None] == ids) & labelled & labelled[:, None]
        holds = of_scene | (of_scene.float() @ same.float() > 0)
        shares = ((holds & labelled).float() @ of_scene.float().T > 0)[:, own]
        others = ~holds & (labelled | ~shares)
        rest = logits.masked_fill(~others, -1e4).logsumexp(0)
        losses = torch.logaddexp(logits, rest.expand_as(logits)) - logits
        return {'loss_scene': losses[holds].mean()}

    def _draw(self, ids: list[Tensor], images: Sequence[int]) -> list[_Scene]:
        """Earlier scenes for a batch: for as many of its labelled people as it has images, one
        with the person, and one without, but with somebody else of the person's image.
        """
        held = [_known(some) for some in ids]
        known = sorted(set().union(*held))
        # In one random order for all of the batch.
        scenes = [*self._earlier.items()]
        order = [scenes[place] for place in torch.randperm(len(scenes)).tolist()]
        left = [scene for key, scene in order if key not in images]
        drawn = []
        for place in torch.randperm(len(known))[: len(images)].tolist():
            person = known[place]
            others = next(some for some in held if person in some)
            for shown in (True, False):
                for i, scene in enumerate(left):
                    if (person in scene.held) == shown and not others.isdisjoint(scene.held):
                        drawn.append(left.pop(i))
                        break
        return drawn

    def filters(self, people: Tensor, scenes: Tensor) -> Tensor:
        """What :func:`~mmps.evaluation.functional.scene_factors` needs of each person, ``(q, 3 * D
        + 2)``, of embeddings ``(q, D)`` of unit norm and those of the scenes that they come from.

        A weighted scene is linear in the scene's embedding, so that its product with the person's
        own and the square of its length are products with vectors of the person, and a constant
        each.
        """
        gate = (people / self.temperature).sigmoid()
        scale = self.norm.weight * torch.rsqrt(self.norm.running_var + self.norm.eps)
        shift = self.norm.bias - self.norm.running_mean * scale
        weights = gate * scale
        own = F.normalize(scenes * weights + shift)
        constants = [own @ shift, (shift @ shift).expand(len(own))]
        vectors = [weights * own, weights.square(), 2 * weights * shift]
        return torch.cat([*vectors, torch.stack(constants, 1)], 1)


def _known(ids: Tensor) -> set[int]:
    return set(ids[ids >= 0].tolist())
