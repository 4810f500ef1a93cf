"""OIM beside a classifier of identities, as COAT is trained."""

import torch.nn.functional as F
from mmdet.utils import reduce_mean
from torch import Tensor, nn

from mmps.models.layers import GlobalBatchNorm
from mmps.models.losses.oim_loss import OIMLoss
from mmps.registry import MODELS


@MODELS.register_module()
class OIMWithClassifier(OIMLoss):
    """Online instance matching, and the cross entropy of a linear classifier of identities behind
    a batch norm without shift (Yu et al., CVPR 2022).

    ``classifier_weight`` is that of the cross entropy beside OIM's.

    Example:
        >>> import torch
        >>> loss, alone = OIMWithClassifier(num_ids=2, embed_dim=2), OIMLoss(2, 2)
        >>> people = torch.eye(2), torch.tensor([1, -1])
        >>> bool(loss(*people) > alone(*people))
        True
    """

    def __init__(
        self, num_ids: int, embed_dim: int, *args, classifier_weight: float = 1.0, **kwargs
    ):
        super().__init__(num_ids, embed_dim, *args, **kwargs)
        self.classifier_weight = classifier_weight
        self.bottleneck = GlobalBatchNorm(embed_dim)
        self.bottleneck.bias.requires_grad_(False)
        self.classifier = nn.Linear(embed_dim, num_ids, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, embeddings: Tensor, person_ids: Tensor) -> Tensor:
        """As of :class:`OIMLoss`; unlabelled people take part in the statistics alone."""
        scores = self.classifier(self.bottleneck(embeddings.float()))
        total = F.cross_entropy(scores, person_ids, ignore_index=-1, reduction='sum')
        count = reduce_mean((person_ids >= 0).sum().float()).clamp(min=1e-6)
        classified = total / count
        return super().forward(embeddings, person_ids) + self.classifier_weight * classified
