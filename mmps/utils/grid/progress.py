"""What the person in front of the terminal sees of the work."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run
    from .scheduler import ActiveRun, Failure

REPORT_SECONDS = 60
_TAIL_BYTES = 4096
# "Epoch(train) [2][ 50/600]  lr: 1.0e-03  eta: 1 day, 2:03:04  time: ..."
_PLACE = re.compile(r'(?:Epoch|Iter)\((?:train|val|test)\)\s+(?:\[[^\]]*\])+')
_ETA = re.compile(r'eta: (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)')


def training_place(log: Path) -> tuple[str, float | None]:
    """Where a training is, in mmengine's words, and how many seconds it expects to take further."""
    with open(log, 'rb') as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - _TAIL_BYTES, 0))
        tail = file.read().decode(errors='replace')
    tail = tail.rpartition('$ ')[2]  # of the present command, not of one before it
    places, etas = _PLACE.findall(tail), _ETA.findall(tail)
    seconds = None
    if etas:
        days, hours, minutes, rest = (int(part or 0) for part in etas[-1])
        seconds = 86400 * days + 3600 * hours + 60 * minutes + rest
    return (places[-1] if places else 'starting'), seconds


class Progress:
    """Counts runs, and estimates how long the rest will take from those that it saw.

    Args:
        total: Number of runs.
        say: Gets each line.
    """

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._ended = 0
        self._durations: list[float] = []
        self._told_busy: set[str] = set()
        self._reported = time.monotonic()

    def _line(self, run: Run, event: str) -> None:
        self._say(f'[{self._ended}/{self._total}] {run.name}: {event}')

    def skipped(self, run: Run) -> None:
        """The run was complete before."""
        self._ended += 1
        self._line(run, 'complete already')

    def busy(self, run: Run, holder: str) -> None:
        """Somebody else works on the run."""
        if run.name not in self._told_busy:
            self._told_busy.add(run.name)
            self._line(run, f'{holder} works on it; waiting for that when the others are done')

    def started(self, item: ActiveRun) -> None:
        """A command of the run was started."""
        self._line(item.run, f'{item.step}, log in {item.run.log(item.step)}')

    def completed(self, item: ActiveRun) -> None:
        """The run has its metrics."""
        self._ended += 1
        seconds = time.monotonic() - item.started
        self._durations.append(seconds)
        self._line(item.run, f'complete after {_duration(seconds)}')

    def failed(self, failure: Failure) -> None:
        """A command of the run failed."""
        self._ended += 1
        self._line(failure.run, f'FAILED: {failure.step}: {failure.reason}')

    def report(self, active: Sequence[ActiveRun], waiting: int) -> None:
        """Once a minute: where each active run is, how many are left and for how long."""
        now = time.monotonic()
        if not active or now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        expected = []
        for item in active:
            place, left = item.step, None
            if item.step == 'train':
                place, left = training_place(item.run.log('train'))
                place += f', {_duration(left)} of training left' if left is not None else ''
            self._line(item.run, place)
            if left is not None:
                expected.append((left, now - item.started + left))
        line = f'[{self._ended}/{self._total}] {waiting} more waiting'
        per_run = self._durations or [whole for _, whole in expected]
        if per_run:
            rounds = waiting / len(active)
            rest = max((left for left, _ in expected), default=0)
            line += f', all done in about {_duration(rest + rounds * _mean(per_run))}'
        self._say(line)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
