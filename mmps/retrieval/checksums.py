"""Checksums of rows, by which a damaged gallery is noticed.

A row is a sequence of 64-bit words. Its checksum is their sum, each times an odd weight of its
place, modulo 2**64: any change of one word changes it, and any other change does but for one chance
in about 2**63. It is not made to withstand somebody who forges rows.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np


@lru_cache(maxsize=16)
def _weights(count: int, stream: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64([0x6D6D7073, stream]))
    return rng.integers(0, 2**63, count, np.uint64) << 1 | np.uint64(1)


def checksum_matrix(matrix: np.ndarray) -> np.ndarray:
    """Checksums (n,) int64 of the rows of a float32 matrix (n, D)."""
    matrix = np.ascontiguousarray(matrix, np.float32)
    even = matrix.shape[1] // 2 * 2
    if even == matrix.shape[1]:
        words = matrix.view(np.uint64)
        return np.einsum('nd,d->n', words, _weights(even // 2, 0)).view(np.int64)
    words = matrix.view(np.uint32).astype(np.uint64)
    return np.einsum('nd,d->n', words, _weights(matrix.shape[1], 1)).view(np.int64)


def checksum_columns(columns: list[np.ndarray]) -> np.ndarray:
    """Checksums (n,) int64 of rows given as columns (n,) of 64 bits each."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column, weight in zip(columns, _weights(len(columns), 2), strict=True):
        total += column.view(np.uint64) * weight
    return total.view(np.int64)


def text_words(values: np.ndarray) -> np.ndarray:
    """(v + 1,) int64 digest of each string (v,) and, last, of None."""
    words = [int.from_bytes(blake2b(v.encode(), digest_size=8).digest(), 'big') for v in values]
    return np.array([*words, 0x4E6F6E65], np.uint64).view(np.int64)
