"""Peak memory and time of a training step for every combination of settings, as a table.

Each combination runs in a process of its own, whose memory is then its own too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import mmps
from mmps.benchmark import networks
from mmps.benchmark.measurement import Measurement
from mmps.utils.errors import UserError

TOOL = Path(mmps.__file__).parents[1] / 'tools/analysis_tools/benchmark.py'
_KILLED = -9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand; several values of an option are tried in turn."""
    networks.add_run_arguments(parser)
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 2, 4], help='batch sizes')
    parser.add_argument(
        '--amp', nargs='+', default=['no'], choices=('no', 'float16', 'bfloat16'), help='precision'
    )
    parser.add_argument(
        '--with-cp', nargs='+', default=['no'], choices=('no', 'yes'), help='checkpointing'
    )
    parser.add_argument('--accumulate', type=int, nargs='+', default=[1], metavar='N')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='for all combinations'
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure, and print a row of the table as soon as it is known."""
    print('| batch | amp | with_cp | accumulate | peak memory, MiB | step, s | image, s |')
    print('|---|---|---|---|---|---|---|', flush=True)
    measured = []
    for batch, amp, with_cp, accumulate in itertools.product(
        arguments.batches, arguments.amp, arguments.with_cp, arguments.accumulate
    ):
        options = [f'--batch={batch}', f'--accumulate={accumulate}']
        options += [] if amp == 'no' else [f'--amp={amp}']
        options += ['--with-cp'] if with_cp == 'yes' else []
        row = f'| {batch} | {amp} | {with_cp} | {accumulate} |'
        numbers = _measure(arguments, options)
        if numbers is None:
            print(f'{row} out of memory | - | - |', flush=True)
            continue
        memory, seconds = numbers['peak memory'], numbers['time per image']
        step = seconds * batch * accumulate
        print(f'{row} {memory:.0f} | {step:.3g} | {seconds:.3g} |', flush=True)
        name = ' '.join(options)
        measured.append(Measurement(f'{name}: peak memory', memory, 'MiB'))
        measured.append(Measurement(f'{name}: time per step', step, 's'))
    if not measured:
        raise UserError('no combination fits into memory; try --batches 1 and --with-cp yes')
    return measured


def _measure(arguments: argparse.Namespace, options: Sequence[str]) -> dict[str, float] | None:
    """What ``benchmark.py train`` measures, by name; None where memory did not suffice."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'numbers.json'
        command = [sys.executable, str(TOOL), 'train', arguments.config, f'--out={out}']
        command += [*options, *_shared(arguments)]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode == 0:
            content = json.loads(out.read_text())
            return {m['name']: m['value'] for m in content['measurements']}
    if result.returncode == _KILLED or 'OutOfMemoryError' in result.stderr:
        return None
    raise UserError(f'{" ".join(command)}: {result.stderr.strip()[-2000:]}')


def _shared(arguments: argparse.Namespace) -> Iterator[str]:
    for name in ('size', 'repeats', 'device'):
        yield f'--{name}={getattr(arguments, name)}'
    if arguments.cfg_options:
        yield from ('--cfg-options', *arguments.cfg_options)
