"""The grid as its file states it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mmps.utils.config import load_config
from mmps.utils.errors import UserError

METRICS = ('det/AP', 'det/AP_iou75', 'search/mAP', 'search/mAP_iou75', 'search/top1')


@dataclass(frozen=True)
class ReferenceTable:
    """A published table, to which our numbers are added.

    Attributes:
        title: Printed above it.
        metric: Key of the metric that it holds.
        columns: Names of its columns.
        rows: For each row one number per column.
    """

    title: str
    metric: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        for row, numbers in self.rows.items():
            if len(numbers) != len(self.columns):
                raise UserError(
                    f'tables: row {row} of {self.title!r} has {len(numbers)} numbers for '
                    f'{len(self.columns)} columns'
                )


@dataclass(frozen=True)
class Experiment:
    """One config, trained once per seed.

    Attributes:
        name: Unique in the grid; folders are named after it.
        config: Path of the config file.
        options: Settings of the config to change, as for ``--cfg-options`` but nested if need be;
            of several dictionaries the later ones win.
        seeds: One run each.
        row: The row of the reference tables that its numbers belong to, or None.
        column: The column; one that the tables do not have is added to them.
    """

    name: str
    config: Path
    options: tuple[Mapping[str, Any], ...] = ()
    seeds: tuple[int, ...] = (0,)
    row: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class Grid:
    """Experiments and how to report them.

    Attributes:
        experiments: In the order in which they run.
        prepare: Command lines of tools (paths below ``tools/``) that have to succeed before.
        tables: Published numbers to put beside ours.
        base: Name of the experiment that the others are compared with, or None.
        metrics: Keys to report of each experiment.
    """

    experiments: tuple[Experiment, ...]
    prepare: tuple[tuple[str, ...], ...] = ()
    tables: tuple[ReferenceTable, ...] = ()
    base: str | None = None
    metrics: tuple[str, ...] = METRICS


def load_grid(path: str | Path) -> Grid:
    """Read a grid file: a config with the entries of :class:`Grid`.

    ``experiments`` is a list of dictionaries with the entries of :class:`Experiment`, where
    ``config`` is relative to the grid file and ``name`` is by default the config's. Entries
    ``seeds`` and ``options`` of the grid hold for every experiment, which may have its own seeds
    and further options. Names that begin with an underscore are the file's own.

    Raises:
        UserError: The file is missing, or an entry is missing, unknown or out of range.
    """
    found = load_config(str(path), {}).to_dict()
    entries = {key: value for key, value in found.items() if not key.startswith('_')}
    common = {'options': entries.pop('options', {}), 'seeds': entries.pop('seeds', (0,))}
    _check_keys(f'grid {path}', entries, Grid)
    if not entries.get('experiments'):
        raise UserError(f'grid {path}: experiments is missing or empty; list at least one')
    experiments = [_experiment(Path(path), entry, common) for entry in entries['experiments']]
    names = [experiment.name for experiment in experiments]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f'grid {path}: two experiments are named {name}; give each its name')
    base = entries.get('base')
    if base is not None and base not in names:
        raise UserError(f'grid {path}: base is {base!r}, which is no experiment: {names}')
    return Grid(
        experiments=tuple(experiments),
        prepare=tuple(tuple(map(str, line)) for line in entries.get('prepare', ())),
        tables=tuple(_table(path, table) for table in entries.get('tables', ())),
        base=base,
        metrics=tuple(entries.get('metrics', METRICS)),
    )


def _experiment(path: Path, entry: dict[str, Any], common: dict[str, Any]) -> Experiment:
    where = f'experiment {entry.get("name", entry.get("config"))} of grid {path}'
    _check_keys(where, entry, Experiment)
    if 'config' not in entry:
        raise UserError(f'{where}: config is missing')
    seeds = tuple(entry.get('seeds', common['seeds']))
    if not seeds or len(set(seeds)) != len(seeds) or not all(isinstance(s, int) for s in seeds):
        raise UserError(f'{where}: seeds is {seeds}; give different integers, at least one')
    return Experiment(
        name=entry.get('name', Path(entry['config']).stem),
        config=(path.parent / entry['config']).resolve(),
        options=(common['options'], entry.get('options', {})),
        seeds=seeds,
        row=entry.get('row'),
        column=entry.get('column'),
    )


def _table(path: str | Path, entry: dict[str, Any]) -> ReferenceTable:
    missing = {f.name for f in fields(ReferenceTable)} - entry.keys()
    if missing:
        raise UserError(f'grid {path}: a table lacks {", ".join(sorted(missing))}')
    _check_keys(f'a table of grid {path}', entry, ReferenceTable)
    return ReferenceTable(
        title=entry['title'],
        metric=entry['metric'],
        columns=tuple(entry['columns']),
        rows={row: tuple(numbers) for row, numbers in entry['rows'].items()},
    )


def _check_keys(where: str, entry: Mapping[str, Any], kind: type) -> None:
    known = [f.name for f in fields(kind)]
    unknown = sorted(entry.keys() - set(known))
    if unknown:
        raise UserError(f'{where}: unknown {", ".join(unknown)}; known are {", ".join(known)}')
