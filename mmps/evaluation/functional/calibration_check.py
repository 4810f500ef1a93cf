"""Whether a calibration holds for people that it has not counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .calibration import Calibration
from .stranger_pairs import Pictures, pairs_by_label

RATES = (0.1, 0.01, 1e-3, 1e-4)
"""Shares of strangers that are checked, as far as they can be stated."""


@dataclass(frozen=True)
class CalibrationCheck:
    """How one share holds for the other half of the people.

    Attributes:
        stated: The share of strangers that half of the people say look as similar.
        low, high: Its interval, the median over halvings.
        measured: The share among the other half, the median over halvings.
        least, most: The smallest and the largest one.
        held: Halvings in which the measured share is inside the stated interval.
        halvings: Halvings in which the share could be stated.
    """

    stated: float
    low: float
    high: float
    measured: float
    least: float
    most: float
    held: int
    halvings: int


def check_calibration(
    pictures: Pictures,
    calibrate: Callable[[Pictures], Calibration],
    *,
    halvings: int = 20,
    seed: int = 0,
) -> list[CalibrationCheck]:
    """Calibrate on half of the people and count the strangers of the other half, repeatedly.

    The other half is a sample of the same size, so that no more than about 83 % of its shares are
    inside right intervals of 95 %.

    Args:
        pictures: Of labelled people.
        calibrate: How to calibrate on some of them.
        halvings: How often to draw half of the people.
        seed: Of the draws.

    Returns:
        One for each share that could be stated.

    Raises:
        ValueError: Half of the people are too few.
    """
    rng, people = np.random.default_rng(seed), np.unique(pictures.person_ids)
    found: dict[float, list[tuple[float, float, float]]] = {rate: [] for rate in RATES}
    for _ in range(halvings):
        half = rng.permutation(people)[: len(people) // 2]
        chosen = np.isin(pictures.person_ids, half)
        calibration = calibrate(pictures[chosen])
        others = pairs_by_label(pictures[~chosen])[0].similarities
        for rate in RATES:
            level = calibration.similarity_at(rate)
            if level is not None:
                match = calibration.false_match(level)
                found[rate].append((match.low, match.high, float(np.mean(others >= level))))
    checks = []
    for rate, rows in found.items():
        if rows:
            low, high, measured = np.array(rows).T
            held = int(np.sum((low <= measured) & (measured <= high)))
            medians = (float(np.median(values)) for values in (low, high, measured))
            ends = float(measured.min()), float(measured.max())
            checks.append(CalibrationCheck(rate, *medians, *ends, held, len(rows)))
    return checks
