"""Curves of several trainings side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmps.utils.files import whole_file
from mmps.utils.training_log import TrainingLog

COLOURS = ('#0b3c7d', '#c8420a', '#2f86c9', '#a3306f', '#3d8b37', '#f09a1a', '#5b6472', '#1f2329')
INK, MUTED = '#111827', '#5b6472'
_PANEL = (4.6, 3.3)
_COLUMNS = 3
_FEW_POINTS = 30


def save_training_curves(
    path: str | os.PathLike, logs: Sequence[TrainingLog], names: Sequence[str], keys: Sequence[str]
) -> None:
    """Draw one panel per key, one line per training, into a PNG file.

    Args:
        path: File to write.
        logs: The trainings.
        names: What to call them.
        keys: Curves to draw; a training that has no such curve is left out of its panel.
    """
    columns = min(_COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    legend = 0.35 + 0.22 * len(logs)
    width, height = columns * _PANEL[0], rows * _PANEL[1] + legend
    figure = Figure(figsize=(width, height), dpi=100, facecolor='white')
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(keys) :]:
        axes.remove()
    for axes, key in zip(grid.flat, keys, strict=False):
        _draw(axes, logs, key)
    lines = [Line2D([], [], color=_colour(place), linewidth=2) for place in range(len(names))]
    figure.legend(
        lines, names, loc='upper left', frameon=False, labelcolor=INK, bbox_to_anchor=(0.01, 1)
    )
    figure.tight_layout(rect=(0, 0, 1, 1 - legend / height))
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', pil_kwargs=dict(optimize=True))


def _draw(axes: Axes, logs: Sequence[TrainingLog], key: str) -> None:
    for place, log in enumerate(logs):
        points = log.curves.get(key, [])
        marker = 'o' if len(points) <= _FEW_POINTS else None
        axes.plot(
            [iteration for iteration, _ in points],
            [value for _, value in points],
            color=_colour(place),
            linewidth=1.6,
            marker=marker,
            markersize=3.5,
        )
    axes.set_title(key, loc='left', size=11, weight='bold', color=INK)
    axes.set_xlabel('iteration', color=MUTED, size=9)
    axes.tick_params(colors=MUTED, labelsize=8)
    axes.grid(color='#e3e7ec', linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.spines[['left', 'bottom']].set_color('#c5cad2')


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
