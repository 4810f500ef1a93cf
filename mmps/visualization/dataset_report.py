"""The picture of a data set: how much of what it holds, and what is wrong with it."""

import os
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmps.formats.report import DatasetReport
from mmps.utils.files import whole_file

SPLIT_COLOURS = {'train': '#2f86c9', 'test': '#e07b00'}
SEVERITY_COLOURS = {'error': '#c81e1e', 'warning': '#8a6a00', 'note': '#5b6472'}

WIDTH, PANEL, LINE = 13.0, 2.5, 0.25
"""Of the picture, and height of a row of panels and of a line of text, in inches."""

MOST_PROBLEMS = 12
MOST_COLUMNS = 24
TAIL = 0.99
"""Share of the values that an axis shows; those beyond are counted in its last column."""

_PANELS = {
    'box_height': ('Height of the boxes', 'pixels'),
    'boxes_per_image': ('People in an image', 'boxes'),
    'images_per_identity': ('Images of a person', 'images'),
    'cameras_per_identity': ('Cameras of a person', 'cameras'),
    'positives_per_query': ('Appearances to be found', 'per search'),
}


def save_dataset_report(path: str | os.PathLike, report: DatasetReport) -> None:
    """Draw a report into a PNG file, 1,300 pixels wide and as high as it has problems."""
    panels = {name: _values(report, name) for name in _PANELS}
    panels = {name: values for name, values in panels.items() if values}
    cameras = pd.DataFrame({n: part.images_per_camera for n, part in report.statistics.items()})
    number = len(panels) + (len(cameras) > 1)
    rows = -(-number // 3)
    lines = _problem_lines(report)
    head, foot = 4.5 * LINE, (len(lines) + 1) * LINE
    height = head + rows * PANEL + foot
    figure = Figure(figsize=(WIDTH, height), dpi=100, facecolor='white')
    figure.text(0.02, 1 - LINE / height, report.title, size=15, weight='bold', va='center')
    numbers = pd.DataFrame({n: part.cells() for n, part in report.statistics.items()}).T
    style = dict(size=10, family='monospace', va='top')
    figure.text(0.02, 1 - 1.7 * LINE / height, numbers.to_string(), **style)
    for place, (text, colour) in enumerate(lines):
        figure.text(0.02, (foot - (place + 0.5) * LINE) / height, text, color=colour, **style)
    places = [
        figure.add_axes(
            (0.05 + 0.325 * (k % 3), (foot + (rows - 1 - k // 3) * PANEL + 0.6) / height)
            + (0.275, (PANEL - 1.0) / height)
        )
        for k in range(number)
    ]
    for axes, (name, values) in zip(places, panels.items(), strict=False):
        title, unit = _PANELS[name]
        _histogram(axes, values)
        _label(axes, title, unit, '% of them')
    if panels:
        places[0].legend(frameon=False)
    if len(cameras) > 1:
        cameras = cameras.sort_index().rename(index={-1: '?'})
        cameras.plot.bar(ax=places[-1], legend=False, rot=0, width=0.84, color=SPLIT_COLOURS)
        places[-1].locator_params('x', nbins=12)
        _label(places[-1], 'Images of a camera', 'camera', 'images')
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', pil_kwargs=dict(optimize=True))


def _values(report: DatasetReport, name: str) -> dict[str, np.ndarray]:
    """The values of a distribution in each split that has some."""
    values = {}
    for split, part in report.statistics.items():
        if name == 'positives_per_query':
            values[split] = next(iter(part.positives_per_query.values()), np.empty(0))
        elif name != 'cameras_per_identity' or part.counts['cameras']:
            values[split] = part.distributions[name]
    return {split: part for split, part in values.items() if len(part)}


def _problem_lines(report: DatasetReport) -> list[tuple[str, str]]:
    """A line and its colour for each problem, the worst first."""
    if not report.problems:
        return [('no problem found', '#15803d')]
    lines = [
        (f'{p.severity:<8}{p.count:>7,}  {p.kind} ({p.split}): {p.consequence}', p.severity)
        for p in report.problems[:MOST_PROBLEMS]
    ]
    if len(report.problems) > MOST_PROBLEMS:
        lines.append((f'and {len(report.problems) - MOST_PROBLEMS} more kinds', 'note'))
    return [(text, SEVERITY_COLOURS[severity]) for text, severity in lines]


def _histogram(axes: Axes, values: Mapping[str, np.ndarray]) -> None:
    """The shares of each split side by side."""
    edges = _edges(np.concatenate(list(values.values())))
    axes.hist(
        [part.clip(max=edges[-1]) for part in values.values()],
        edges,
        weights=[np.full(len(part), 100 / len(part)) for part in values.values()],
        color=[SPLIT_COLOURS[split] for split in values],
        label=list(values),
    )


def _edges(values: np.ndarray) -> np.ndarray:
    """Edges of the columns, of which the last takes everything beyond as well."""
    low, high = float(values.min()), float(np.quantile(values, TAIL, method='higher'))
    if np.issubdtype(values.dtype, np.integer) and high < MOST_COLUMNS:
        return np.arange(min(low, 1), high + 2) - 0.5  # a column for each whole number
    return np.linspace(low, high if high > low else low + 1, MOST_COLUMNS + 1)


def _label(axes: Axes, title: str, unit: str, counted: str) -> None:
    axes.set_title(title, size=12, weight='bold', loc='left')
    axes.set_xlabel(unit, size=9.5)
    axes.set_ylabel(counted, size=9.5)
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.grid(axis='y', color='#e3e7ec')
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9.5)
