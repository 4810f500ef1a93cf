from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

_HANG = timedelta(minutes=5)


def run_ranks(function: Callable[..., Any], world_size: int, folder: Path, *args: Any) -> list[Any]:
    """Run ``function(*args)`` on gloo ranks, each a fork of this process.

    Args:
        function: Asks ``torch.distributed`` for its rank.
        world_size: Number of ranks.
        folder: An empty folder.
        args: Arguments of the function.

    Returns:
        What it returned on each rank, in rank order.

    Raises:
        ProcessRaisedException: A rank failed, or the ranks waited for each other in vain.
    """
    multiprocessing.start_processes(
        _run_rank, (function, world_size, folder, args), nprocs=world_size, start_method='fork'
    )
    return [torch.load(folder / f'{rank}.pth', weights_only=False) for rank in range(world_size)]


def _run_rank(rank: int, function: Callable, world_size: int, folder: Path, args: tuple) -> None:
    torch.set_num_threads(1)  # OpenMP does not survive a fork
    distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/rendezvous',
        rank=rank,
        world_size=world_size,
        timeout=_HANG,
    )
    torch.save(function(*args), folder / f'{rank}.pth')
    distributed.destroy_process_group()
