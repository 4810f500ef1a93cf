"""From identification features to embeddings, and their loss."""

from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.layers import GlobalBatchNorm
from mmps.registry import MODELS


class EmbeddingHead(BaseModule):
    """Embeddings of people and their loss, whatever a subclass makes them from.

    Example:
        >>> class Tiny(EmbeddingHead):
        ...     def unscaled(self, feats):
        ...         return feats.mean((2, 3))
        >>> Tiny(num_ids=5, embed_dim=4)(torch.rand(3, 4, 2, 2)).norm(dim=1).round()
        tensor([1., 1., 1.])

    Args:
        num_ids: Labelled identities of the training set, or ``'auto'``, see :class:`OIMLoss`.
        embed_dim: Width of the embedding.
        loss: Config of the loss, which also gets ``num_ids`` and ``embed_dim``.
        loss_weight: Weight of the loss.
        loss_warmup: Training batches over which the weight grows linearly from 0. It helps
            a network from random weights that is shared with detection.

    Attributes:
        length_norm: Batch norm of the length of embeddings, where it says how sure they are a
            person's; else None.
    """

    length_norm: nn.Module | None

    def __init__(
        self,
        num_ids: int | Literal['auto'],
        embed_dim: int,
        loss: dict | None = None,
        loss_weight: float = 1.0,
        loss_warmup: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.num_ids = num_ids
        self.embed_dim = embed_dim
        self.loss_weight = loss_weight
        self.loss_warmup = loss_warmup
        self.criterion = MODELS.build(
            {'type': 'OIMLoss', **(loss or {})},
            default_args=dict(num_ids=num_ids, embed_dim=embed_dim),
        )
        self.register_buffer('batches_trained', torch.zeros((), dtype=torch.long))

    def forward(self, feats: Tensor) -> Tensor:
        """Embeddings ``(n, embed_dim)`` of unit norm, float32; ``n`` may be 0."""
        return self.embeddings(self.unscaled(feats))

    def unscaled(self, feats: Tensor) -> Tensor:
        """Embeddings of the length they come with, float32."""
        raise NotImplementedError

    def embeddings(self, unscaled: Tensor, logit: Tensor | None = None) -> Tensor:
        """Those of unit norm ``(n, embed_dim)``, of :meth:`unscaled` ones and, for heads that need
        it and where it is known, their :meth:`person_logit`.
        """
        return F.normalize(unscaled)

    def person_logit(self, unscaled: Tensor) -> Tensor:
        """How surely each of the :meth:`unscaled` embeddings is a person's, ``(n,)``."""
        return self.length_norm(unscaled.norm(dim=1, keepdim=True)).squeeze(1)

    def loss(self, feats: Tensor, person_ids: Tensor) -> dict[str, Tensor]:
        """``loss_reid`` of people with ids ``(n,)``, -1 if unlabelled."""
        return self.loss_by_feat(self(feats), person_ids)

    def loss_by_feat(
        self, embeddings: Tensor, person_ids: Tensor, overlaps: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The same of embeddings ``(n, embed_dim)`` of unit norm; ``overlaps (n,)``, the IoU of
        each region with its person, for a loss that asks for it.
        """
        weight = self.loss_weight
        if self.loss_warmup:
            weight = weight * (self.batches_trained / self.loss_warmup).clamp(max=1)
            self.batches_trained += 1
        given = (overlaps,) if getattr(self.criterion, 'weighs_overlaps', False) else ()
        return {'loss_reid': weight * self.criterion(embeddings, person_ids, *given)}


@MODELS.register_module()
class ReIDHead(EmbeddingHead):
    """Region features to identity embeddings, and their loss.

    Average pooling, a linear layer, batch norm and L2 normalisation: ``(n, in_channels, h, w)`` ->
    ``(n, embed_dim)``. Only people (no background) pass through it, in training as in search, so
    the batch norm's statistics are those of people: of all ranks, for a rank has few.

    Example:
        >>> head = ReIDHead(in_channels=12, num_ids=5, embed_dim=16)
        >>> head(torch.rand(3, 12, 14, 14)).norm(dim=1).round(decimals=3)
        tensor([1., 1., 1.], grad_fn=<RoundBackward1>)
        >>> loss = head.loss(torch.rand(3, 12, 14, 14), torch.tensor([0, 4, -1]))['loss_reid']

    Args:
        in_channels: Channels of the region features.
        num_ids: See :class:`EmbeddingHead`.
        embed_dim: Width of the embedding; 2,048 in the paper.
        stripes: Horizontal stripes pooled separately, head to feet; 1 is the paper's global
            pooling.
        stripe_attention: Pool with weights that the features decide (:class:`AttentiveStripePool`)
            instead of evenly.
        norm: Batch norm behind the linear layer.
        bias: Whether the linear layer has one.
        norm_aware: The length of the embedding is the detection score (Chen et al., CVPR 2020);
            needs ``bbox_head.with_cls=False``.
        kwargs: See :class:`EmbeddingHead`.
    """

    def __init__(
        self,
        in_channels: int,
        num_ids: int | Literal['auto'],
        embed_dim: int = 2048,
        stripes: int = 1,
        stripe_attention: bool = False,
        norm: bool = True,
        norm_aware: bool = False,
        bias: bool = False,
        init_cfg: dict | None = None,
        **kwargs,
    ):
        init_cfg = init_cfg or dict(type='Xavier', layer='Linear')
        super().__init__(num_ids, embed_dim, init_cfg=init_cfg, **kwargs)
        self.pool = (
            AttentiveStripePool(in_channels, stripes)
            if stripe_attention
            else nn.AdaptiveAvgPool2d((stripes, 1))
        )
        self.project = nn.Linear(in_channels * stripes, embed_dim, bias=bias)
        self.norm = GlobalBatchNorm(embed_dim) if norm else None
        self.length_norm = GlobalBatchNorm(1) if norm_aware else None

    def unscaled(self, feats: Tensor) -> Tensor:
        x = self.project(self.pool(feats).flatten(1))
        return (x if self.norm is None else self.norm(x)).float()


class AttentiveStripePool(nn.Module):
    """The weighted mean of each horizontal stripe, with weights that the features decide.

    A mask over places, softmax within each stripe: unlike a mask in [0, 1] it cannot make a whole
    person fainter, only say where in a stripe to look. It starts even, as average pooling.

    Example:
        >>> pool = AttentiveStripePool(channels=6, stripes=3)
        >>> x = torch.rand(5, 6, 14, 14)
        >>> torch.allclose(pool(x), F.adaptive_avg_pool2d(x, (3, 1)))
        True

    ``stripes`` are of equal height, head to feet; the hidden layer has ``channels / reduction``
    channels, at least 8.
    """

    def __init__(self, channels: int, stripes: int, reduction: int = 4):
        super().__init__()
        self.output_size = (stripes, 1)
        hidden = max(channels // reduction, 8)
        self.logits = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 1, 3, padding=1),
        )
        nn.init.zeros_(self.logits[-1].weight)
        nn.init.zeros_(self.logits[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(n, channels, h, w)`` to ``(n, channels, stripes, 1)``."""
        logits = self.logits(x).float()
        # A stripe far below the others must not vanish: its mean would be 0 / 0.
        weights = (logits - logits.detach().amax((2, 3), keepdim=True)).clamp(min=-30).exp()
        # Both means are over the same places, so their number cancels.
        weighted = F.adaptive_avg_pool2d(x * weights, self.output_size)
        return (weighted / F.adaptive_avg_pool2d(weights, self.output_size)).to(x.dtype)
