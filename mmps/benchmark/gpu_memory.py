"""About what a training step needs on a GPU, measured on a CPU.

The layers are those that a GPU runs, and what counts are the bytes of all tensors that are alive at
once. A GPU needs more: its context, workspaces of its convolutions, and gaps between tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from torch.profiler import ProfilerActivity, profile

from mmps.models.layers import fast


@contextmanager
def layers_of_a_gpu() -> Iterator[None]:
    """Let models take none of the ways that are there for CPUs."""
    regions = patch.dict(fast.REGIONS_AT_ONCE, clear=True)
    with fast.plain_layers('dense_block', 'region_align'), regions:
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
