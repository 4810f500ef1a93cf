"""Groups of unequal length kept as slices of one array."""

from __future__ import annotations

import numpy as np


def gather_slices(splits: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """List the rows of several groups one after the other.

    Args:
        splits: (K+1,) int64. Group k owns rows ``splits[k]:splits[k+1]``.
        groups: (P,) int64 group numbers, in any order, may repeat.

    Returns:
        ``owners`` (R,) int64, the position in ``groups`` each row was listed for, and ``rows``
        (R,) int64.
    """
    counts = splits[groups + 1] - splits[groups]
    owners = np.repeat(np.arange(len(groups)), counts)
    first = np.cumsum(counts) - counts
    rows = np.arange(len(owners)) + (splits[groups] - first)[owners]
    return owners, rows


def splits_of(owners: np.ndarray, groups: int) -> np.ndarray:
    """Splits (groups + 1,) int64 of rows whose ascending group numbers are ``owners``."""
    return np.searchsorted(owners, np.arange(groups + 1)).astype(np.int64)
