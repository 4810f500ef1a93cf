"""The picture of a data set: how much of what it holds, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmps.formats.report import DatasetReport, Problem, Severity
from mmps.formats.report.statistics import SplitStatistics
from mmps.utils.files import whole_file

INK, MUTED, RULE = '#111827', '#5b6472', '#e3e7ec'
SPLIT_COLOURS = {'train': '#2f86c9', 'test': '#e07b00'}
SEVERITY_COLOURS = {
    Severity.ERROR: '#c81e1e',
    Severity.WARNING: '#b08900',
    Severity.NOTE: '#5b6472',
}
Draw = Callable[[Axes], None]

WIDTH, DPI = 13.0, 100
HEADER, PANEL_ROW, LINE, MARGIN = 1.7, 2.75, 0.27, 0.15
"""Heights in inches."""

MOST_PROBLEMS = 12
MOST_LABELS, MOST_COLUMNS, FEWEST_COLUMNS = 12, 24, 6
TAIL = 0.99
"""Share of the values that an axis shows; those beyond are counted in its last column."""


def save_dataset_report(path: str | os.PathLike, report: DatasetReport) -> None:
    """Draw a report into a PNG file, 1,300 pixels wide and as high as it has problems."""
    panels = _panels(report.statistics)
    rows = -(-len(panels) // 3)
    lines = max(1, min(len(report.problems), MOST_PROBLEMS + 1))
    height = HEADER + rows * PANEL_ROW + 0.55 + lines * LINE + MARGIN
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor='white')
    _draw_header(figure, report, height)
    for place, (title, unit, draw) in enumerate(panels):
        row, column = divmod(place, 3)
        bottom = height - HEADER - (row + 1) * PANEL_ROW + 0.8
        axes = figure.add_axes(
            (0.05 + column * 0.325, bottom / height, 0.275, (PANEL_ROW - 1.1) / height)
        )
        draw(axes)
        axes.set_title(title, size=12, weight='bold', color=INK, loc='left')
        axes.set_xlabel(unit, size=9.5, color=MUTED)
        _strip(axes)
    _draw_problems(figure, report.problems, 0.55 + lines * LINE, height)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', pil_kwargs=dict(optimize=True))


def _draw_header(figure: Figure, report: DatasetReport, height: float) -> None:
    """Title, and a line of numbers for each split in its colour."""
    figure.text(0.02, 1 - 0.42 / height, report.title, size=17, weight='bold', color=INK)
    labels = list(next(iter(report.statistics.values())).counts)
    places = 0.1 + 0.112 * np.arange(len(labels))
    for place, label in zip(places, labels, strict=True):
        figure.text(place, 1 - 0.78 / height, label.replace('_', ' '), size=10, color=MUTED)
    for line, (name, part) in enumerate(report.statistics.items()):
        level, colour = 1 - (1.08 + 0.32 * line) / height, SPLIT_COLOURS[name]
        figure.text(0.02, level, name, size=13, weight='bold', color=colour)
        for place, label in zip(places, labels, strict=True):
            value = part.counts[label]
            text = f'{value:.1%}' if isinstance(value, float) else f'{value:,}'
            figure.text(place, level, text, size=13, color=INK)


def _panels(statistics: Mapping[str, SplitStatistics]) -> list[tuple[str, str, Draw]]:
    """Title, unit and drawing function of each panel that has something to show."""
    panels = [
        ('Height of the boxes', 'pixels', 'boxes', lambda s: s.heights, False),
        ('People in an image', 'boxes', 'images', lambda s: s.boxes_per_image, True),
        ('Images of a person', 'images', 'identities', lambda s: s.images_per_identity, True),
        ('Cameras of a person', 'cameras', 'identities', _cameras_per_identity, True),
        ('Appearances to be found', 'per search', 'searches', _first_positives, True),
    ]
    drawn = []
    for title, unit, counted, values_of, whole in panels:
        values = {name: values_of(part) for name, part in statistics.items()}
        values = {name: v for name, v in values.items() if len(v)}
        if values:
            drawn.append((title, unit, _histogram(values, counted, whole)))
    cameras = sorted({c for part in statistics.values() for c in part.images_per_camera})
    if len(cameras) > 1:
        drawn.append(('Images of a camera', 'camera', _camera_columns(statistics, cameras)))
    return drawn


def _cameras_per_identity(part: SplitStatistics) -> np.ndarray:
    return part.cameras_per_identity if part.counts['cameras'] else np.empty(0)


def _first_positives(part: SplitStatistics) -> np.ndarray:
    return next(iter(part.positives_per_query.values()), np.empty(0))


def _histogram(values: Mapping[str, np.ndarray], counted: str, whole: bool) -> Draw:
    """A drawing function: the shares of each split side by side."""

    def draw(axes: Axes) -> None:
        edges, one_each = _classes(np.concatenate(list(values.values())), whole)
        shares = {
            name: 100 * np.histogram(part.clip(max=edges[-1]), edges)[0] / len(part)
            for name, part in values.items()
        }
        _draw_columns(axes, shares)
        labels = [f'{edge:g}' for edge in edges[:-1]]
        if max(part.max() for part in values.values()) >= edges[-1]:
            labels[-1] += '+'
        # A column of one value has it below, one of many has the first of them at its left.
        places = np.arange(len(labels)) - (0 if one_each else 0.5)
        step = -(-len(labels) // MOST_LABELS)
        first = (len(labels) - 1) % step  # so that the last one, with its plus, is there
        axes.set_xticks(places[first::step], labels[first::step])
        axes.set_ylabel(f'% of the {counted}', size=9.5, color=MUTED)

    return draw


def _classes(values: np.ndarray, whole: bool) -> tuple[np.ndarray, bool]:
    """Edges of the columns, and whether each stands for one whole number.

    The last column takes everything beyond as well.
    """
    low, high = float(values.min()), float(np.quantile(values, TAIL, method='higher'))
    if whole and high < MOST_COLUMNS:
        return np.arange(min(low, 1), np.floor(high) + 2), True
    step = _round_step((high - low) / MOST_COLUMNS, whole)
    edges = np.arange(np.floor(low / step) * step, high + step, step)
    return (edges if len(edges) > 1 else np.array([low, low + step])), False


def _draw_columns(axes: Axes, values: Mapping[str, np.ndarray | list[int]]) -> None:
    number = len(next(iter(values.values())))
    width = 0.84 / len(values)
    for place, (name, heights) in enumerate(values.items()):
        left = np.arange(number) - 0.42 + width * place
        axes.bar(left, heights, width, align='edge', color=SPLIT_COLOURS[name])
    axes.set_xlim(-0.6, max(number, FEWEST_COLUMNS) - 0.4)


def _round_step(step: float, whole: bool) -> float:
    """The next larger of 1, 2, 5, 10, 20, 50, ... or, for fractions, 0.1, 0.2, 0.5, ..."""
    scale = 10 ** np.floor(np.log10(max(step, 1e-3)))
    rounded = float(scale * next(f for f in (1, 2, 5, 10) if f * scale >= step))
    return max(rounded, 1.0) if whole else rounded


def _camera_columns(statistics: Mapping[str, SplitStatistics], cameras: list[int]) -> Draw:
    def draw(axes: Axes) -> None:
        counts = {
            name: [part.images_per_camera.get(camera, 0) for camera in cameras]
            for name, part in statistics.items()
        }
        _draw_columns(axes, counts)
        names = ['?' if camera < 0 else str(camera) for camera in cameras]
        step = -(-len(cameras) // MOST_LABELS)
        axes.set_xticks(range(0, len(cameras), step), names[::step])
        axes.set_ylabel('images', size=9.5, color=MUTED)

    return draw


def _draw_problems(figure: Figure, problems: Sequence[Problem], top: float, height: float) -> None:
    """A line for each problem, the worst first."""
    line = Rectangle((0.02, top / height), 0.96, 0.008 / height, color=RULE)
    figure.add_artist(line)
    figure.text(0.02, (top - 0.32) / height, 'Problems', size=12, weight='bold', color=INK)
    level = top - 0.32
    if not problems:
        figure.text(0.1, level / height, 'none found', size=11, color='#15803d')
    for problem in problems[:MOST_PROBLEMS]:
        place = level / height
        colour, word = SEVERITY_COLOURS[problem.severity], problem.severity.name.lower()
        text = f'{problem.kind} ({problem.split}): {problem.consequence}'
        figure.text(0.1, place, word, size=11, color=colour)
        figure.text(0.215, place, f'{problem.count:,}', size=11, color=INK, ha='right')
        figure.text(0.23, place, text, size=11, color=INK)
        level -= LINE
    left_out = len(problems) - MOST_PROBLEMS
    if left_out > 0:
        figure.text(0.23, level / height, f'and {left_out} more kinds', size=11, color=MUTED)


def _strip(axes: Axes) -> None:
    """Take away what carries no information."""
    for side in ('top', 'right', 'left'):
        axes.spines[side].set_visible(False)
    axes.spines['bottom'].set_color(MUTED)
    axes.grid(axis='y', color=RULE, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=INK, labelsize=9.5)
