"""Numbers of the runs of an experiment, with their spread over the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from .run import Run


@dataclass(frozen=True)
class Summary:
    """A metric over the seeds of an experiment.

    Attributes:
        values: One per complete run, in the order of the seeds; at least one.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def spread(self) -> float | None:
        """Sample standard deviation; None of a single run."""
        return stdev(self.values) if len(self.values) > 1 else None

    def minus(self, base: Summary) -> tuple[float, float | None]:
        """Difference of the means, and the standard deviation of a difference of single runs.

        The latter is what a comparison of one run with one run of the base varies by, so a
        difference of means well below it says little. None where either has a single run.
        """
        difference = self.mean - base.mean
        if self.spread is None or base.spread is None:
            return difference, None
        return difference, math.hypot(self.spread, base.spread)


Results = dict[str, dict[str, Summary]]
"""By experiment and metric; experiments without a complete run are left out."""


def summarise(runs: Sequence[Run]) -> Results:
    """The metrics of the complete runs, by experiment."""
    collected: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        metrics = run.metrics()
        if metrics is not None:
            of_experiment = collected.setdefault(run.experiment, {})
            for key, value in metrics.items():
                of_experiment.setdefault(key, []).append(value)
    return {
        name: {key: Summary(tuple(values)) for key, values in metrics.items()}
        for name, metrics in collected.items()
    }
