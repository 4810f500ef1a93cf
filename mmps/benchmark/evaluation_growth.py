"""How the time of the evaluation grows with the number of similarities, and a plot of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from mmps.benchmark.measurement import Measurement, best_time
from mmps.benchmark.search_sets import Size, product, random_test_set
from mmps.evaluation.functional import evaluate_search
from mmps.utils.files import whole_file

FACTORS = (0.25, 0.5, 1.0, 2.0)
"""Of the queries and, independently, of everything that is searched."""

INK, MUTED, RULE = '#111827', '#5b6472', '#e3e7ec'
COLOURS = {'evaluation': '#2f86c9', 'matrix product alone': '#e07b00'}


@dataclass(frozen=True)
class Point:
    """One test set.

    Attributes:
        similarities: Queries times detections.
        seconds: By what was timed, the keys of ``COLOURS``.
    """

    similarities: int
    seconds: dict[str, float]


def measure_growth(size: Size, repeats: int, path: str | os.PathLike) -> list[Measurement]:
    """Time test sets from a fraction of ``size`` to a multiple, and draw the times.

    Args:
        size: Of the test set in the middle; its explicit galleries play no part.
        repeats: Best of this many runs.
        path: Picture to write.

    Returns:
        All times, and the time of a million similarities by a line through the origin.
    """
    points = []
    for searched in tqdm(FACTORS, desc='growth'):
        for asked in FACTORS:
            case = random_test_set(_scaled(size, searched, asked), np.random.default_rng(0))
            points.append(
                Point(
                    len(case[1].query_embeddings) * len(case[1].scores),
                    {
                        'evaluation': best_time(lambda c=case: evaluate_search(*c), repeats),
                        'matrix product alone': best_time(lambda c=case: product(c[1]), repeats),
                    },
                )
            )
    points.sort(key=lambda point: point.similarities)
    _draw(points, path)
    measured = [
        Measurement(f'{name}, {point.similarities / 1e6:.1f} million', seconds, 's')
        for name in COLOURS
        for point in points
        for seconds in [point.seconds[name]]
    ]
    for name in COLOURS:
        per_million = 1e3 * 1e6 * slope(points, name)
        measured.append(Measurement(f'{name}, per million', per_million, 'ms'))
    return measured


def _scaled(size: Size, searched: float, asked: float) -> Size:
    parts = ('images', 'boxes', 'labelled', 'detections')
    scaled = {name: round(searched * getattr(size, name)) for name in parts}
    return replace(size, **scaled, queries=round(asked * size.queries), galleries=())


def slope(points: Sequence[Point], name: str) -> float:
    """Seconds per similarity: the line through the origin that fits best."""
    x = np.array([point.similarities for point in points], float)
    y = np.array([point.seconds[name] for point in points])
    return float(x @ y / (x @ x))


def _draw(points: Sequence[Point], path: str | os.PathLike) -> None:
    """Measured times as dots, the fitted lines through the origin, a label on each line."""
    figure = Figure(figsize=(8, 4.6), dpi=110, facecolor='white')
    axes = figure.add_axes((0.085, 0.135, 0.7, 0.74))
    x = np.array([point.similarities for point in points]) / 1e6
    for name, colour in COLOURS.items():
        rate = slope(points, name) * 1e6
        axes.plot([0, x.max()], [0, rate * x.max()], color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(x, [point.seconds[name] for point in points], 'o', color=colour, markersize=5)
        axes.annotate(
            f'{name}\n{1e3 * rate:.1f} ms per million',
            (x.max(), rate * x.max()),
            (12, 0),
            textcoords='offset points',
            color=colour,
            size=10,
            va='center',
            annotation_clip=False,
        )
    axes.set_xlim(0, 1.02 * x.max())
    axes.set_ylim(0)
    axes.set_title(
        'Evaluation time grows with queries x detections',
        loc='left',
        size=12,
        weight='bold',
        color=INK,
    )
    axes.set_xlabel('queries x detections, million', color=MUTED)
    axes.set_ylabel('seconds', color=MUTED)
    axes.grid(color=RULE)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png')
