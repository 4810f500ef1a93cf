"""Cores for this process, and how the threads of PyTorch wait for each other."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LOAD = Path('/proc/loadavg')
_SLEEP_AFTER = '1000'
"""Turns of a waiting loop, a few microseconds: so libgomp does with more threads than cores."""


def usable_cores() -> int | None:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def sleep_where_cores_are_taken() -> bool:
    """Let a thread that waits for others sleep, if other processes want its core.

    Threads that share the work of a layer wait at its end in a loop, which is fastest where each
    has a core. Beside a busy process the loop takes the time that the thread needs for which it
    waits: networks take 2 to 3.5 times as long instead of 1.7 to 2.1. Asleep it costs 5 to 25 % on
    a machine that is not busy, so those that run at this moment decide.

    Must come before PyTorch is imported, whose libgomp reads the environment only then. What the
    environment says already holds.

    Returns:
        Whether the threads will sleep because of this call.
    """
    environment = os.environ
    if 'GOMP_SPINCOUNT' in environment or 'OMP_WAIT_POLICY' in environment:
        return False
    threads, cores = environment.get('OMP_NUM_THREADS', ''), usable_cores() or 1
    wanted = int(threads) if threads.isdecimal() else cores
    if wanted == 1 or not _LOAD.exists():  # nobody to wait for; Windows, macOS
        return False
    if wanted + _others_that_run() <= cores:
        return False
    environment['GOMP_SPINCOUNT'] = _SLEEP_AFTER
    return True


def _others_that_run() -> int:
    """How many others have or want a core for the next ten milliseconds, of the whole machine."""
    running = []
    for _ in range(5):
        running.append(int(_LOAD.read_text().split()[3].split('/')[0]))
        time.sleep(0.002)
    return min(running) - 1
