"""One measured number, and how a list of them is reported."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmps.utils.files import write_json


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


def best_time(function: Callable[[], Any], repeats: int) -> float:
    """Least wall-clock seconds of ``repeats`` calls: other processes only ever add time."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_memory() -> float:
    """Largest resident size of this process so far, in MiB."""
    status = Path('/proc/self/status')
    if status.is_file():  # getrusage would count what the process that started this one held
        (line,) = (line for line in status.read_text().splitlines() if line.startswith('VmHWM'))
        return int(line.split()[1]) / 2**10
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def machine() -> dict[str, Any]:
    """Where and when a measurement was made."""
    cpu = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        models = [line for line in info.read_text().splitlines() if line.startswith('model name')]
        cpu = models[0].partition(':')[2].strip() if models else cpu
    return {
        'date': datetime.now(timezone.utc).isoformat(timespec='seconds'),
        'cpu': cpu,
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else None,
        'python': platform.python_version(),
    }


def print_measurements(measurements: list[Measurement]) -> None:
    """Print one line per number, then a table with one line per stage."""
    whole = [m for m in measurements if not m.stage]
    width = max((len(m.name) for m in whole), default=0)
    for m in whole:
        print(f'{m.name:<{width}}  {m.value:>12.4g} {m.unit}')
    stages = {m.stage: {} for m in measurements if m.stage}
    for m in measurements:
        if m.stage:
            stages[m.stage][f'{m.name}, {m.unit}'] = m.value
    columns = list(dict.fromkeys(column for row in stages.values() for column in row))
    if not stages:
        return
    width = max(map(len, stages))
    print(f'\n{"":<{width}}', *(f'  {column}' for column in columns), sep='')
    for stage, row in stages.items():
        cells = (f'  {row[c]:>{len(c)}.3g}' if c in row else f'  {"-":>{len(c)}}' for c in columns)
        print(f'{stage:<{width}}', *cells, sep='')


def write_measurements(path: str, command: str, measurements: list[Measurement]) -> None:
    """Write the numbers as JSON, together with the command and the machine."""
    content = {
        'command': command,
        'machine': machine(),
        'measurements': [asdict(m) for m in measurements],
    }
    write_json(path, content)
