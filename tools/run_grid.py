"""Train and test a list of configs, and write their results as tables.

``python tools/run_grid.py configs/grids/paper_tables.py`` works through the runs of the grid. It
can be stopped or killed at any moment; the same command goes on where it stopped. Started several
times, e.g. once per GPU, each takes runs that no other is at.
"""

import argparse
import re
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.errors import UserError

TOOLS = Path(__file__).parent


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Train and test a list of configs, and write their results as tables.')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/grids/NAME_OF_THE_GRID')
    parser.add_argument('--only', metavar='PATTERN', help='only runs whose name matches this regex')
    parser.add_argument(
        '--list', action='store_true', help='show how far each run is, and do nothing'
    )
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time (default: 1)')
    where = parser.add_mutually_exclusive_group()
    where.add_argument('--gpus', type=int, default=1, help='GPUs per run on this machine')
    where.add_argument(
        '--slurm',
        metavar='PARTITION',
        help='all runs at once as jobs on a Slurm cluster, started as by tools/slurm_train.sh, '
        'whose environment variables hold',
    )
    return parser.parse_args(argv)


def select(runs: list, pattern: str | None) -> list:
    """The runs whose names match."""
    try:
        selected = [run for run in runs if not pattern or re.search(pattern, run.name)]
    except re.error as error:
        raise UserError(f'--only: {pattern!r} is no regular expression: {error}') from error
    if not selected:
        names = ', '.join(run.name for run in runs)
        raise UserError(f'--only: no run matches {pattern!r}; there are {names}')
    return selected


def prepare(grid, folder: Path) -> None:
    """Run the commands that the grid asks for; processes that start together take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    for script, *arguments in grid.prepare:
        command = [sys.executable, str(TOOLS / script), *map(str, arguments)]
        print(f'$ {shlex.join(command)}', flush=True)
        status = subprocess.run(['flock', str(folder / 'lock'), *command]).returncode
        if status:
            raise UserError(f'{shlex.join(command)} ended with exit status {status}')


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    from mmps.cli.grid import load_grid, make_runs, work_through, write_report

    grid = load_grid(arguments.config)
    folder = arguments.work_dir or Path('work_dirs/grids') / Path(arguments.config).stem
    runs = make_runs(grid, folder, arguments.cfg_options)
    selected = select(runs, arguments.only)
    if arguments.list:
        for run in selected:
            print(f'{run.name}: {run.state()}')
        return
    # Terminated, it takes what it started along.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    prepare(grid, folder)
    failures = work_through(
        selected,
        TOOLS,
        jobs=len(selected) if arguments.slurm else arguments.jobs,
        gpus=arguments.gpus,
        partition=arguments.slurm or '',
        say=partial(print, flush=True),
        after_run=partial(write_report, grid, runs, folder),
    )
    print(f'\n{write_report(grid, runs, folder)}\n{folder}/tables.md, tables.tex, tables.json')
    if failures:
        lines = '\n  '.join(failures)
        raise UserError(f'{len(failures)} of {len(selected)} runs failed:\n  {lines}')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
