"""Does a training survive being killed? Kills it at random moments and compares bits.

Trains a config once undisturbed, and again while killing it with SIGKILL at random moments and
resuming it. At the end every checkpoint has to be equal, bit by bit: weights, look-up table, queue,
momenta, counters, logged losses. On a CPU it is; on a GPU, atomic operations may differ.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config, require_entries
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file

TRAIN = Path(__file__).parents[1] / 'train.py'

Aim = Literal['any moment', 'a checkpoint write', 'after a checkpoint']
AIMS: tuple[Aim, ...] = ('a checkpoint write', 'after a checkpoint', 'any moment', 'any moment')
"""Aims in turn. The second is mostly a validation, which follows the writing of a checkpoint."""

_NAP, _LONG_NAP = 0.0005, 0.02
_PARTIAL, _LOGS = '*.partial', '*/*.log'
_TIMES = ('time', 'memory', 'data_share')
"""What tells entries of mmengine's log that differ between runs."""
_OF_THE_RUN = ('cfg', 'experiment_name', 'eta', 'mmengine_version')
"""Entries of its runtime information that hold names, times, and the commit of the checkout."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = config_parser('Kill a training at random moments, resume it, and compare bits.')
    parser.add_argument('--work-dir', type=Path, required=True, help='a new folder')
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, help='of the moments (default: a new one, printed)')
    return parser.parse_args(argv)


class Training:
    """A process of ``tools/train.py``."""

    def __init__(self, config: Path, work_dir: Path) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, TRAIN, config, '--work-dir', work_dir, '--resume']
        with open(work_dir / 'output.log', 'ab') as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        self.pid = self._process.pid

    def status(self) -> int | None:
        return self._process.poll()


@dataclass(frozen=True)
class Kill:
    """A kill that took place.

    Attributes:
        aim: What it waited for.
        seconds: After the training was seen to have begun.
        checkpoint: The newest complete checkpoint that it left, or None.
        writing: Whether it left a partly written checkpoint.
    """

    aim: Aim
    seconds: float
    checkpoint: str | None
    writing: bool

    def __str__(self) -> str:
        torn = ', in the middle of a write' if self.writing else ''
        return f'aimed at {self.aim}: after {self.seconds:.2f} s, at {self.checkpoint}{torn}'


def kill_at_random(
    start: Callable[[], Training], work_dir: Path, period: float, aim: Aim, rng: random.Random
) -> Kill | int:
    """Start a training and kill it at a random moment.

    Args:
        start: Starts it, resuming what is there.
        work_dir: Where it writes.
        period: Seconds from one checkpoint to the next, about; a kill at any moment comes within
            two of them, so that on average every second attempt gets further.
        aim: What to wait for.
        rng: Source of the moment.

    Returns:
        The kill, or the exit status of a training that ended before.
    """
    for torn in work_dir.glob(_PARTIAL):
        torn.unlink()  # of an earlier kill, which would look like a write
    old_logs = set(work_dir.glob(_LOGS))
    process = start()
    while process.status() is None and not _began(work_dir, old_logs):
        time.sleep(_LONG_NAP)
    begun = time.monotonic()
    for _ in _until(aim, work_dir, period, rng):
        if process.status() is not None:
            break
        time.sleep(_NAP)
    seconds = time.monotonic() - begun
    if process.status() is None:
        os.kill(process.pid, signal.SIGKILL)
    while (status := process.status()) is None:
        time.sleep(_NAP)
    if status != -signal.SIGKILL:
        return status
    from mmps.utils.checkpoint import newest_checkpoint

    newest = newest_checkpoint(work_dir)
    return Kill(aim, seconds, newest and newest.name, any(work_dir.glob(_PARTIAL)))


def _began(work_dir: Path, old_logs: set[Path]) -> bool:
    """Whether a new log says that the train loop runs."""
    new = set(work_dir.glob(_LOGS)) - old_logs
    return any('Checkpoints will be saved to' in log.read_text(errors='replace') for log in new)


def _until(aim: Aim, work_dir: Path, period: float, rng: random.Random) -> Iterator[None]:
    """Yields until the moment has come."""
    if aim == 'any moment':
        yield from _pause(rng.uniform(0, 2 * period))
        return
    seen = set(work_dir.glob('*.pth'))
    if aim == 'a checkpoint write':
        # Too short for the watcher, the write is over when a new file is there.
        while not any(work_dir.glob(_PARTIAL)) and set(work_dir.glob('*.pth')) <= seen:
            yield
        return
    while set(work_dir.glob('*.pth')) <= seen:
        yield
    yield from _pause(rng.uniform(0, 0.5 * period))


def _pause(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


def train_with_kills(
    start: Callable[[Path], Training],
    folder: Path,
    final: str,
    period: float,
    kills: int,
    rng: random.Random,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Kill trainings until so many kills have taken place, and let the last one end.

    A training that ends before gives way to a new one, in the next work dir.

    Args:
        start: Starts a training in a work dir, resuming what is there.
        folder: Where the work dirs go.
        final: Name of the checkpoint that a finished training leaves.
        period: As for :func:`kill_at_random`.
        kills: How many.
        rng: Source of the moments.
        say: Told of every kill.

    Returns:
        The work dirs, each with a finished training.

    Raises:
        RuntimeError: A training failed.
    """
    work_dirs, done = [], 0
    while done < kills:
        work_dir = folder / f'killed_{len(work_dirs)}'
        work_dirs.append(work_dir)
        status: int | None = None
        while status is None:
            if done < kills:
                aim = AIMS[done % len(AIMS)]
                end = kill_at_random(partial(start, work_dir), work_dir, period, aim, rng)
            else:
                end = wait_for(start(work_dir))
            if isinstance(end, Kill):
                done += 1
                say(f'kill {done} of {kills}, {end}')
            else:
                status = end
        if status or not (work_dir / final).exists():
            raise RuntimeError(f'{work_dir}: training ended with exit status {status}')
    return work_dirs


def wait_for(process: Training) -> int:
    """Its exit status."""
    while (status := process.status()) is None:
        time.sleep(_LONG_NAP)
    return status


def differences(first: Path, second: Path) -> list[str]:
    """What differs between two finished trainings: checkpoint files, and entries of each of them.

    Everything in a checkpoint is compared bit by bit (weights, look-up table, queue, momenta,
    schedulers, counters, logged losses), but for what tells time, memory or place.

    Args:
        first: Work dir of one.
        second: Work dir of the other.

    Returns:
        Names of files and entries; none if the trainings are equal.
    """
    names = [{path.name for path in folder.glob('*.pth')} for folder in (first, second)]
    found = sorted(names[0] ^ names[1])
    for name in sorted(names[0] & names[1]):
        one, two = (_entries(_load(folder / name)) for folder in (first, second))
        found += [
            f'{name}: {key}'
            for key in sorted(one.keys() | two.keys())
            if key not in one or key not in two or not _same(one[key], two[key])
        ]
    return found


def _load(path: Path) -> dict[str, Any]:
    from mmps.utils.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(path)
    hub, meta = checkpoint.pop('message_hub'), checkpoint.pop('meta')
    runtime = {
        key: Path(value).name if key.endswith('_ckpt') else value
        for key, value in hub['runtime_info'].items()
        if key not in _OF_THE_RUN
    }
    logged = {
        name: (buffer.data if hasattr(buffer, 'data') else buffer)
        for name, buffer in hub['log_scalars'].items()
        if not any(word in name for word in _TIMES)
    }
    counters = {key: meta[key] for key in ('epoch', 'iter', 'seed')}
    return {**checkpoint, 'runtime': runtime, 'logged': logged, 'counters': counters}


def _entries(value: Any, name: str = '') -> dict[str, Any]:
    """Leaves of nested containers by dotted name."""
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {name: value}
    return {k: v for key, inner in items for k, v in _entries(inner, f'{name}.{key}').items()}


def _same(one: Any, two: Any) -> bool:
    import torch

    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and _bits(one.numpy()) == _bits(two.numpy())
    if isinstance(one, np.ndarray):
        return isinstance(two, np.ndarray) and _bits(one) == _bits(two)
    return type(one) is type(two) and repr(one) == repr(two)


def _bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('train_cfg',))
    if config.train_cfg.get('max_epochs', 0) < 2:
        raise UserError(f'{arguments.config}: train_cfg.max_epochs has to be at least 2')
    if arguments.work_dir.exists():
        raise UserError(f'--work-dir: {arguments.work_dir} exists already; give a new folder')
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed

    with whole_file(arguments.work_dir / 'config.py') as temporary:
        temporary.write_text(config.pretty_text)
    start = partial(Training, arguments.work_dir / 'config.py')
    undisturbed = arguments.work_dir / 'undisturbed'
    status = wait_for(start(undisturbed))
    if status:
        raise UserError(f'the training itself fails: {undisturbed}/output.log')
    epochs = sorted(path.stat().st_mtime for path in undisturbed.glob('epoch_*.pth'))
    period = epochs[-1] - epochs[-2]
    print(f'undisturbed training: done, {period:.2f} s per epoch; seed {seed}', flush=True)
    final = f'epoch_{config.train_cfg.max_epochs}.pth'
    killed = train_with_kills(
        start,
        arguments.work_dir,
        final,
        period,
        arguments.kills,
        random.Random(seed),
        say=partial(print, flush=True),
    )
    different = {str(folder): differences(undisturbed, folder) for folder in killed}
    for folder, names in different.items():
        print(f'{folder}: {"equal" if not names else "DIFFERENT: " + ", ".join(names[:10])}')
    if any(different.values()):
        raise UserError(f'not equal after kills (seed {seed}): {", ".join(different)}')
    print(f'{arguments.kills} kills, {len(killed)} trainings: bit by bit the undisturbed one')


if __name__ == '__main__':
    run_tool(main)
