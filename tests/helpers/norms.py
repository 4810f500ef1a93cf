import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def randomise_norms(module: nn.Module) -> nn.Module:
    """Batch norm as training leaves it, and as pruning does: scales of either sign, and of 0.

    Returns ``module`` in evaluation mode.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.data[:3] = torch.tensor([0.0, 1e-25, -1e-12])
    return module.eval()
