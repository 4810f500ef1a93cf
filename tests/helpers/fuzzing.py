"""Damage files in thousands of ways and see what their loaders make of them.

Run in a process of its own, with little memory, a limit of CPU time, and watched for code that a
file must never start. What ends the process is a result as well: the last case that it names::

    PYTHONPATH=tests MMPS_INDEX_CACHE=off python -m helpers.fuzzing --cases 20000 --seed 1
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from .fuzz_mutations import BINARY, TEXT, inflate_mat, mutate_members
from .fuzz_targets import TARGETS, Target

CPU_SECONDS = 2.0
"""Longest that a case may compute; a sound one takes milliseconds."""

MEMORY_BYTES = 2**29
"""Memory that the cases may take beyond what the process takes without them."""

FORBIDDEN = ('pickle.find_class', 'os.system', 'os.exec', 'subprocess.Popen', 'socket.connect')
"""Audit events of code that a file of data never has to start."""

ACCEPTABLE = ('refused', 'unharmed', 'as the file says')


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


def judge(target: Target, root: Path, test_mode: bool, sound: object) -> tuple[str, str]:
    """What became of a set of which one file is damaged, and details."""
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # ends the process
    try:
        loaded = target.load(root, test_mode)
    except (ValueError, OSError) as error:
        if _took_memory(error):
            return 'memory', repr(error)
        if str(root) not in str(error):
            return 'message without the file', repr(error)
        return 'refused', str(error)
    except Exception as error:
        return 'wrong exception', repr(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if loaded == sound:
        return 'unharmed', ''
    try:
        wanted = target.oracle(root, test_mode)
    except Exception as error:
        return 'only the loader reads it', repr(error)
    if loaded != wanted:
        return 'silently wrong', f'{str(loaded)[:2000]} instead of {str(wanted)[:2000]}'
    return 'as the file says', ''


def _took_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def run_target(name: str, target: Target, cases: int, seed: int, root: Path) -> Counter[str]:
    """Damage one file after the other; how often each happened."""
    target.write(root)
    sound = {}
    for file, test_mode in target.files:
        loaded = target.load(root, test_mode)
        assert loaded == target.oracle(root, test_mode), f'{name}: oracle and loader of sound files'
        sound[file, test_mode] = (root / file).read_bytes(), loaded
    started: list[str] = []
    sys.addaudithook(lambda event, _: started.append(event) if event in FORBIDDEN else None)
    counts: Counter[str] = Counter()
    for case in range(cases):
        rng = np.random.default_rng([seed, case, *name.encode()])
        file, test_mode = target.files[rng.integers(len(target.files))]
        content, loaded = sound[file, test_mode]
        changed, how = damage(content, file, rng)
        (root / file).write_bytes(changed)
        print(f'{name}, case {case}: {how} of {file}', flush=True)
        kind, detail = judge(target, root, test_mode, loaded)
        (root / file).write_bytes(content)
        if started:
            kind, detail = 'code started', started.pop()
        counts[kind] += 1
        if kind not in ACCEPTABLE:
            print(f'  {kind}: {detail}')
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description='Damage files and load them.')
    parser.add_argument('--cases', type=int, default=1000, help='number for each kind of data')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, target in TARGETS.items():
        with tempfile.TemporaryDirectory() as folder:
            counts = run_target(name, target, arguments.cases, arguments.seed, Path(folder))
        print(f'{name}: ' + ', '.join(f'{kind} {n}' for kind, n in counts.most_common()))
        if set(counts) - set(ACCEPTABLE) or counts['refused'] <= arguments.cases / 4:
            sys.exit(f'{name}: see above')


if __name__ == '__main__':
    main()
