import argparse
import json
import subprocess
from types import SimpleNamespace

import pytest
import torch

from mmps.benchmark.training import (
    add_sweep_arguments,
    add_train_arguments,
    layers_of_a_gpu,
    peak_of_tensors,
    sweep,
    train,
)
from mmps.models.backbones.densenet import DenseBlock
from mmps.utils.errors import UserError


def test_the_peak_of_what_is_alive_at_once():
    def step():
        first = torch.zeros(2**20)
        second = first + 1
        del first
        return torch.cat([second, second])

    # the second and the two at the end; two at the beginning are less
    assert peak_of_tensors(step) == pytest.approx(3 * 4, abs=0.1)


def test_layers_of_a_gpu_keep_the_activations_of_each_layer():
    block = DenseBlock(8, 4, 8).eval()
    x = torch.randn(2, 8, 64, 64, requires_grad=True)
    kept = peak_of_tensors(lambda: block(x).sum().backward())
    result = block(x)
    with layers_of_a_gpu():
        torch.testing.assert_close(block(x), result)
        assert peak_of_tensors(lambda: block(x).sum().backward()) > 1.2 * kept


def test_it_is_an_option_of_the_benchmark(slim_config):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    few = [str(slim_config), '--size=160x96', '--gpu-memory']
    one, two = (train(parser.parse_args([*few, f'--batch={batch}']))[0].value for batch in (1, 2))
    assert 0 < one < two < 1000
    with pytest.raises(UserError, match='--gpu-memory: counts on a CPU'):
        train(parser.parse_args([*few, '--device=cuda']))


@pytest.fixture
def swept(monkeypatch):
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
        add_sweep_arguments(parser)
        return sweep(parser.parse_args(['c.py', *words])), commands

    return run


def test_every_combination_is_a_row(swept, capsys):
    def answer(command):
        batch = int(next(word for word in command if word.startswith('--batch=')).split('=')[1])
        if batch == 4:
            return 1, 'torch.OutOfMemoryError: CUDA out of memory', {}
        return 0, '', {'peak memory': 1000.0 * batch, 'time per image': 0.5}

    measured, commands = swept(
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


def test_a_process_that_is_killed_ran_out_of_memory(swept):
    with pytest.raises(UserError, match='no combination fits into memory'):
        swept(lambda command: (-9, '', {}), '--batches', '1')


def test_other_failures_are_shown(swept):
    with pytest.raises(UserError, match='train c.py .*KeyError: backbone'):
        swept(lambda command: (1, 'KeyError: backbone', {}), '--batches', '1')
