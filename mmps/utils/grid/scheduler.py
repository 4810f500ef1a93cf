"""Works through runs: a few at once, each step by step, the rest in spite of failures."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .launcher import Launcher
from .lock import RunLock
from .progress import Progress
from .run import Run, Step

POLL_SECONDS = 0.2
TERMINATE_SECONDS = 30


@dataclass(frozen=True)
class Failure:
    """A command that did not do its work.

    Attributes:
        run: Whose.
        step: Which.
        reason: The last line that it printed, or what is wrong otherwise.
    """

    run: Run
    step: Step
    reason: str

    def __str__(self) -> str:
        return f'{self.run.name}: {self.step}: {self.reason} (log: {self.run.log(self.step)})'


class ActiveRun:
    """A run that this process holds the lock of, and the command that works on it."""

    def __init__(self, run: Run, lock: RunLock, launcher: Launcher) -> None:
        self.run = run
        self._lock = lock
        self._launcher = launcher
        self.step: Step | None = None
        self.started = time.monotonic()
        run.write_config()

    def advance(self) -> Failure | bool:
        """Start the next command if none is running.

        Returns:
            Whether there is more to do, or the failure that ended it.
        """
        if self.step is not None:
            status = self._process.poll()
            if status is None:
                return True
            if status:
                return Failure(self.run, self.step, self._last_words(status))
        step = self.run.next_step()
        if step is None:
            return False
        if step == self.step:
            return Failure(self.run, step, 'ended without an error and without its result')
        self.step = step
        self._start(self._launcher.command(self.run, step))
        return True

    def _start(self, command: list[str]) -> None:
        path = self.run.log(self.step)
        self.log_start = path.stat().st_size if path.exists() else 0
        with open(path, 'ab') as log:
            log.write(f'$ {shlex.join(command)}\n'.encode())
            log.flush()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={'PYTHON': sys.executable, **os.environ},
                # As long as the command lives, so does the lock, even when this process is killed.
                pass_fds=[self._lock.descriptor],
            )
        self._lock.describe(f'process {self._process.pid} ({self.step})')

    def _last_words(self, status: int) -> str:
        with open(self.run.log(self.step), 'rb') as log:
            log.seek(self.log_start)
            lines = log.read().decode(errors='replace').splitlines()[1:]
        said = [line for line in lines if line.strip()]
        errors = [line for line in said if line.startswith('error: ')]
        how = f'killed by signal {-status}' if status < 0 else f'exit status {status}'
        return f'{how}: {(errors or said)[-1].strip()}' if said else how

    def close(self) -> None:
        """End the command if it is still running, and let go of the run."""
        if self.step is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._lock.release()


def work_through(
    runs: Sequence[Run],
    launcher: Launcher,
    *,
    at_once: int = 1,
    say: Callable[[str], None] = print,
    after_run: Callable[[], None] = lambda: None,
) -> list[Failure]:
    """Complete runs. Ones that another process works on are left to it, and seen to at the end.

    Args:
        runs: What to complete, in this order.
        launcher: How to start commands.
        at_once: How many runs to work on at the same time.
        say: Told of every event and, now and then, how far things are.
        after_run: Called when a run is complete.

    Returns:
        What failed; the other runs are complete.
    """
    waiting, active, failures = deque(runs), [], []
    progress = Progress(len(runs), say)
    try:
        while waiting or active:
            for run in _take_turns(waiting, at_once - len(active), progress):
                active.append(ActiveRun(*run, launcher))
            for item in list(active):
                step, result = item.step, item.advance()
                if result is True:
                    if item.step != step:
                        progress.started(item)
                    continue
                active.remove(item)
                item.close()
                if result is not False:
                    progress.failed(result)
                    failures.append(result)
                elif item.step is None:  # somebody else had just completed it
                    progress.skipped(item.run)
                else:
                    progress.completed(item)
                    after_run()
            progress.report(active, len(waiting))
            if active or waiting:
                time.sleep(POLL_SECONDS)
    finally:
        for item in active:
            item.close()
    return failures


def _take_turns(
    waiting: deque[Run], room: int, progress: Progress
) -> Iterator[tuple[Run, RunLock]]:
    """Take runs off the front that have something to do and nobody who does it; others go back."""
    for _ in range(len(waiting)):
        if room <= 0:
            return
        run = waiting.popleft()
        if run.next_step() is None:
            progress.skipped(run)
        elif lock := RunLock.take(run.folder):
            room -= 1
            yield run, lock
        else:
            progress.busy(run, RunLock.holder(run.folder))
            waiting.append(run)
