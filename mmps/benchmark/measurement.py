"""Measured numbers: what they have in common to take them, and how they are reported."""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from mmps.cli.common import add_config_options
from mmps.utils.collect_env import cpu_name
from mmps.utils.files import write_json
from mmps.utils.threads import usable_cores

_OPTIONS: dict[str, dict[str, Any]] = {
    'config': {},
    'checkpoint': dict(help='weights of the model'),
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
        stage: The row of the table that it belongs to; empty: none.
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


def in_turn(
    tasks: Mapping[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds of each task in each of so many rounds, after one that only warms up.

    They take turns, so that all meet the same disturbances, each time in another order: a task is
    slower or faster by some per cent after another one.
    """
    generator, names = np.random.default_rng(0), list(tasks)
    seconds = {name: np.empty(rounds) for name in names}
    for task in tasks.values():
        task()
    for number in range(rounds):
        for place in generator.permutation(len(names)):
            name = names[place]
            seconds[name][number] = seconds_of(tasks[name], clock)
    return seconds


def compared(
    seconds: Mapping[str, np.ndarray], base: str, images: int = 1, when: str = ''
) -> list[Measurement]:
    """Seconds per image, and how many times as fast as ``base`` each is.

    Ratios are taken round by round: what else a machine does changes from minute to minute.
    """
    measured = []
    for name, own in seconds.items():
        ratios = seconds[base] / own
        stage = name + when
        measured += [
            Measurement('per image', float(np.median(own)) / images, 's', stage),
            Measurement('as fast', float(np.median(ratios)), 'times', stage),
            Measurement('least', float(ratios.min()), 'times', stage),
            Measurement('most', float(ratios.max()), 'times', stage),
        ]
    return measured


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process that has done nothing before: memory is its own."""
    with ProcessPoolExecutor(1, get_context('spawn')) as process:
        return process.submit(function, *arguments).result()


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
