"""Results as text: tables of metrics, and what a comparison says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import stdev

from mmps.evaluation.functional.bootstrap import Comparison, Interval
from mmps.evaluation.functional.protocols import SplitSummary

COLUMNS = ('search/mAP', 'search/top1', 'search/top5', 'search/top10', 'det/AP', 'det/recall')
SIGNIFICANCE = 0.05
"""A p-value below this is called a difference."""

_WIDTH = 15
_PAIR = re.compile(r'(?P<key>.+)_c(?P<query>\d+)_c(?P<gallery>\d+)')


def metrics_table(
    metrics: Mapping[str, float], intervals: Mapping[str, Interval] | None = None
) -> str:
    """One line per kind of result: a suffix such as ``_iou75``, or none.

    Intervals, by key as the metrics of ``SearchProtocols``, are printed below the numbers.
    """
    return _table(metrics, {key: _range(found) for key, found in (intervals or {}).items()})


def means_table(summary: SplitSummary) -> str:
    """As :func:`metrics_table`, with the standard deviation over the splits at each mean."""
    below = {key: f'+- {_points(key, value)}' for key, value in summary.deviation.items()}
    return _table(summary.mean, below)


def _table(metrics: Mapping[str, float], below: Mapping[str, str]) -> str:
    pairs = [match for match in map(_PAIR.fullmatch, metrics) if match]
    shown = {match.string for match in pairs}
    first = COLUMNS[0]
    kinds = [k.removeprefix(first) for k in metrics if k.startswith(first) and k not in shown]
    width = max(map(len, kinds), default=0) + 2
    lines = [' ' * width + _row(COLUMNS)]
    for kind in kinds:
        keys = [column + kind for column in COLUMNS]
        shown |= set(keys)
        values = [f'{metrics[key]:.2%}' if key in metrics else '-' for key in keys]
        lines.append(f'{kind.lstrip("_"):<{width}}' + _row(values))
        if below:
            lines.append((' ' * width + _row([below.get(key, '') for key in keys])).rstrip())
    lines += _camera_tables(metrics, pairs)
    rest = [key for key in metrics if key not in shown]
    if rest:
        width = max(map(len, rest)) + 2
        cells = [f'{_number(key, metrics[key])} {below.get(key, "")}' for key in rest]
        lines += [
            '',
            *(f'{key:<{width}}{cell}'.rstrip() for key, cell in zip(rest, cells, strict=True)),
        ]
    return '\n'.join(lines)


def _camera_tables(metrics: Mapping[str, float], pairs: list[re.Match]) -> Iterator[str]:
    """For each key a matrix: cameras of the queries down, cameras searched across."""
    queries = sorted({int(pair['query']) for pair in pairs})
    galleries = sorted({int(pair['gallery']) for pair in pairs})
    for key in dict.fromkeys(pair['key'] for pair in pairs):
        yield ''
        yield f'{key}, query camera down, gallery camera across'
        yield ' ' * 4 + ''.join(f'{camera:>8}' for camera in galleries)
        for query in queries:
            names = [f'{key}_c{query}_c{gallery}' for gallery in galleries]
            cells = [_number(key, metrics[name]) if name in metrics else '-' for name in names]
            yield f'{query:>4}' + ''.join(f'{cell:>8}' for cell in cells)


def _row(cells: Sequence[str]) -> str:
    return ''.join(f'{cell:>{_WIDTH}}' for cell in cells)


def _number(key: str, value: float) -> str:
    return f'{value:.0f}' if _is_count(key) else f'{value:.2%}'


def _points(key: str, value: float) -> str:
    return f'{value:.1f}' if _is_count(key) else f'{100 * value:.2f}'


def _is_count(key: str) -> bool:
    return key.startswith('search/queries')


def _range(interval: Interval) -> str:
    return f'{100 * interval.low:.2f}-{100 * interval.high:.2f}'


def comparison_table(comparisons: Mapping[str, Comparison]) -> str:
    """One line per number: both values, their difference with its interval, and the p-value.

    Of several predictions a side, the standard deviation between them stands below their mean.
    """
    width = max(map(len, comparisons)) + 2
    heads = ('A', 'B', 'B - A', 'interval', 'p', 'better', 'worse')
    lines = [' ' * width + _row(heads)]
    for key, found in comparisons.items():
        cells = (
            f'{found.first:.2%}',
            f'{found.second:.2%}',
            f'{100 * found.difference:+.2f}',
            f'{100 * found.interval.low:+.2f} {100 * found.interval.high:+.2f}',
            f'{found.p_value:.4f}',
            f'{found.better}',
            f'{found.worse}',
        )
        lines.append(f'{key:<{width}}' + _row(cells))
        spreads = [
            f'+- {100 * stdev(values):.2f}' if len(values) > 1 else ''
            for values in (found.first_values, found.second_values)
        ]
        if any(spreads):
            lines.append((' ' * width + _row(spreads)).rstrip())
    return '\n'.join(lines)


def verdict(found: Comparison, first: str, second: str, confidence: float) -> str:
    """Whether ``second`` is better than ``first``, in words, by the comparison of their mAP."""
    if not found.better and not found.worse:
        return f'{first} and {second} do every search equally well.'
    change, low, high = (
        f'{100 * value:+.2f}'
        for value in (found.difference, found.interval.low, found.interval.high)
    )
    numbers = (
        f'mAP {found.second:.2%} against {found.first:.2%}, a difference of {change} points '
        f'({confidence:.0%} interval {low} to {high}), p = {found.p_value:.4f}'
    )
    if found.p_value >= SIGNIFICANCE:
        return f'No difference between {first} and {second} can be shown: {numbers}.'
    better = 'better' if found.difference > 0 else 'worse'
    return f'{second} is {better} than {first}: {numbers}.'
