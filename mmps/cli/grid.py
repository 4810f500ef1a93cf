"""Grids: many trainings as the rows of one table.

GNU make works through the runs, by ``tools/grid.mk``. A step of a run leaves a file that is whole
or absent, and what is left to do is read off these files: no other record could disagree with them.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from statistics import mean, stdev
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from mmps.utils.config import load_config, require_entries, set_options
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file, write_json

if TYPE_CHECKING:
    from mmengine.config import Config

METRICS = ('det/AP', 'det/AP_iou75', 'search/mAP', 'search/mAP_iou75', 'search/top1')
RESULTS = {'train': 'final.pth', 'test': 'predictions.npz', 'evaluate': 'metrics.json'}
"""The file that each step leaves in the folder of a run; the first is a link to a checkpoint."""


Seeds = Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A published table, to which our numbers are added.

    ``metric`` is the key of what it holds: for each row one number per column.
    """

    title: str
    metric: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the grid: one config, trained once per seed, or files of predictions.

    Attributes:
        config: The config file, relative to the grid file.
        name: Unique in the grid; folders are named after it: letters, digits, ".", "+", "-", "_".
            By default the config's.
        options: Settings of the config to change, as for ``--cfg-options`` but nested if need be.
            The seed stands where a text has ``{seed}``.
        seeds: One run each; by default the grid's.
        row: The row of the published tables that its numbers belong to, or None.
        column: The column; one that the tables do not have is added to them.
        predictions: Files, relative to the grid file, that are evaluated on the config's test set
            instead of a training, e.g. of another program; one for each seed.
    """

    config: str
    name: Annotated[str, msgspec.Meta(pattern=r'^(\w[\w.+-]*)?$')] = ''
    options: dict[str, Any] = {}
    seeds: Seeds | None = None
    row: str | None = None
    column: str | None = None
    predictions: tuple[str, ...] = ()


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entries of a grid file.

    Attributes:
        experiments: In the order in which they run.
        options: Settings to change in every config; those of an experiment come after them.
        seeds: Of experiments without their own.
        prepare: Command lines of tools (paths below ``tools/``) that have to succeed before.
        tables: Published numbers to put beside ours.
        base: Name of the experiment that the others are compared with, or None.
        metrics: Keys to report of each experiment.
    """

    experiments: Annotated[tuple[Experiment, ...], msgspec.Meta(min_length=1)]
    options: dict[str, Any] = {}
    seeds: Seeds = (0,)
    prepare: tuple[tuple[str | int | float, ...], ...] = ()
    tables: tuple[Table, ...] = ()
    base: str | None = None
    metrics: tuple[str, ...] = METRICS


def load_grid(path: str | Path) -> Grid:
    """Read a grid file: a config with the entries of :class:`Grid`.

    Names that begin with an underscore are the file's own.

    Raises:
        UserError: The file is missing, or an entry is missing, unknown or out of range.
    """
    found = load_config(str(path), {})
    folder = Path(found.filename).parent
    entries = {k: v for k, v in found.to_dict().items() if not k.startswith('_')}
    try:
        grid = msgspec.convert(entries, Grid)
    except msgspec.ValidationError as error:
        raise UserError(f'grid {path}: {error}') from error
    experiments = tuple(
        msgspec.structs.replace(
            row,
            config=str((folder / row.config).resolve()),
            name=row.name or Path(row.config).stem,
            seeds=tuple(range(len(row.predictions)))
            or (grid.seeds if row.seeds is None else row.seeds),
            predictions=tuple(str((folder / p).resolve()) for p in row.predictions),
        )
        for row in grid.experiments
    )
    for problem in _problems(grid, experiments):
        raise UserError(f'grid {path}: {problem}')
    return msgspec.structs.replace(grid, experiments=experiments)


def _problems(grid: Grid, experiments: Sequence[Experiment]) -> Iterator[str]:
    """What is wrong with a grid whose entries have the right types."""
    names = [row.name for row in experiments]
    for row in experiments:
        if names.count(row.name) > 1:
            yield f'two experiments are named {row.name}; give each its name'
        if len(set(row.seeds)) != len(row.seeds):
            yield f'seeds of {row.name} is {row.seeds}; give different integers'
    if grid.base is not None and grid.base not in names:
        yield f'base is {grid.base!r}, which is no experiment: {names}'
    for table in grid.tables:
        for row, numbers in table.rows.items():
            if len(numbers) != (wanted := len(table.columns)):
                yield f'row {row} of {table.title!r} has {len(numbers)} numbers, not {wanted}'


@dataclass(frozen=True)
class Run:
    """An experiment with one seed.

    Attributes:
        folder: Everything that the run writes.
        config: Its complete config.
        predictions: A file to evaluate instead of training and testing.
    """

    experiment: str
    folder: Path
    config: Config
    predictions: Path | None = None

    @property
    def name(self) -> str:
        """Experiment and seed."""
        return self.folder.name

    def next_step(self) -> str | None:
        """What is to be done next, or None if the run is complete."""
        later = None
        for step in reversed(['evaluate'] if self.predictions else list(RESULTS)):
            if (self.folder / RESULTS[step]).exists() and not self._is_outdated():
                break
            later = step
        return later

    def _is_outdated(self) -> bool:
        """Whether the numbers are those of another file of predictions than is asked for."""
        measured = self.folder / RESULTS['evaluate']
        if self.predictions is None or not measured.exists():
            return False
        same = (self.folder / RESULTS['test']).resolve() == self.predictions
        return not same or measured.stat().st_mtime < self.predictions.stat().st_mtime

    def metrics(self) -> dict[str, float]:
        """The numbers of a complete run, else nothing."""
        file = self.folder / RESULTS['evaluate']
        return json.loads(file.read_text()) if file.exists() else {}

    def last_words(self, step: str) -> list[str]:
        """What the last command of a step printed, and how it ended if it failed."""
        log = self.folder / f'{step}.log'
        text = log.read_text(errors='replace') if log.exists() else ''
        return [line.strip() for line in text.rpartition('\n$ ')[2].splitlines() if line.strip()]

    def state(self) -> str:
        """The next step; of a training also where it is and for how long, in mmengine's words."""
        step = self.next_step()
        places = re.findall(
            r'(?:Epoch|Iter)\(train\).*?eta: .*?(?=  )', '\n'.join(self.last_words('train'))
        )
        return ' '.join([step, *places[-1:]]) if step == 'train' else step or 'complete'

    def failure(self) -> str:
        """Which step failed, how it ended, and what it said."""
        step = self.next_step()
        *said, status = self.last_words(step) or ['was not started']
        errors = [line for line in said if line.startswith('error: ')] or said[1:]
        reason = ': '.join([status, *errors[-1:]])
        return f'{self.name}: {step}: {reason} (log: {self.folder}/{step}.log)'

    def check_config(self) -> None:
        """Refuse to go on with a run that was begun with another config.

        Raises:
            UserError: It was; the message names the settings.
        """
        file = self.folder / 'config.py'
        if not file.exists() or not any(self.folder.glob('*.log')):
            return
        configs = load_config(str(file), {}), self.config
        begun, wanted = (flattened(config.to_dict()) for config in configs)
        different = [
            f'{key} was {begun.get(key, "absent")!r}, is {wanted.get(key, "absent")!r}'
            for key in sorted(begun.keys() | wanted.keys())
            if begun.get(key, KeyError) != wanted.get(key, KeyError)
        ]
        if different:
            more = f' and {len(different) - 5} more' if len(different) > 5 else ''
            raise UserError(
                f'{self.folder} was begun with other settings: {"; ".join(different[:5])}{more}. '
                f'Undo the change, or delete the folder to begin anew, or delete {file} to go on '
                'with the new settings'
            )

    def write_config(self) -> None:
        """Write the config for the tools, and a link to the checkpoint that the training ends with
        or to the predictions.
        """
        entries = self.config.to_dict().items()
        lines = [f'{k} = {pformat(value, width=100, sort_dicts=False)}\n' for k, value in entries]
        if self._is_outdated():
            (self.folder / RESULTS['evaluate']).unlink()
        with whole_file(self.folder / 'config.py') as temporary:
            temporary.write_text(''.join(lines), 'utf-8')
        if self.predictions is None:
            loop = self.config.train_cfg
            last = f'epoch_{loop.max_epochs}' if 'max_epochs' in loop else f'iter_{loop.max_iters}'
            step, target = 'train', f'train/{last}.pth'
        else:
            step, target = 'test', self.predictions
        with whole_file(self.folder / RESULTS[step]) as temporary:
            temporary.symlink_to(target)


def flattened(value: Any, key: str = '') -> dict[str, Any]:
    """Innermost values of nested dictionaries and lists by dotted key."""
    if not isinstance(value, dict | list | tuple) or not value:
        return {key: value}
    flat = {}
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        flat |= flattened(inner, f'{key}.{name}' if key else str(name))
    return flat


def _with_seed(value: Any, seed: int) -> Any:
    """A copy (mmengine takes ``_delete_`` out of what it merges) with the seed in its texts."""
    if isinstance(value, dict):
        return {key: _with_seed(inner, seed) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_seed(inner, seed) for inner in value)
    return value.replace('{seed}', str(seed)) if isinstance(value, str) else deepcopy(value)


def make_runs(grid: Grid, folder: Path, options: Mapping[str, Any]) -> list[Run]:
    """The runs of a grid, in order, one folder below ``folder`` each.

    ``options`` change settings in every config, after those of the grid.

    Raises:
        UserError: A config is missing or unusable, options do not fit, or a run was begun with
            other settings.
    """
    files = {row.config: load_config(row.config, {}) for row in grid.experiments}
    runs = []
    for row in grid.experiments:
        for place, seed in enumerate(row.seeds):
            config = deepcopy(files[row.config])
            for some in (grid.options, row.options, options, {'randomness.seed': seed}):
                label = f'{row.config} (experiment {row.name})'
                set_options(config, label, _with_seed(dict(some), seed))
            require_entries(config, row.config, ('train_cfg', 'test_dataloader'))
            predictions = Path(row.predictions[place]) if row.predictions else None
            if predictions is not None and not predictions.is_file():
                raise UserError(f'experiment {row.name}: predictions {predictions} do not exist')
            if not {'max_epochs', 'max_iters'} & config.train_cfg.keys():
                raise UserError(f'{row.config}: train_cfg has neither max_epochs nor max_iters')
            runs.append(Run(row.name, folder / f'{row.name}_seed{seed}', config, predictions))
            runs[-1].check_config()
    return runs


def work_through(
    runs: Sequence[Run],
    tools: Path,
    *,
    jobs: int = 1,
    gpus: int = 1,
    partition: str = '',
    say: Callable[[str], None] = print,
    after_run: Callable[[], None] = lambda: None,
) -> list[str]:
    """Complete runs. Ones that another process works on are left to it, and seen to at the end.

    Args:
        runs: What to complete, in this order; all in one folder.
        tools: Folder of the command-line tools and of ``grid.mk``.
        jobs: How many runs to work on at the same time.
        gpus: Processes of a run on this machine.
        partition: Of a Slurm cluster, to train and test on instead of this machine.
        say: Told of every command that starts and every run that ends.
        after_run: Called when a run is complete.

    Returns:
        What failed, in words; the other runs are complete.
    """
    for program in ('make', 'flock'):
        if shutil.which(program) is None:
            raise UserError(f'{program} is not installed (Debian: apt-get install make util-linux)')
    left = [run.name for run in runs if run.next_step()]
    ended = {run.name for run in runs} - set(left)
    say(f'{len(ended)} of {len(runs)} runs are complete already')
    if not left:
        return []
    for run in runs:
        if run.name in left:
            run.write_config()
    settings = dict(folder=runs[0].folder.parent, tools=tools, python=sys.executable)
    settings |= dict(gpus=gpus, partition=partition)
    # Settings of a make around this process are not for this one.
    kept = {key: value for key, value in os.environ.items() if not key.startswith('MAKE')}
    with subprocess.Popen(
        ['make', '-ks', f'-j{jobs}', '-f', tools / 'grid.mk', *left, *(f'{n}.wait' for n in left)],
        stdout=subprocess.PIPE,
        text=True,
        env=kept | {key: str(value) for key, value in settings.items()},
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout:
                name, _, event = line.strip().partition(': ')
                if name in ended:
                    continue
                if event in ('complete', 'FAILED'):
                    ended.add(name)
                say(f'[{len(ended)}/{len(runs)}] {name}: {event}')
                if event == 'complete':
                    after_run()
        except BaseException:
            # Stopped, it takes along what it started.
            os.killpg(process.pid, signal.SIGTERM)
            raise
    return [run.failure() for run in runs if run.next_step()]


Shown = tuple[str, dict[str, list[str]], str]
"""A table for people: its title, its columns, and a line below it."""


def write_report(grid: Grid, runs: Sequence[Run], folder: Path) -> str:
    """Write ``tables.json``, ``tables.md`` (given back) and ``tables.tex`` of what is complete."""
    found = _summaries(grid, runs)
    tables = list(_tables(grid, runs, found))
    report = {
        'runs': {run.name: run.metrics() or None for run in runs},
        'experiments': {
            row.name: {'seeds': list(row.seeds), 'metrics': found[row.name]}
            for row in grid.experiments
        },
        'tables': [dict(title=title, columns=columns) for title, columns, _ in tables],
    }
    write_json(folder / 'tables.json', report)
    text = '\n'.join(_markdown(*table) for table in tables)
    latex = '\n'.join(_latex(*table) for table in tables)
    for name, content in (('tables.md', text), ('tables.tex', latex)):
        with whole_file(folder / name) as temporary:
            temporary.write_text(content, 'utf-8')
    return text


def _summaries(grid: Grid, runs: Sequence[Run]) -> dict[str, dict[str, dict[str, Any]]]:
    """What each experiment has of each metric, over its seeds and beside the base."""
    values = {row.name: {} for row in grid.experiments}
    for run in runs:
        for key, value in run.metrics().items():
            values[run.experiment].setdefault(key, []).append(value)
    found = {}
    for name, metrics in values.items():
        found[name] = {}
        for key, numbers in metrics.items():
            found[name][key] = {**_summary(numbers), 'values': numbers}
            if name != grid.base and (base := values.get(grid.base, {}).get(key)):
                found[name][key]['minus_base'] = _summary(numbers, base)
    return found


def _summary(numbers: Sequence[float], base: Sequence[float] = ()) -> dict[str, float | None]:
    """Mean over the seeds and sample standard deviation, or the same of the difference to a base.

    The spread of a difference is what a comparison of one run with one run of the base varies by,
    so a difference of means well below it says little. It is None where either has a single run.
    """
    groups = [group for group in (numbers, base) if group]
    several = all(len(group) > 1 for group in groups)
    return {
        'mean': mean(numbers) - (mean(base) if base else 0),
        'spread': math.hypot(*map(stdev, groups)) if several else None,
    }


def _tables(
    grid: Grid, runs: Sequence[Run], found: Mapping[str, Mapping[str, Any]]
) -> Iterator[Shown]:
    for table in grid.tables:
        ours = {(e.row, e.column): found[e.name].get(table.metric) for e in grid.experiments}
        own = [column for row, column in ours if row in table.rows and column]
        columns = {'': list(table.rows)}
        for column in dict.fromkeys([*table.columns, *own]):
            if column in table.columns:
                numbers = [row[table.columns.index(column)] for row in table.rows.values()]
                columns[f'{column}, paper'] = [f'{number:.3f}' for number in numbers]
            if column in own:
                columns[f'{column}, ours'] = [_cell(ours.get((row, column))) for row in table.rows]
        yield table.title, columns, ''
    complete = [run.experiment for run in runs if run.metrics()]
    names = [row.name for row in grid.experiments]
    columns = {
        'experiment': names,
        'seeds': [f'{complete.count(row.name)}/{len(row.seeds)}' for row in grid.experiments],
    }
    columns |= {key: [_cell(found[name].get(key)) for name in names] for key in grid.metrics}
    yield f'All experiments: {len(complete)} of {len(runs)} runs complete', columns, ''
    if grid.base:
        others = [name for name in names if name != grid.base]
        columns = {'experiment': others}
        for key in grid.metrics:
            minus = [found[name].get(key, {}).get('minus_base') for name in others]
            columns[key] = [_cell(one, '+.3f') for one in minus]
        note = (
            'After "±": standard deviation, over the seeds, of one run minus one run of the base.'
        )
        yield f'Difference to {grid.base}', columns, note


def _cell(summary: Mapping[str, Any] | None, form: str = '.3f') -> str:
    if not summary:
        return 'not run'
    text = f'{summary["mean"]:{form}}'
    return text if summary['spread'] is None else f'{text} ± {summary["spread"]:.3f}'


def _markdown(title: str, columns: Mapping[str, Sequence[str]], note: str) -> str:
    rows = [list(columns), ['---'] * len(columns), *zip(*columns.values(), strict=True)]
    table = ''.join(f'| {" | ".join(row)} |\n' for row in rows)
    return f'## {title}\n\n{table}' + (f'\n{note}\n' if note else '')


def _latex(title: str, columns: Mapping[str, Sequence[str]], note: str) -> str:
    """A float with a table in the style of the package booktabs."""
    import pandas as pd

    caption = re.sub(r'([#$%&_{}])', r'\\\1', f'{title} {note}'.strip())
    style = pd.DataFrame(columns).style.format(escape='latex').hide(axis='index')
    return (
        style.format_index(escape='latex', axis=1)
        .to_latex(
            hrules=True,
            position_float='centering',
            column_format='l' + 'r' * (len(columns) - 1),
            caption=caption,
        )
        .replace('±', r'$\pm$')
    )
