"""How the threads of PyTorch wait for each other."""

from __future__ import annotations

import os

_SLEEP_AFTER = '1000'
"""Turns of a waiting loop, a few microseconds: so libgomp does with more threads than cores."""


def sleep_where_cores_are_taken() -> bool:
    """Let a thread that waits for others sleep, if other processes want its core.

    Threads that share the work of a layer wait at its end in a loop, which is fastest where each
    has a core. Beside a busy process the loop takes the time that the thread needs for which it
    waits: networks take 2 to 3.5 times as long instead of 1.5. Asleep it costs 5 to 25 % on a
    machine that is not busy, so the system's load of the last minute decides.

    Must come before PyTorch is imported, whose libgomp reads the environment only then. What the
    environment says already holds.

    Returns:
        Whether the threads will sleep because of this call.
    """
    environment = os.environ
    if 'GOMP_SPINCOUNT' in environment or 'OMP_WAIT_POLICY' in environment:
        return False
    try:
        load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # Windows, macOS
        return False
    threads = environment.get('OMP_NUM_THREADS', '')
    wanted = int(threads) if threads.isdecimal() else cores
    if wanted + load < cores + 0.5:
        return False
    environment['GOMP_SPINCOUNT'] = _SLEEP_AFTER
    return True
