import sys
from pathlib import Path

import pytest

from mmps.utils.grid import Launcher, load_grid, make_runs


@pytest.fixture
def run(grid_file):
    (run,) = make_runs(load_grid(grid_file("experiments = [dict(config='a.py')]")), Path('w'), {})
    return run


def command(run, step, **options):
    return ' '.join(Launcher(Path('tools'), **options).command(run, step))


def test_on_this_machine(run):
    python, config = sys.executable, 'w/a_seed0/config.py'
    assert command(run, 'train') == (
        f'{python} tools/train.py {config} --work-dir w/a_seed0/train --resume'
    )
    assert command(run, 'test') == (
        f'{python} tools/test.py {config} w/a_seed0/train/epoch_3.pth --work-dir w/a_seed0/test '
        '--out w/a_seed0/predictions.npz'
    )
    assert command(run, 'evaluate') == (
        f'{python} tools/analysis_tools/eval_search.py {config} w/a_seed0/predictions.npz '
        '--out w/a_seed0/metrics.json'
    )


def test_on_several_gpus(run):
    config = 'w/a_seed0/config.py'
    assert command(run, 'train', gpus=8) == (
        f'tools/dist_train.sh {config} 8 --work-dir w/a_seed0/train --resume'
    )
    assert command(run, 'test', gpus=8) == (
        f'tools/dist_test.sh {config} w/a_seed0/train/epoch_3.pth 8 --work-dir w/a_seed0/test '
        '--out w/a_seed0/predictions.npz'
    )


def test_on_slurm(run):
    config = 'w/a_seed0/config.py'
    assert command(run, 'train', partition='p') == (
        f'tools/slurm_train.sh p a_seed0 {config} w/a_seed0/train --resume'
    )
    assert command(run, 'test', partition='p') == (
        f'tools/slurm_test.sh p a_seed0 {config} w/a_seed0/train/epoch_3.pth '
        '--work-dir w/a_seed0/test --out w/a_seed0/predictions.npz'
    )
    assert command(run, 'evaluate', partition='p') == command(run, 'evaluate')
