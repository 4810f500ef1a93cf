"""An identification network, a re-ID head and a loss of your own: docs/extending.md."""

import torch
from torch import nn
from torch.nn import functional as F

from mmps.models.roi_heads.reid_head import ReIDHead
from mmps.registry import MODELS


@MODELS.register_module()
class SmallIdentification(nn.Module):
    """Region features (n, in_channels, h, w) to (n, out_channels, h, w)."""

    def __init__(self, in_channels, out_channels=256):
        super().__init__()
        self.out_channels = out_channels
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.layers(x)


@MODELS.register_module()
class MaxReIDHead(ReIDHead):
    """The largest value of each stripe instead of the mean."""

    def __init__(self, *args, stripes=1, **kwargs):
        super().__init__(*args, stripes=stripes, **kwargs)
        self.pool = nn.AdaptiveMaxPool2d((stripes, 1))


@MODELS.register_module()
class CosineLoss(nn.Module):
    """Embeddings (n, embed_dim) of unit norm and ids (n,), -1 where unlabelled, to a loss."""

    def __init__(self, num_ids, embed_dim, scale=16.0):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(num_ids, embed_dim))
        self.scale = scale

    def forward(self, embeddings, person_ids):
        known = person_ids >= 0
        logits = self.scale * embeddings[known] @ F.normalize(self.centres).T
        # A step without labelled people has a loss of 0, with a graph.
        total = F.cross_entropy(logits, person_ids[known], reduction='sum')
        return total / known.sum().clamp(min=1)
