"""Measured numbers: what they have in common to take them, and how they are reported."""

import argparse
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmps.cli.common import add_config_options
from mmps.utils.collect_env import cpu_name
from mmps.utils.files import write_json
from mmps.utils.threads import usable_cores

_OPTIONS: dict[str, dict[str, Any]] = {
    'config': {},
    '--size': dict(default='1500x900', help='width x height of the images'),
    '--batch': dict(type=int, default=1, help='images per batch'),
    '--device': dict(default='cpu'),
    '--repeats': dict(type=int, default=3, help='best of this many runs (default: %(default)s)'),
    '--amp': dict(choices=('float16', 'bfloat16'), help='mixed precision'),
}
"""Options that several subcommands have."""


@dataclass(frozen=True)
class Measurement:
    """A number with its unit.

    Attributes:
        name: What was measured.
        value: The number.
        unit: Its unit, e.g. ``s``.
        stage: The part of the whole that it is about; empty: the whole.
    """

    name: str
    value: float
    unit: str
    stage: str = ''


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add some of the options that several subcommands have, ``--cfg-options`` with a config."""
    for name in names:
        parser.add_argument(name, **_OPTIONS[name])
    if 'config' in names:
        add_config_options(parser)


def seconds_of(
    function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of a call, by default on the wall clock."""
    start = clock()
    function()
    return clock() - start


def best_time(function: Callable[[], Any], repeats: int) -> float:
    """Least wall-clock seconds of ``repeats`` calls: other processes only ever add time."""
    return min(seconds_of(function) for _ in range(repeats))


def peak_memory() -> float:
    """Largest resident size of this process so far, in MiB."""
    status = Path('/proc/self/status')
    if status.is_file():  # getrusage would count what the process that started this one held
        (line,) = (line for line in status.read_text().splitlines() if line.startswith('VmHWM'))
        return int(line.split()[1]) / 2**10
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def print_measurements(measurements: list[Measurement]) -> None:
    """Print one line per number, then a table with one line per stage."""
    import pandas as pd

    whole = [m for m in measurements if not m.stage]
    width = max((len(m.name) for m in whole), default=0)
    for m in whole:
        print(f'{m.name:<{width}}  {m.value:>12.4g} {m.unit}')
    stages: dict[str, dict[str, float]] = {}
    for m in measurements:
        if m.stage:
            stages.setdefault(m.stage, {})[f'{m.name}, {m.unit}'] = m.value
    if stages:
        table = pd.DataFrame.from_dict(stages, orient='index')
        print(f'\n{table.to_string(na_rep="-", float_format="{:.3g}".format)}')


def write_measurements(path: str, command: str, measurements: list[Measurement]) -> None:
    """Write the numbers as JSON, together with the command and the machine."""
    machine = {
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'cpu': cpu_name(),
        'cores': usable_cores(),
        'python': platform.python_version(),
    }
    rows = [asdict(m) for m in measurements]
    write_json(path, dict(command=command, machine=machine, measurements=rows))
