import argparse
import json
import subprocess
from types import SimpleNamespace

import pytest

from mmps.benchmark import training_sweep
from mmps.utils.errors import UserError


@pytest.fixture
def sweep(monkeypatch):
    """Run a sweep whose processes are replaced; returns measurements and command lines."""

    def run(answer, *words):
        commands = []

        def process(command, **_):
            commands.append(command)
            (out,) = (word.partition('=')[2] for word in command if word.startswith('--out='))
            status, stderr, numbers = answer(command)
            if status == 0:
                rows = [dict(name=name, value=value) for name, value in numbers.items()]
                with open(out, 'w') as file:
                    json.dump(dict(measurements=rows), file)
            return SimpleNamespace(returncode=status, stderr=stderr)

        monkeypatch.setattr(subprocess, 'run', process)
        parser = argparse.ArgumentParser()
        training_sweep.add_arguments(parser)
        return training_sweep.run(parser.parse_args(['c.py', *words])), commands

    return run


def test_every_combination_is_a_row(sweep, capsys):
    def answer(command):
        batch = int(next(word for word in command if word.startswith('--batch=')).split('=')[1])
        if batch == 4:
            return 1, 'torch.OutOfMemoryError: CUDA out of memory', {}
        return 0, '', {'peak memory': 1000.0 * batch, 'time per image': 0.5}

    measured, commands = sweep(
        answer, '--batches', '1', '4', '--amp', 'no', 'bfloat16', '--with-cp', 'no', 'yes',
        '--accumulate', '2', '--device=cuda', '--cfg-options', 'model.neck=None',
    )  # fmt: skip
    assert len(commands) == 8
    assert sum('--amp=bfloat16' in command for command in commands) == 4
    assert sum('--with-cp' in command for command in commands) == 4
    assert all(command[-2:] == ['--cfg-options', 'model.neck=None'] for command in commands)
    assert all('--device=cuda' in command for command in commands)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows[0] == '| 1 | no | no | 2 | 1000 | 1 | 0.5 |'
    assert rows[-1] == '| 4 | bfloat16 | yes | 2 | out of memory | - | - |'
    assert [m.value for m in measured] == [1000.0, 1.0] * 4


def test_a_process_that_is_killed_ran_out_of_memory(sweep):
    with pytest.raises(UserError, match='no combination fits into memory'):
        sweep(lambda command: (-9, '', {}), '--batches', '1')


def test_other_failures_are_shown(sweep):
    with pytest.raises(UserError, match='train c.py .*KeyError: backbone'):
        sweep(lambda command: (1, 'KeyError: backbone', {}), '--batches', '1')
