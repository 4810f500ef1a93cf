"""Does a training survive being killed? Kills it at random moments and compares bits.

Trains a config once undisturbed, and again while killing it with SIGKILL at random moments and
resuming it. At the end every checkpoint has to be equal, bit by bit: weights, look-up table, queue,
momenta, counters, logged losses. On a CPU it is; on a GPU, atomic operations may differ.
"""

import argparse
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

from mmps.cli.common import config_parser, run_tool
from mmps.utils.config import load_config, require_entries
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file

TRAIN = Path(__file__).parents[1] / 'train.py'


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


def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    config = load_config(arguments.config, arguments.cfg_options)
    require_entries(config, arguments.config, ('train_cfg',))
    if config.train_cfg.get('max_epochs', 0) < 2:
        raise UserError(f'{arguments.config}: train_cfg.max_epochs has to be at least 2')
    if arguments.work_dir.exists():
        raise UserError(f'--work-dir: {arguments.work_dir} exists already; give a new folder')
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed

    from mmps.testing.random_kills import differences, train_with_kills, wait_for

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
