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
        '--list', action='store_true', help='show what is to be done for each run, and do nothing'
    )
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


def show(runs: list, launcher) -> None:
    """Print the next command of each run."""
    for run in runs:
        step = run.next_step()
        print(f'{run.name}: {step or "complete"}')
        if step:
            print(f'    {shlex.join(launcher.command(run, step))}')


def prepare(grid, folder: Path, launcher) -> None:
    """Run the commands that the grid asks for, one process at a time."""
    from mmps.utils.grid.lock import RunLock

    if not grid.prepare:
        return
    lock = RunLock.take(folder)
    if lock is None:
        raise UserError(f'{folder}: {RunLock.holder(folder)} is still preparing; start again later')
    for script, *arguments in grid.prepare:
        command = launcher.tool(script, *arguments)
        print(f'$ {shlex.join(command)}', flush=True)
        status = subprocess.run(command, pass_fds=[lock.descriptor]).returncode
        if status:
            raise UserError(f'{shlex.join(command)} ended with exit status {status}')
    lock.release()


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)

    from mmps.utils.grid import Launcher, load_grid, make_runs, work_through, write_report

    grid = load_grid(arguments.config)
    folder = arguments.work_dir or Path('work_dirs/grids') / Path(arguments.config).stem
    runs = make_runs(grid, folder, arguments.cfg_options)
    selected = select(runs, arguments.only)
    launcher = Launcher(TOOLS, arguments.gpus, arguments.slurm)
    if arguments.list:
        show(selected, launcher)
        return
    # Terminated, it takes what it started along.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    prepare(grid, folder, launcher)
    failures = work_through(
        selected,
        launcher,
        at_once=len(selected) if arguments.slurm else 1,
        say=partial(print, flush=True),
        after_run=partial(write_report, grid, runs, folder),
    )
    print(f'\n{write_report(grid, runs, folder)}\n{folder}/tables.md, {folder}/tables.json')
    if failures:
        lines = '\n  '.join(map(str, failures))
        raise UserError(f'{len(failures)} of {len(selected)} runs failed:\n  {lines}')


if __name__ == '__main__':
    run_tool(main, needs_mmdet=False)
