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
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmps.cli.common import config_parser, run_tool
from mmps.cli.grid import flattened
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


def training(config: Path, work_dir: Path) -> subprocess.Popen:
    """A process of ``tools/train.py``, which resumes what is there."""
    work_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, TRAIN, config, '--work-dir', work_dir, '--resume']
    with open(work_dir / 'output.log', 'ab') as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )


def kill_at_random(
    start: Callable[[], subprocess.Popen],
    work_dir: Path,
    period: float,
    aim: Aim,
    rng: random.Random,
) -> str | int:
    """Start a training, resuming what is there, and kill it at a random moment.

    ``period`` is the seconds from one checkpoint to the next, about; a kill at any moment comes
    within two of them, so that on average every second attempt gets further.

    Gives what the kill hit, in words, or the exit status of a training that ended before.
    """
    for torn in work_dir.glob(_PARTIAL):
        torn.unlink()  # of an earlier kill, which would look like a write
    old_logs = set(work_dir.glob(_LOGS))
    process = start()
    while process.poll() is None and not _began(work_dir, old_logs):
        time.sleep(_LONG_NAP)
    begun = time.monotonic()
    for _ in _until(aim, work_dir, period, rng):
        if process.poll() is not None:
            break
        time.sleep(_NAP)
    seconds = time.monotonic() - begun
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    if (status := process.wait()) != -signal.SIGKILL:
        return status
    from mmps.utils.checkpoint import newest_checkpoint

    newest = newest_checkpoint(work_dir)
    torn = ', in the middle of a write' if any(work_dir.glob(_PARTIAL)) else ''
    return f'aimed at {aim}: after {seconds:.2f} s, at {newest and newest.name}{torn}'


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
    start: Callable[[Path], subprocess.Popen],
    folder: Path,
    final: str,
    period: float,
    kills: int,
    rng: random.Random,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Kill trainings until so many kills have taken place, and let the last one end.

    A training that ends before, leaving the checkpoint ``final``, gives way to a new one, in the
    next work dir. Gives the work dirs, each with a finished training.

    Raises:
        RuntimeError: A training failed.
    """
    work_dirs, done = [], 0
    while done < kills:
        work_dir = folder / f'killed_{len(work_dirs)}'
        work_dirs.append(work_dir)
        end: str | int = ''
        while isinstance(end, str):
            if done < kills:
                aim = AIMS[done % len(AIMS)]
                end = kill_at_random(partial(start, work_dir), work_dir, period, aim, rng)
            else:
                end = start(work_dir).wait()
            if isinstance(end, str):
                done += 1
                say(f'kill {done} of {kills}, {end}')
        if end or not (work_dir / final).exists():
            raise RuntimeError(f'{work_dir}: training ended with exit status {end}')
    return work_dirs


def differences(first: Path, second: Path) -> list[str]:
    """Names of what differs between two finished trainings: checkpoint files, and their entries.

    Everything in a checkpoint is compared bit by bit (weights, look-up table, queue, momenta,
    schedulers, counters, logged losses), but for what tells time, memory or place.
    """
    names = [{path.name for path in folder.glob('*.pth')} for folder in (first, second)]
    found = sorted(names[0] ^ names[1])
    for name in sorted(names[0] & names[1]):
        one, two = (flattened(_load(folder / name)) for folder in (first, second))
        found += [
            f'{name}: {key}'
            for key in sorted(one.keys() | two.keys())
            if key not in one or key not in two or _bits(one[key]) != _bits(two[key])
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


def _bits(value: Any) -> tuple:
    import torch

    array = value.numpy() if isinstance(value, torch.Tensor) else value
    if isinstance(array, np.ndarray):
        return type(value), array.dtype, array.shape, array.tobytes()
    return type(value), repr(value)


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
    start = partial(training, arguments.work_dir / 'config.py')
    undisturbed = arguments.work_dir / 'undisturbed'
    if start(undisturbed).wait():
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
