"""What the C library does with memory that a network gives back."""

import ctypes

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the next allocation instead of returning it to the system.

    A network on a CPU allocates and frees the same maps of tens of megabytes again and again. Each
    time the system would hand out fresh pages and clear them, which takes as long as a pass over
    the map. The process stays as large as it was at its largest.

    Returns:
        Whether it worked; other C libraries have no such switch, and nothing happens.
    """
    return _set(_MMAP_MAX, 0) and _set(_TRIM_THRESHOLD, _LARGEST)


def share_heap() -> bool:
    """Have all threads that are yet to come allocate from one heap.

    With a heap of its own each, a process whose threads make and drop lists of files grows with
    every change of a gallery: 343 to 489 MiB in 2,500 of them. From one heap what one thread has
    freed serves the next.

    Returns:
        Whether it worked, as in :func:`keep_freed_memory`.
    """
    return _set(_ARENA_MAX, 1)


def _set(parameter: int, value: int) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (TypeError, AttributeError):  # Windows; musl, macOS
        return False
    return bool(mallopt(parameter, value))
