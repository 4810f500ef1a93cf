"""Embeddings from several pooled maps, whose length says how sure it is a person."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmps.models.layers import GlobalBatchNorm, PrototypeNorm
from mmps.models.roi_heads.reid_head import EmbeddingHead
from mmps.registry import MODELS

BATCH_NORM = dict(type='GlobalBatchNorm')


@MODELS.register_module()
class LinearNorm(nn.Sequential):
    """A linear layer with batch norm behind it, of rows ``(n, in_features)``.

    Both start small, as norm-aware embedding has them.

    Example:
        >>> LinearNorm(8, 4)(torch.rand(5, 8)).shape
        torch.Size([5, 4])

    ``norm`` is the config of the norm, which also gets ``num_features``; None: there is none.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        norm: dict | None = BATCH_NORM,
    ):
        linear = nn.Linear(in_features, out_features, bias)
        nn.init.normal_(linear.weight, std=0.01)
        if bias:
            nn.init.zeros_(linear.bias)
        super().__init__(OrderedDict(linear=linear))
        if norm is not None:
            self.norm = MODELS.build(norm, default_args=dict(num_features=out_features))
            if self.norm.weight is not None:
                nn.init.normal_(self.norm.weight, std=0.01)

    def forward(self, x: Tensor, person_ids: Tensor | None = None) -> Tensor:
        """``(n, out_features)``; a norm that asks whose the rows are is told."""
        if not isinstance(self[-1], PrototypeNorm):
            return super().forward(x)
        return self.norm(self.linear(x), person_ids)


@MODELS.register_module()
class OneLogit(nn.Linear):
    """A class predictor for mmdet's box head whose background is fixed: the softmax of the two is
    the sigmoid of the person's logit.

    Example:
        >>> OneLogit(8)(torch.rand(5, 8))[:, 1]
        tensor([0., 0., 0., 0., 0.], grad_fn=<SelectBackward0>)
    """

    def __init__(self, in_features: int, out_features: int = 2):
        super().__init__(in_features, out_features - 1)

    def forward(self, x: Tensor) -> Tensor:
        return two_classes(super().forward(x).squeeze(1))


def two_classes(logit: Tensor) -> Tensor:
    """Person and background ``(n, 2)``, whose softmax is the sigmoid of one logit ``(n,)``."""
    return torch.stack([logit, torch.zeros_like(logit)], 1)


@MODELS.register_module()
class NormAwareHead(EmbeddingHead):
    """Maps of a region, pooled, to one embedding and to how sure it is a person's.

    Each map has a linear layer with batch norm; their results side by side, at unit norm, are the
    embedding, and their length, through a batch norm of its own, is the logit of "a person" (Chen
    et al., Norm-Aware Embedding for Efficient Person Search, CVPR 2020).

    Example:
        >>> head = NormAwareHead(num_ids=5, in_channels=(8, 16), embed_dims=(4, 4))
        >>> maps = torch.rand(3, 8, 1, 1), torch.rand(3, 16, 1, 1)
        >>> head(maps).shape, head.person_scores(head.unscaled(maps)).shape
        (torch.Size([3, 8]), torch.Size([3]))

    Args:
        num_ids: See :class:`EmbeddingHead`, also for further options.
        in_channels: Channels of each map.
        embed_dims: What each adds to the width of the embedding.
        bias: Of the linear layers.
        norm: Config of the norms behind the linear layers; None: there are none.
        logit: Whether the length is the logit; without it the box head tells people apart from
            background.
        per_cell: Embed each cell of maps that are not pooled, and let the mean of all cells,
            weighted by how sure each is a person's, be the embedding.
    """

    def __init__(
        self,
        num_ids: int,
        in_channels: Sequence[int] = (1024, 2048),
        embed_dims: Sequence[int] = (128, 128),
        bias: bool = True,
        norm: dict | None = BATCH_NORM,
        logit: bool = True,
        per_cell: bool = False,
        **kwargs,
    ):
        super().__init__(num_ids, sum(embed_dims), **kwargs)
        self.per_cell = per_cell
        self.projections = nn.ModuleList(
            LinearNorm(channels, width, bias, norm)
            for channels, width in zip(in_channels, embed_dims, strict=True)
        )
        self.length_norm = GlobalBatchNorm(1) if logit else None

    def unscaled(self, feats: Sequence[Tensor], person_ids: Tensor | None = None) -> Tensor:
        """Embeddings ``(n, embed_dim)`` of the length they come with, float32; of cells ``(n,
        embed_dim, h, w)`` with the size of the last map.

        Args:
            feats: Maps ``(n, in_channels[i], h, w)``, pooled to one cell unless ``per_cell``; the
                last of those that are given.
            person_ids: In training, whose each region is: ``(n,)``, -1 for an unlabelled person,
                -2 for background.
        """
        projected = zip(self.projections, feats[-len(self.projections) :], strict=True)
        if not self.per_cell:
            rows = [project(x.flatten(1), person_ids) for project, x in projected]
            return torch.cat(rows, 1).float()
        maps = [_on_cells(project, x).float() for project, x in projected]
        size = maps[-1].shape[-2:]
        return torch.cat([F.interpolate(x, size, mode='bilinear') for x in maps], 1)

    def person_logit(self, unscaled: Tensor) -> Tensor:
        """How surely each of the :meth:`unscaled` embeddings is a person's: ``(n,)``, or ``(n, h,
        w)`` of cells.
        """
        if not self.per_cell:
            return super().person_logit(unscaled)
        return _on_cells(self.length_norm, unscaled.norm(dim=1, keepdim=True)).squeeze(1)

    def person_scores(self, unscaled: Tensor) -> Tensor:
        """The same in [0, 1], ``(n,)``: of cells their mean."""
        scores = self.person_logit(unscaled).sigmoid()
        return scores.mean((1, 2)) if self.per_cell else scores

    def embeddings(self, unscaled: Tensor, logit: Tensor | None = None) -> Tensor:
        """See :class:`EmbeddingHead`; in training the logit is the one among all regions."""
        if not self.per_cell:
            return super().embeddings(unscaled)
        weights = (self.person_logit(unscaled) if logit is None else logit).sigmoid().unsqueeze(1)
        return F.normalize((F.normalize(unscaled) * weights).mean((2, 3)))


def _on_cells(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer for rows on the cells of a map ``(n, c, h, w)``."""
    n, _, h, w = x.shape
    rows = layer(x.permute(0, 2, 3, 1).flatten(0, 2))
    return rows.view(n, h, w, -1).permute(0, 3, 1, 2)


def footprints(regions: Tensor, people: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of each cell of a region its person covers, ``(n, *size)`` in [0, 1].

    The whole pixels of the regions ``(n, 4)`` xyxy that the boxes ``(n, 4)`` of their people touch,
    as masks, resized bilinearly to the cells, ``size`` down and across (NAE+).
    """
    start, end = regions[:, :2], regions[:, 2:]
    pixels = (end - start).ceil().clamp(min=1)
    first = (torch.maximum(start, people[:, :2]) - start).floor()
    last = (torch.minimum(end, people[:, 2:]) - start).ceil()
    rows, columns = (
        _covered(first[:, axis], last[:, axis], pixels[:, axis], cells)
        for axis, cells in zip((1, 0), size, strict=True)
    )
    return rows[:, :, None] * columns[:, None]


def _covered(first: Tensor, last: Tensor, pixels: Tensor, cells: int) -> Tensor:
    """Along one axis, ``(n, cells)``: pixels ``first`` to ``last`` of so many, resized."""
    middles = torch.arange(cells, device=first.device) + 0.5
    places = (middles * pixels[:, None] / cells - 0.5).clamp(min=0)
    lower = places.floor()
    upper = torch.minimum(lower + 1, pixels[:, None] - 1)
    inside = [((i >= first[:, None]) & (i <= last[:, None])).to(first) for i in (lower, upper)]
    return torch.lerp(*inside, places - lower)
