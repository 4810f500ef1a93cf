"""The grid tool on the tiny config, killed and started again, with the real tools behind it."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmps.utils.errors import UserError
from mmps.utils.grid import scheduler

GRID = """
metrics = ['search/mAP', 'det/AP']
tables = [
    dict(title='Table', metric='search/mAP', columns=['PRW'], rows=dict(tiny=[0.25], other=[0.5]))
]
experiments = [dict(config='tiny.py', row='tiny', column='PRW')]
"""


class Forked:
    """Stands in for ``subprocess.Popen``: a fork has mmdet imported already."""

    load_tool = None

    def __init__(self, command, *, stdout, **options):
        path = Path(command[1])
        tool = Path(*path.parts[path.parts.index('tools') + 1 :])
        self.pid, self._status = os.fork(), None
        if self.pid == 0:
            code = 1
            try:
                for stream in (1, 2):
                    os.dup2(stdout.fileno(), stream)
                sys.stdout = sys.stderr = os.fdopen(1, 'w', closefd=False)
                torch.set_num_threads(1)
                Forked.load_tool(str(tool)).main(command[2:])
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)

    def poll(self):
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status


@pytest.fixture
def run_grid(config_file, load_tool, tmp_path, monkeypatch):
    # only the scheduler's: what it starts needs the real one
    substitute = SimpleNamespace(**{**vars(subprocess), 'Popen': Forked})
    monkeypatch.setattr(scheduler, 'subprocess', substitute)
    monkeypatch.setattr(Forked, 'load_tool', staticmethod(load_tool))
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    grid = config_file.parent / 'grid.py'
    grid.write_text(GRID)

    def run(*arguments, options=()):
        options = ['train_cfg.max_epochs=3', 'test_evaluator.score_thr=0.0', *options]
        words = [grid, '--work-dir', tmp_path, *arguments, '--cfg-options', *options]
        load_tool('run_grid.py').main([str(word) for word in words])

    return run


def kill_when(path, pid):
    limit = time.monotonic() + 600
    while not path.exists():
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_killed_and_started_again_it_ends_with_the_tables(run_grid, tmp_path, capfd):
    folder = tmp_path / 'tiny_seed0'
    tool = os.fork()
    if tool == 0:
        try:
            run_grid()
        finally:
            os._exit(1)
    kill_when(folder / 'train/epoch_1.pth', tool)
    training = int((folder / 'lock').read_text().split()[1])
    os.kill(training, signal.SIGKILL)
    assert not (folder / 'metrics.json').exists()
    run_grid()
    said = capfd.readouterr().out
    assert '| tiny | 0.250 | 0.' in said
    assert '| other | 0.500 | not run |' in said
    assert 'resuming from' in (folder / 'train.log').read_text()
    metrics = json.loads((folder / 'metrics.json').read_text())
    (table,) = json.loads((tmp_path / 'tables.json').read_text())['tables']
    assert table['ours']['tiny']['PRW']['values'] == [metrics['search/mAP']]
    run_grid('--list')
    assert 'tiny_seed0: complete' in capfd.readouterr().out


def test_failure_is_reported_with_its_log(run_grid, tmp_path):
    with pytest.raises(UserError) as caught:
        run_grid(options=['model.roi_head.reid_head.num_ids=4'])
    message = str(caught.value)
    assert message.startswith('1 of 1 runs failed:\n  tiny_seed0: train: exit status 1')
    assert 'num_ids=5' in message
    assert f'(log: {tmp_path}/tiny_seed0/train.log)' in message


def test_only_takes_what_matches(run_grid):
    with pytest.raises(UserError, match="no run matches 'huge'; there are tiny_seed0"):
        run_grid('--only', 'huge')
    with pytest.raises(UserError, match='no regular expression'):
        run_grid('--only', '(')
