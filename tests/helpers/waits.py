"""What would wait for a GPU, counted without one."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Waits(TorchDispatchMode):
    """The operations that would wait for a GPU: their result's shape or value is needed at once."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, indices = str(func), args[1] if str(func).startswith('aten.index') else ()
        masked = any(getattr(index, 'dtype', None) == torch.bool for index in indices)
        if masked or name.startswith(('aten._local_scalar', 'aten.nonzero', 'aten.masked_select')):
            self.names.append(name)
        return func(*args, **(kwargs or {}))
