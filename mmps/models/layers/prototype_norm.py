"""Batch norm in which every person counts once."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from mmps.registry import MODELS


@MODELS.register_module()
class PrototypeNorm(_BatchNorm):
    """Batch norm of rows whose mean is that of prototypes, in training (Lee et al., OIMNet++, ECCV
    2022).

    A batch shows some people often and most of them once, and most regions of it are background. A
    prototype is the mean of a labelled person's rows, an unlabelled person's row, or the mean of
    all of the background. The variance is that of all rows around the mean of the prototypes. In
    evaluation it is batch norm.

    Example:
        >>> norm = PrototypeNorm(1, affine=False)
        >>> rows = torch.tensor([[0.0], [0.0], [0.0], [4.0]])
        >>> norm(rows, torch.tensor([7, 7, 7, 8])).round(decimals=3).flatten().tolist()
        [-1.0, -1.0, -1.0, 1.0]

    Args:
        num_features, eps, momentum, affine: As for torch's ``BatchNorm1d``.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim != 2:
            raise ValueError(f'rows expected, got {input.ndim} axes')

    def forward(self, x: Tensor, person_ids: Tensor | None = None) -> Tensor:
        """Normalised rows ``(n, num_features)``.

        Args:
            x: Rows.
            person_ids: ``(n,)``, -1 for an unlabelled person, below that for background. Without
                them, as without training, running statistics are taken.
        """
        self._check_input_dim(x)
        if not self.training or person_ids is None or len(x) < 2:
            running = self.running_mean, self.running_var
            return F.batch_norm(x, *running, self.weight, self.bias, eps=self.eps)
        with torch.autocast(x.device.type, enabled=False):
            rows = x.float()
            mean = _prototypes(rows, person_ids).mean(0)
            variance = (rows - mean).square().mean(0)
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.detach(), self.momentum)
            unbiased = variance.detach() * len(rows) / (len(rows) - 1)
            self.running_var.lerp_(unbiased, self.momentum)
            normalised = (rows - mean) * (variance + self.eps).rsqrt()
            if self.affine:
                normalised = normalised * self.weight + self.bias
        return normalised.to(x.dtype)


def _prototypes(rows: Tensor, person_ids: Tensor) -> Tensor:
    """``(p, d)``, one of each person and of the background."""
    unlabelled = person_ids == -1
    _, index = person_ids[~unlabelled].unique(return_inverse=True)
    count = torch.bincount(index).to(rows)
    sums = rows.new_zeros(len(count), rows.shape[1]).index_add(0, index, rows[~unlabelled])
    return torch.cat([sums / count[:, None], rows[unlabelled]])
