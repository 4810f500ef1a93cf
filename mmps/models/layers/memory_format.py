import torch
from torch import Tensor


def memory_format(x: Tensor) -> torch.memory_format:
    """That of a map ``(n, c, h, w)``: channels-last, or contiguous."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format
