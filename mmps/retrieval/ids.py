"""Numbers of frames, people and rows, which follow from what they number."""

from __future__ import annotations

import secrets
import time
from hashlib import blake2b

import numpy as np

NOBODY = -1
"""Detection number of the row that stands for a frame in which nobody was found."""


def frame_id(source: str, frame: int) -> int:
    """63-bit hash of a frame."""
    digest = blake2b(f'{source}\0{frame}'.encode(errors='surrogatepass'), digest_size=8).digest()
    return int.from_bytes(digest, 'big') >> 1


def person_ids(frame_ids: np.ndarray, detections: np.ndarray) -> np.ndarray:
    """63-bit hashes (n,) int64 of people, by frame and number of the detection in it, both (n,)."""
    return _mix(frame_ids, detections.astype(np.int64) + 1)


def row_ids(ids: np.ndarray, batches: np.ndarray) -> np.ndarray:
    """63-bit hashes (n,) int64 of rows: a person once per time that the frame was written."""
    return _mix(ids, batches)


def new_batch(after: int = 0) -> int:
    """A number for what is written at once: later ones are larger, and no two processes' the same.

    It is the time in nanoseconds with random low bits, 65 microseconds of them.

    Args:
        after: A number that it has to exceed, whatever the clock says.
    """
    number = (time.time_ns() >> 16 << 16) | secrets.randbelow(1 << 16)
    return number if number > after else after + 1 + secrets.randbelow(1 << 16)


def _mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al., Fast Splittable Pseudorandom Number Generators,
    OOPSLA 2014) over a combination of two columns.
    """
    z = a.astype(np.uint64) ^ (b.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(1)).astype(np.int64)
