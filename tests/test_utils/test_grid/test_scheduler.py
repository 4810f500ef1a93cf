"""Runs are worked through in spite of failures, kills and others who work on them too."""

import os
import re
import signal
import time
from multiprocessing import get_context

import pytest

from mmps.utils.grid import Launcher, load_grid, make_runs, work_through
from mmps.utils.grid.lock import RunLock

TWO = """
seeds = [1]
experiments = [dict(config='a.py'), dict(config='b.py', options=dict(stub=dict(score=0.3)))]
"""


@pytest.fixture
def make(grid_file, tmp_path):
    def runs(text, **options):
        return make_runs(load_grid(grid_file(text)), tmp_path / 'out', options)

    return runs


def history(run):
    return (run.train_dir / 'history').read_text().split()


def is_free(run):
    lock = RunLock.take(run.folder)
    if lock:
        lock.release()
    return lock is not None


def wait_for(condition):
    limit = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_all_runs_end_with_metrics(make, launcher):
    runs, said, reports = make(TWO), [], []
    failures = work_through(runs, launcher, say=said.append, after_run=lambda: reports.append(1))
    assert failures == []
    assert [run.metrics()['search/mAP'] for run in runs] == pytest.approx([0.6, 0.4])
    assert len(reports) == 2
    assert said[0] == f'[0/2] a_seed1: train, log in {runs[0].folder}/train.log'
    assert re.fullmatch(r'\[2/2\] b_seed1: complete after 0:0\d:\d\d', said[-1])
    assert f'train.py {runs[0].folder}/config.py' in runs[0].log('train').read_text()

    logs = [run.log('evaluate').read_bytes() for run in runs]
    again = []
    assert work_through(runs, launcher, say=again.append) == []
    assert [run.log('evaluate').read_bytes() for run in runs] == logs
    assert again == ['[1/2] a_seed1: complete already', '[2/2] b_seed1: complete already']


@pytest.mark.parametrize('step', ['train', 'test'])
def test_failure_does_not_stop_the_others(make, launcher, step):
    text = f"""
    experiments = [
        dict(config='a.py', options=dict(stub=dict(fails={step!r}))),
        dict(config='b.py'),
    ]
    """
    a, b = make(text)
    (failure,) = work_through([a, b], launcher, say=lambda line: None)
    expected = f'a_seed0: {step}: exit status 1: error: out of luck (log: {a.folder}/{step}.log)'
    assert str(failure) == expected
    assert b.metrics() is not None
    assert is_free(a)


def test_command_without_result_is_a_failure(make, launcher, stub_tools):
    (stub_tools / 'test.py').write_text('')
    (run,) = make("experiments = [dict(config='a.py')]")
    (failure,) = work_through([run], launcher, say=lambda line: None)
    assert failure.step == 'test'
    assert failure.reason == 'ended without an error and without its result'


@pytest.mark.parametrize('killed', ['alone', 'with the training'])
def test_killed_and_started_again(make, launcher, killed):
    runs = make(TWO, **{'stub.epoch_seconds': 0.15})
    silent = dict(say=lambda line: None)
    process = get_context('fork').Process(target=work_through, args=(runs, launcher), kwargs=silent)
    process.start()
    wait_for((runs[0].train_dir / 'epoch_1.pth').exists)
    training = int(re.match(r'process (\d+) \(train\)', RunLock.holder(runs[0].folder))[1])
    process.kill()
    process.join()
    if killed == 'with the training':
        os.kill(training, signal.SIGKILL)
        wait_for(lambda: is_free(runs[0]))
    else:
        assert not is_free(runs[0])
    said = []
    assert work_through(runs, launcher, say=said.append) == []
    # What the killed process had started goes on, and nobody else does the same beside it.
    busy = [line for line in said if f'process {training} (train)' in line]
    assert len(busy) == (killed == 'alone')
    assert all(run.metrics() for run in runs)
    assert all(history(run) == ['1', '2', '3'] for run in runs)


def test_two_at_the_same_grid_share_the_runs(make, launcher):
    runs = make(TWO, **{'stub.epoch_seconds': 0.05})
    processes = [
        get_context('fork').Process(
            target=work_through, args=(runs, launcher), kwargs=dict(say=lambda line: None)
        )
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert all(history(run) == ['1', '2', '3'] for run in runs)
    assert all(run.log('test').read_text().count('$ ') == 1 for run in runs)


def test_stopping_takes_the_command_along(make, launcher):
    (run,) = make("experiments = [dict(config='a.py')]", **{'stub.epoch_seconds': 60})

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work_through([run], launcher, say=stop)
    assert is_free(run)


def test_slurm_runs_all_at_once(make, stub_tools, tmp_path, monkeypatch):
    """A fake ``srun`` trains when both jobs were submitted."""
    jobs = tmp_path / 'jobs'
    srun = tmp_path / 'bin/srun'
    srun.parent.mkdir()
    srun.write_text(f"""#!/usr/bin/env bash
case "$*" in *train.py*)
    echo "$*" >> {jobs}
    while (( $(wc -l < {jobs}) < 2 )); do sleep 0.01; done
esac
while [[ $1 == -* ]]; do shift; done
exec "$@"
""")
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', f'{srun.parent}:{os.environ["PATH"]}')
    monkeypatch.setenv('GPUS', '2')
    runs = make(TWO)
    launcher = Launcher(stub_tools, partition='gpu')
    assert work_through(runs, launcher, at_once=2, say=lambda line: None) == []
    assert all(run.metrics() for run in runs)
    job = sorted(jobs.read_text().splitlines())[0]
    assert job.startswith('--partition=gpu --job-name=a_seed1 ')
    assert '--ntasks=2' in job
    folder = runs[0].folder
    assert f'train.py {folder}/config.py --work-dir {folder}/train' in job
    assert job.endswith('--launcher slurm --resume')
