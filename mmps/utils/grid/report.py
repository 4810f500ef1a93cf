"""The results of a grid as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmps.utils.files import whole_file, write_json

from .experiments import Experiment, Grid, ReferenceTable
from .results import Results, Summary, summarise
from .run import Run

MARKDOWN, JSON = 'tables.md', 'tables.json'
NOT_RUN = 'not run'


def write_report(grid: Grid, runs: Sequence[Run], folder: Path) -> str:
    """Write ``tables.md`` and ``tables.json`` of what is complete.

    Args:
        grid: The grid.
        runs: All of its runs.
        folder: Where to.

    Returns:
        The Markdown.
    """
    results = summarise(runs)
    parts = [_reference_markdown(grid, table, results) for table in grid.tables]
    parts.append(_experiments_markdown(grid, runs, results))
    if grid.base:
        parts.append(_differences_markdown(grid, results))
    text = '\n'.join(parts)
    with whole_file(folder / MARKDOWN) as temporary:
        temporary.write_text(text, 'utf-8')
    write_json(folder / JSON, _json(grid, runs, results))
    return text


def _lookup(grid: Grid, row: str, column: str) -> Experiment | None:
    """The experiment that belongs into a cell."""
    found = (e for e in grid.experiments if (e.row, e.column) == (row, column))
    return next(found, None)


def _our_columns(grid: Grid, table: ReferenceTable) -> list[str]:
    """Columns with experiments in a row of the table: the table's own first."""
    found = dict.fromkeys(e.column for e in grid.experiments if e.row in table.rows and e.column)
    known = [column for column in table.columns if column in found]
    return known + [column for column in found if column not in known]


def _reference_markdown(grid: Grid, table: ReferenceTable, results: Results) -> str:
    ours = _our_columns(grid, table)
    columns = [*table.columns, *(column for column in ours if column not in table.columns)]
    head = ['']
    for column in columns:
        head += [f'{column}, paper'] if column in table.columns else []
        head += [f'{column}, ours'] if column in ours else []
    lines = []
    for row, numbers in table.rows.items():
        published = dict(zip(table.columns, numbers, strict=True))
        cells = [row]
        for column in columns:
            cells += [f'{published[column]:.3f}'] if column in published else []
            if column in ours:
                experiment = _lookup(grid, row, column)
                found = results.get(experiment.name, {}) if experiment else {}
                cells.append(_cell(found.get(table.metric)))
        lines.append(cells)
    return f'## {table.title}\n\n{_markdown_table(head, lines)}'


def _experiments_markdown(grid: Grid, runs: Sequence[Run], results: Results) -> str:
    done = sum(run.metrics_file.exists() for run in runs)
    lines = []
    for experiment in grid.experiments:
        found = results.get(experiment.name, {})
        complete = max((len(summary.values) for summary in found.values()), default=0)
        cells = [_cell(found.get(key)) for key in grid.metrics]
        lines.append([experiment.name, f'{complete}/{len(experiment.seeds)}', *cells])
    table = _markdown_table(['experiment', 'seeds', *grid.metrics], lines)
    return f'## All experiments: {done} of {len(runs)} runs complete\n\n{table}'


def _differences_markdown(grid: Grid, results: Results) -> str:
    base = results.get(grid.base, {})
    lines = []
    for experiment in grid.experiments:
        if experiment.name == grid.base:
            continue
        found = results.get(experiment.name, {})
        cells = [
            _difference(found[key], base[key]) if key in found and key in base else NOT_RUN
            for key in grid.metrics
        ]
        lines.append([experiment.name, *cells])
    table = _markdown_table(['experiment', *grid.metrics], lines)
    return (
        f'## Difference to {grid.base}\n\n{table}\n'
        'After "±": standard deviation, over the seeds, of one run minus one run of the base.\n'
    )


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return NOT_RUN
    spread = '' if summary.spread is None else f' ± {summary.spread:.3f}'
    return f'{summary.mean:.3f}{spread}'


def _difference(summary: Summary, base: Summary) -> str:
    difference, spread = summary.minus(base)
    return f'{difference:+.3f}' + ('' if spread is None else f' ± {spread:.3f}')


def _markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ['---'] * len(head), *lines]
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def _json(grid: Grid, runs: Sequence[Run], results: Results) -> dict[str, Any]:
    return {
        'runs': {run.name: run.metrics() for run in runs},
        'experiments': dict(_json_experiments(grid, results)),
        'tables': [
            {
                'title': table.title,
                'metric': table.metric,
                'paper': {
                    row: dict(zip(table.columns, numbers, strict=True))
                    for row, numbers in table.rows.items()
                },
                'ours': {
                    row: {
                        column: _json_summary(results.get(experiment.name, {}).get(table.metric))
                        for column in _our_columns(grid, table)
                        if (experiment := _lookup(grid, row, column))
                    }
                    for row in table.rows
                },
            }
            for table in grid.tables
        ],
    }


def _json_experiments(grid: Grid, results: Results) -> Iterator[tuple[str, dict[str, Any]]]:
    base = results.get(grid.base, {})
    for experiment in grid.experiments:
        found = results.get(experiment.name, {})
        entry = {'seeds': list(experiment.seeds), 'metrics': {}}
        for key, summary in found.items():
            entry['metrics'][key] = _json_summary(summary)
            if key in base and experiment.name != grid.base:
                difference, spread = summary.minus(base[key])
                entry['metrics'][key]['minus_base'] = {'mean': difference, 'spread': spread}
        yield experiment.name, entry


def _json_summary(summary: Summary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    return {'mean': summary.mean, 'spread': summary.spread, 'values': list(summary.values)}
