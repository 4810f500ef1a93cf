"""Tensors that behave, on a CPU, as if they were on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.structures import SampleList
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only


class FarTensor(Tensor):
    """NumPy cannot read it, and it cannot be combined with near ones; ``cpu()`` brings it near."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.numpy, Tensor.__array__):
            raise TypeError("can't convert a tensor of a GPU to numpy; use Tensor.cpu() first")
        if func is Tensor.cpu:
            with torch._C.DisableTorchFunctionSubclass():
                return args[0].as_subclass(Tensor).clone()
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(not isinstance(t, FarTensor) and t.dim() for t in tensors):
            raise RuntimeError(f'{func}: not all tensors are on the same device')
        return super().__torch_function__(func, types, args, kwargs)


def far(content: Any) -> Any:
    """Nested lists and dicts with each tensor a :class:`FarTensor`."""
    return tree_map_only(Tensor, lambda tensor: tensor.as_subclass(FarTensor), content)


def far_samples(samples: SampleList) -> SampleList:
    """The samples, changed: every tensor of their instances is a :class:`FarTensor`."""
    for sample in samples:
        for instances in sample.values():
            for key, value in instances.items():
                instances.set_field(far(value), key)
    return samples
