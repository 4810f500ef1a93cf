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
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mmps.utils.config import load_config, require_entries, set_options
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file, write_json

if TYPE_CHECKING:
    from mmengine.config import Config

METRICS = ('det/AP', 'det/AP_iou75', 'search/mAP', 'search/mAP_iou75', 'search/top1')
RESULTS = {'train': 'final.pth', 'test': 'predictions.npz', 'evaluate': 'metrics.json'}
"""The file that each step leaves in the folder of a run; the first is a link to a checkpoint."""


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
        name: Unique in the grid; folders are named after it. By default the config's.
        options: Settings of the config to change, as for ``--cfg-options`` but nested if need be.
            The seed stands where a text has ``{seed}``.
        seeds: One run each; by default the grid's.
        row: The row of the published tables that its numbers belong to, or None.
        column: The column; one that the tables do not have is added to them.
        predictions: Files, relative to the grid file, that are evaluated on the config's test set
            instead of a training, e.g. of another program; one for each seed.
    """

    config: str
    name: str = ''
    options: dict[str, Any] = {}
    seeds: tuple[int, ...] | None = None
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

    experiments: tuple[Experiment, ...]
    options: dict[str, Any] = {}
    seeds: tuple[int, ...] = (0,)
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
    if not names:
        yield 'experiments is empty; list at least one'
    for name, seeds in [(row.name, row.seeds) for row in experiments]:
        if names.count(name) > 1:
            yield f'two experiments are named {name}; give each its name'
        if not re.fullmatch(r'\w[\w.+-]*', name):
            yield f'an experiment is named {name!r}; use letters, digits and ".", "+", "-", "_"'
        if not seeds or len(set(seeds)) != len(seeds):
            yield f'seeds of {name} is {seeds}; give different integers, at least one'
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
        begun, wanted = (
            flattened(load_config(str(file), {}).to_dict()),
            flattened(self.config.to_dict()),
        )
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
    left = [run for run in runs if run.next_step()]
    named = {run.name: run for run in runs}
    busy, failures, ended = set(), {}, len(runs) - len(left)
    say(f'{ended} of {len(runs)} runs are complete already')
    for run in left:
        run.write_config()

    def heard(line: str) -> None:
        nonlocal ended
        name, _, event = line.partition(': ')
        ended += event in ('complete', 'FAILED')
        if event == 'busy':
            busy.add(name)
            line = f'{name}: somebody else works on it; waiting for that when the others are done'
        elif event == 'FAILED':
            failures[name] = named[name].failure()
        say(f'[{ended}/{len(runs)}] {line}')
        if event == 'complete':
            after_run()

    settings = dict(folder=runs[0].folder.parent, tools=tools, python=sys.executable)
    settings |= dict(gpus=gpus, partition=partition)
    for wait in ('-n', ''):
        if left:
            command = ['make', '-ks', f'-j{jobs}', '-f', str(tools / 'grid.mk')]
            _listen([*command, *(run.name for run in left)], heard, {**settings, 'wait': wait})
        left = [run for run in left if run.name in busy]
    return [failures.get(run.name) or run.failure() for run in runs if run.next_step()]


def _listen(
    command: Sequence[str], heard: Callable[[str], None], settings: Mapping[str, Any]
) -> None:
    """Run a command with settings in its environment, and hand on each line that it prints."""
    # Settings of a make around this process are not for this one.
    kept = {key: value for key, value in os.environ.items() if not key.startswith('MAKE')}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**kept, **{key: str(value) for key, value in settings.items()}},
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout:
                heard(line.rstrip('\n'))
        except BaseException:
            # Stopped, it takes along what it started.
            os.killpg(process.pid, signal.SIGTERM)
            raise


def write_report(grid: Grid, runs: Sequence[Run], folder: Path) -> str:
    """Write ``tables.json``, ``tables.md`` (given back) and ``tables.tex`` of what is complete."""
    report = _report(grid, runs)
    write_json(folder / 'tables.json', report)
    sections = list(_sections(grid, report))
    text = '\n'.join(map(_markdown, sections))
    for name, content in (('tables.md', text), ('tables.tex', '\n'.join(map(_latex, sections)))):
        with whole_file(folder / name) as temporary:
            temporary.write_text(content, 'utf-8')
    return text


def _report(grid: Grid, runs: Sequence[Run]) -> dict[str, Any]:
    """What ``tables.json`` holds."""
    values = {row.name: {} for row in grid.experiments}
    for run in runs:
        for key, value in run.metrics().items():
            values[run.experiment].setdefault(key, []).append(value)
    experiments = {}
    for row in grid.experiments:
        metrics = {}
        for key, numbers in values[row.name].items():
            metrics[key] = {**_summary(numbers), 'values': numbers}
            if row.name != grid.base and (base := values.get(grid.base, {}).get(key)):
                metrics[key]['minus_base'] = _summary(numbers, base)
        experiments[row.name] = {'seeds': list(row.seeds), 'metrics': metrics}
    tables = []
    for table in grid.tables:
        paper = {row: dict(zip(table.columns, n, strict=True)) for row, n in table.rows.items()}
        ours = {row: {} for row in table.rows}
        for row in grid.experiments:
            if row.row in ours and row.column:
                found = experiments[row.name]['metrics'].get(table.metric)
                ours[row.row].setdefault(row.column, found)
        tables.append({'title': table.title, 'metric': table.metric, 'paper': paper, 'ours': ours})
    return {
        'runs': {run.name: run.metrics() or None for run in runs},
        'experiments': experiments,
        'tables': tables,
    }


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


class _Section(NamedTuple):
    """A table: its title, the heads of its columns, its rows, and a line below it."""

    title: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str = ''


def _sections(grid: Grid, report: dict[str, Any]) -> Iterator[_Section]:
    """What is written about a grid."""
    for table, published in zip(report['tables'], grid.tables, strict=True):
        found = {column for row in table['ours'].values() for column in row}
        own = [row.column for row in grid.experiments if row.column in found]
        head, lines = [''], [[row] for row in table['paper']]
        for column in dict.fromkeys([*published.columns, *own]):
            if column in published.columns:
                head.append(f'{column}, paper')
                for line in lines:
                    line.append(f'{table["paper"][line[0]][column]:.3f}')
            if column in found:
                head.append(f'{column}, ours')
                for line in lines:
                    line.append(_cell(table['ours'][line[0]].get(column)))
        yield _Section(table['title'], head, lines)
    lines, differences = [], []
    for name, row in report['experiments'].items():
        complete = max((len(found['values']) for found in row['metrics'].values()), default=0)
        found = [row['metrics'].get(key, {}) for key in grid.metrics]
        lines.append([name, f'{complete}/{len(row["seeds"])}', *map(_cell, found)])
        if name != grid.base:
            differences.append([name, *(_cell(one.get('minus_base'), '+.3f') for one in found)])
    done = sum(map(bool, report['runs'].values()))
    title = f'All experiments: {done} of {len(report["runs"])} runs complete'
    yield _Section(title, ['experiment', 'seeds', *grid.metrics], lines)
    if grid.base:
        note = (
            'After "±": standard deviation, over the seeds, of one run minus one run of the base.'
        )
        head = ['experiment', *grid.metrics]
        yield _Section(f'Difference to {grid.base}', head, differences, note)


def _cell(summary: dict[str, Any] | None, form: str = '.3f') -> str:
    if not summary:
        return 'not run'
    text = f'{summary["mean"]:{form}}'
    return text if summary['spread'] is None else f'{text} ± {summary["spread"]:.3f}'


def _markdown(section: _Section) -> str:
    rows = [section.head, ['---'] * len(section.head), *section.lines]
    table = ''.join(f'| {" | ".join(row)} |\n' for row in rows)
    return f'## {section.title}\n\n{table}' + (f'\n{section.note}\n' if section.note else '')


_TEX = str.maketrans(
    {
        **{letter: f'\\{letter}' for letter in '#$%&_{}'},
        '<': '$<$',
        '>': '$>$',
        '±': '$\\pm$',
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
        '\\': r'\textbackslash{}',
    }
)


def _latex(section: _Section) -> str:
    """A float with a table in the style of the package booktabs."""

    def row(cells: Sequence[str]) -> str:
        return ' & '.join(cell.translate(_TEX) for cell in cells) + r' \\'

    return '\n'.join(
        [
            r'\begin{table}',
            r'\centering',
            rf'\caption{{{" ".join([section.title, section.note]).strip().translate(_TEX)}}}',
            rf'\begin{{tabular}}{{l{"r" * (len(section.head) - 1)}}}',
            r'\toprule',
            row(section.head),
            r'\midrule',
            *map(row, section.lines),
            r'\bottomrule',
            r'\end{tabular}',
            r'\end{table}',
            '',
        ]
    )
