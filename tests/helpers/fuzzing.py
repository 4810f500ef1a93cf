"""Damage files in thousands of ways and see what their loaders make of them.

Cases run in another process, with little memory, with a limit of CPU time, and watched for code
that a file must never start. So a crash or a hang is a result like any other::

    PYTHONPATH=tests python -m helpers.fuzzing --cases 20000 --seed 1
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .fuzz_mutations import BINARY, TEXT, inflate_mat, mutate_members
from .fuzz_targets import Target

CPU_SECONDS = 2.0
"""Longest that a case may compute; a sound one takes milliseconds."""

MEMORY_BYTES = 2**29
"""Memory that the cases may take beyond what the process takes without them."""

FORBIDDEN = ('pickle.find_class', 'os.system', 'os.exec', 'subprocess.Popen', 'socket.connect')
"""Audit events of code that a file of data never has to start."""

ACCEPTABLE = ('refused', 'unharmed', 'as the file says')


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        target: Key of ``TARGETS``.
        case: Number of the case; with the seed it gives the same damage again.
        kind: One of :data:`ACCEPTABLE`, or what went wrong.
        detail: File, damage and message.
    """

    target: str
    case: int
    kind: str
    detail: str


def damage(content: bytes, name: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """A damaged copy of a file, and how it was damaged."""
    suffix = Path(name).suffix
    mutations = TEXT if suffix in ('.txt', '.json', '.csv') else BINARY
    if suffix == '.npz' and rng.random() < 0.7:
        mutations = BINARY + TEXT  # what precedes the numbers of a member is text
        mutation = mutations[rng.integers(len(mutations))]
        return mutate_members(content, mutation, rng), f'{mutation.__name__} of a member'
    mutation = mutations[rng.integers(len(mutations))]
    if suffix == '.mat' and content.startswith(b'MATLAB 5') and rng.random() < 0.8:
        content = inflate_mat(content)
    return mutation(content, rng), mutation.__name__


def run_cases(
    cases: Iterable[tuple[str, int]],
    seed: int,
    folder: str | os.PathLike,
    table: str = 'helpers.fuzz_targets',
) -> Iterator[Outcome]:
    """The outcome of each case, in another process that is started anew where one ends it.

    Args:
        cases: Keys of ``TARGETS`` with numbers of cases.
        seed: Another seed is another campaign.
        folder: An empty one to work in.
        table: Module that holds ``TARGETS``.

    Raises:
        RuntimeError: The process failed otherwise, e.g. because a sound set is not read.
    """
    left = list(cases)
    worker_file, log_file = Path(folder) / 'cases.json', Path(folder) / 'log.txt'
    environment = dict(os.environ, OMP_NUM_THREADS='1', MMPS_INDEX_CACHE='off')
    while left:
        worker_file.write_text(json.dumps(dict(cases=left, seed=seed, table=table)))
        with (
            open(log_file, 'w') as log,
            subprocess.Popen(
                [sys.executable, '-m', 'helpers.fuzzing', '--worker', str(folder)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            ) as worker,
        ):
            for line in worker.stdout:
                yield Outcome(**json.loads(line))
                left.pop(0)
        if left and worker.returncode >= 0:
            raise RuntimeError(f'the fuzzing process failed: {log_file.read_text()}')
        if left:
            kind = 'hang' if worker.returncode == -signal.SIGPROF else 'crash'
            yield Outcome(*left.pop(0), kind, signal.Signals(-worker.returncode).name)


class _Worker:
    """Runs cases of one target in this process."""

    def __init__(self, name: str, target: Target, seed: int, folder: Path) -> None:
        self._name, self._target, self._seed = name, target, seed
        self._root = folder / name
        shutil.rmtree(self._root, ignore_errors=True)  # what a crash left is damaged
        self._root.mkdir()
        target.write(self._root)
        self._sound = {}
        for file, test_mode in target.files:
            loaded = target.load(self._root, test_mode)
            if loaded != target.oracle(self._root, test_mode):
                raise AssertionError(f'{name}: loader and oracle differ on the sound set')
            self._sound[file, test_mode] = (self._root / file).read_bytes(), loaded
        self._violations: list[str] = []
        sys.addaudithook(self._watch)

    def run(self, case: int) -> Outcome:
        """Damage one file, load its split, and put the file back."""
        rng = np.random.default_rng([self._seed, case, *self._name.encode()])
        file, test_mode = self._target.files[rng.integers(len(self._target.files))]
        content, loaded = self._sound[file, test_mode]
        changed, how = damage(content, file, rng)
        path = self._root / file
        path.write_bytes(changed)
        try:
            kind, message = self._judge(test_mode, loaded)
        finally:
            path.write_bytes(content)
        if self._violations:
            kind, message = 'code started', str(self._violations)
        return Outcome(self._name, case, kind, f'{how} of {file}: {message}'[:600])

    def _judge(self, test_mode: bool, sound: object) -> tuple[str, str]:
        self._violations.clear()
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        try:
            loaded = self._target.load(self._root, test_mode)
        except (ValueError, OSError) as error:
            if _took_memory(error):
                return 'memory', repr(error)
            if str(self._root) not in str(error):
                return 'message without the file', repr(error)
            return 'refused', str(error)
        except Exception as error:
            return 'wrong exception', repr(error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if loaded == sound:
            return 'unharmed', ''
        try:
            wanted = self._target.oracle(self._root, test_mode)
        except Exception as error:
            return 'only the loader reads it', repr(error)
        if loaded != wanted:
            return 'silently wrong', f'{_difference(loaded, wanted)}'
        return 'as the file says', ''

    def _unless_code_started(self, kind: str, message: str) -> tuple[str, str]:
        return ('code started', str(self._violations)) if self._violations else (kind, message)

    def _watch(self, event: str, arguments: tuple) -> None:
        if event in FORBIDDEN:
            self._violations.append(f'{event}{arguments}')


def _took_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _difference(loaded: object, wanted: object) -> str:
    if isinstance(loaded, dict) and isinstance(wanted, dict):
        keys = [key for key in {**loaded, **wanted} if loaded.get(key) != wanted.get(key)]
        return f'{keys[0]}: {_difference(loaded.get(keys[0]), wanted.get(keys[0]))}'
    if isinstance(loaded, list) and isinstance(wanted, list) and len(loaded) == len(wanted):
        return next(_difference(a, b) for a, b in zip(loaded, wanted, strict=True) if a != b)
    return f'{str(loaded)[:200]} instead of {str(wanted)[:200]}'


def _work(folder: Path) -> None:
    warnings.simplefilter('ignore')
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.loads((folder / 'cases.json').read_text())
    targets = importlib.import_module(task['table']).TARGETS
    workers = {
        name: _Worker(name, targets[name], task['seed'], folder)
        for name in dict.fromkeys(name for name, _ in task['cases'])
    }
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, case in task['cases']:
        print(json.dumps(vars(workers[name].run(case))), flush=True)


def main(argv: list[str] | None = None) -> None:
    from .fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description='Damage files and load them.')
    parser.add_argument('--cases', type=int, default=1000, help='number for each kind of data')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', choices=sorted(TARGETS), help='one kind of data')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.worker:
        _work(Path(arguments.worker))
        return
    for name in [arguments.only] if arguments.only else TARGETS:
        counts: Counter[str] = Counter()
        cases = [(name, case) for case in range(arguments.cases)]
        with tempfile.TemporaryDirectory() as folder:
            for outcome in run_cases(cases, arguments.seed, folder):
                counts[outcome.kind] += 1
                if outcome.kind not in ACCEPTABLE:
                    print(f'{name}, case {outcome.case}: {outcome.kind}: {outcome.detail}')
        print(f'{name}: ' + ', '.join(f'{kind} {n}' for kind, n in counts.most_common()))


if __name__ == '__main__':
    main()
