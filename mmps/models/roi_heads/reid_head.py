import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmps.models.layers import AttentiveStripePool, GlobalBatchNorm
from mmps.registry import MODELS


@MODELS.register_module()
class ReIDHead(BaseModule):
    """Region features to identity embeddings, and their loss.

    Average pooling, a linear layer, batch norm and L2 normalisation: ``(n, in_channels, h, w)`` ->
    ``(n, embed_dim)``. Only people (no background) pass through it, in training as in search, so
    the batch norm's statistics are those of people: of all ranks, for a rank has few.

    Args:
        in_channels: Channels of the region features.
        num_ids: Labelled identities of the training set.
        embed_dim: Width of the embedding; 2,048 in the paper.
        stripes: Horizontal stripes pooled separately, head to feet; 1 is the paper's global
            pooling.
        stripe_attention: Pool with weights that the features decide (:class:`AttentiveStripePool`)
            instead of evenly.
        loss: Config of the loss, which also gets ``num_ids`` and ``embed_dim``.
        loss_weight: Weight of the loss.
        loss_warmup: Training batches over which the weight grows linearly from 0; a network that
            starts from random weights and is shared with detection needs some.
        norm: Batch norm behind the linear layer.
        norm_aware: Take the length of the embedding for how sure it is a person (Chen et al., CVPR
            2020): :meth:`person_logit` then replaces the class of the box head.
    """

    def __init__(
        self,
        in_channels: int,
        num_ids: int,
        embed_dim: int = 2048,
        stripes: int = 1,
        stripe_attention: bool = False,
        loss: dict | None = None,
        loss_weight: float = 1.0,
        loss_warmup: int = 0,
        norm: bool = True,
        norm_aware: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg or dict(type='Xavier', layer='Linear'))
        self.num_ids = num_ids
        self.embed_dim = embed_dim
        self.loss_weight = loss_weight
        self.loss_warmup = loss_warmup
        self.pool = (
            AttentiveStripePool(in_channels, stripes)
            if stripe_attention
            else nn.AdaptiveAvgPool2d((stripes, 1))
        )
        self.project = nn.Linear(in_channels * stripes, embed_dim, bias=False)
        self.norm = GlobalBatchNorm(embed_dim) if norm else None
        self.length_norm = GlobalBatchNorm(1) if norm_aware else None
        self.criterion = MODELS.build(
            {'type': 'OIMLoss', **(loss or {})},
            default_args=dict(num_ids=num_ids, embed_dim=embed_dim),
        )
        self.register_buffer('batches_trained', torch.zeros((), dtype=torch.long))

    def forward(self, feats: Tensor) -> Tensor:
        """Embeddings ``(n, embed_dim)`` of unit norm, float32; ``n`` may be 0."""
        return F.normalize(self.unscaled(feats))

    def unscaled(self, feats: Tensor) -> Tensor:
        """Embeddings ``(n, embed_dim)`` of the length they come with, float32."""
        x = self.project(self.pool(feats).flatten(1))
        return (x if self.norm is None else self.norm(x)).float()

    def person_logit(self, unscaled: Tensor) -> Tensor:
        """How surely each of the :meth:`unscaled` embeddings is a person's, ``(n,)``."""
        return self.length_norm(unscaled.norm(dim=1, keepdim=True)).squeeze(1)

    def loss(self, feats: Tensor, person_ids: Tensor) -> dict[str, Tensor]:
        """``loss_reid`` of people ``(n, in_channels, h, w)`` with ids ``(n,)``, -1 if
        unlabelled.
        """
        return self.loss_by_feat(self(feats), person_ids)

    def loss_by_feat(self, embeddings: Tensor, person_ids: Tensor) -> dict[str, Tensor]:
        """``loss_reid`` of embeddings ``(n, embed_dim)`` of unit norm."""
        weight = self.loss_weight
        if self.loss_warmup:
            weight = weight * (self.batches_trained / self.loss_warmup).clamp(max=1)
            self.batches_trained += 1
        return {'loss_reid': weight * self.criterion(embeddings, person_ids)}
