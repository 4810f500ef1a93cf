"""About what a training step needs on a GPU, measured on a CPU.

The layers are those that a GPU runs, and what counts are the bytes of all tensors that are alive at
once. A GPU needs more: its context, workspaces of its convolutions, and gaps between tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from torch import nn
from torch.profiler import ProfilerActivity, profile

from mmps.models.backbones import densenet
from mmps.models.layers.fast import RegionAlign
from mmps.models.roi_heads import person_search_roi_head


@contextmanager
def layers_of_a_gpu(model: nn.Module) -> Iterator[None]:
    """Let a model take none of the ways that are there for CPUs."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(densenet, 'in_float32', lambda x: False))
        for module in model.modules():
            if isinstance(module, RegionAlign):
                stack.enter_context(patch.object(module, 'as_rows', False))
        stack.enter_context(patch.dict(person_search_roi_head.REGIONS_AT_ONCE, clear=True))
        yield


def peak_of_tensors(step: Callable[[], object]) -> float:
    """MiB of what a step allocates, when it is most."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == '[memory]']
    alive = peak = 0
    for _, change in sorted(changes):
        alive += change
        peak = max(peak, alive)
    return peak / 2**20
