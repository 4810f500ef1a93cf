"""One number for several splits of a data set, each evaluated alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class SplitSummary:
    """What is reported of a protocol with several splits.

    Attributes:
        mean: By key, the mean over the splits.
        deviation: By key, the sample standard deviation over the splits (n - 1 in its
            denominator): how far a split lies from the mean, not how sure the mean is.
    """

    mean: dict[str, float]
    deviation: dict[str, float]


def summarise_splits(splits: Mapping[int, Mapping[str, float]]) -> SplitSummary:
    """Mean and deviation of every key that all splits have, in the order of the first.

    Args:
        splits: By number of the split, its metrics.

    Raises:
        ValueError: Fewer than two splits.
    """
    if len(splits) < 2:
        raise ValueError(f'{len(splits)} split given; mean and deviation need two at least')
    first, *others = splits.values()
    common = [key for key in first if all(key in metrics for metrics in others)]
    values = {key: [metrics[key] for metrics in splits.values()] for key in common}
    return SplitSummary(
        mean={key: fmean(found) for key, found in values.items()},
        deviation={key: stdev(found) for key, found in values.items()},
    )
