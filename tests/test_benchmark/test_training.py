import argparse
import math
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

from mmps.benchmark import training
from mmps.benchmark.measurement import Measurement
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
    """Run a sweep whose processes are replaced; returns measurements and what was asked."""

    def run(answer, *words):
        asked = []

        def process(function, arguments):
            assert function is train
            asked.append(arguments)
            numbers = answer(arguments)
            return [Measurement(name, value, '') for name, value in numbers.items()]

        monkeypatch.setattr(training, 'alone', process)
        parser = argparse.ArgumentParser()
        add_sweep_arguments(parser)
        return sweep(parser.parse_args(['c.py', *words])), asked

    return run


def test_every_combination_is_a_row(swept):
    def answer(arguments):
        if arguments.batch == 4:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return {'peak memory': 1000.0 * arguments.batch, 'time per image': 0.5}

    measured, asked = swept(
        answer, '--batches', '1', '4', '--amp', 'no', 'bfloat16', '--with-cp', 'no', 'yes',
        '--accumulate', '2', '--device=cuda', '--cfg-options', 'model.neck=None',
    )  # fmt: skip
    assert [(one.batch, one.amp, one.with_cp) for one in asked] == [
        (batch, amp, cp) for batch in (1, 4) for amp in (None, 'bfloat16') for cp in (False, True)
    ]
    assert {(one.accumulate, one.device, one.size) for one in asked} == {(2, 'cuda', '1500x900')}
    assert all(one.cfg_options == {'model.neck': None} for one in asked)
    assert measured[0].stage == 'batch 1, amp no, with_cp no, accumulate 2'
    assert [m.value for m in measured[:12]] == [1000.0, 1.0, 0.5] * 4
    assert len(measured) == 24 and all(math.isnan(m.value) for m in measured[12:])


def test_a_process_that_is_killed_ran_out_of_memory(swept):
    def killed(arguments):
        raise BrokenProcessPool

    with pytest.raises(UserError, match='no combination fits into memory'):
        swept(killed, '--batches', '1')


def test_a_setting_runs_in_a_process_of_its_own(slim_config):
    parser = argparse.ArgumentParser()
    add_sweep_arguments(parser)
    words = [slim_config, '--size=128x96', '--repeats=1', '--batches=1', '--with-cp=yes']
    memory, step, image = sweep(parser.parse_args(words))
    assert 100 < memory.value < 4000 and step.value == image.value > 0
