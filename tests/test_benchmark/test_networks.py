import argparse

import pytest
import torch

from mmps.benchmark.networks import (
    add_runtimes_arguments,
    infer,
    measure,
    runtimes,
)
from mmps.benchmark.training import add_train_arguments, train
from mmps.engine.amp import cpu_has_bfloat16


@pytest.fixture
def arguments(slim_config):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    words = [slim_config, '--size=128x96', '--batch=2', '--repeats=1']
    return parser.parse_args(words)


@pytest.mark.parametrize('subcommand', [infer, train])
def test_measures_the_model_of_the_config(subcommand, arguments):
    found = {m.name: m.value for m in subcommand(arguments)}
    assert all(value > 0 for value in found.values())
    assert found['time per image'] > found[next(name for name in found if name.startswith('floor'))]


def operations(subcommand, arguments):
    measured = subcommand(arguments)
    (value,) = (m.value for m in measured if m.unit == 'GFLOP' and not m.stage)
    return value


def test_training_takes_more_operations_than_inference(arguments):
    assert operations(train, arguments) > 2 * operations(infer, arguments)


def test_accumulation_does_not_change_an_image(arguments):
    once = operations(train, arguments)
    arguments.accumulate = 2
    assert operations(train, arguments) == pytest.approx(once, rel=0.2)


def test_operations_of_a_known_network():
    """A 1 x 1 convolution from 3 to 5 channels on 4 x 6 pixels: 2 * 3 * 5 * 24 operations."""
    layer = torch.nn.Conv2d(3, 5, 1, bias=False)
    run = argparse.Namespace(repeats=1, device='cpu')
    found = measure(lambda: layer(torch.rand(2, 3, 4, 6)), layer, run, images=2)
    assert found[0].value == pytest.approx(15e-6)
    assert found[1].value == pytest.approx(720e-9)


def test_every_form_of_a_model_is_timed(slim_config):
    parser = argparse.ArgumentParser()
    add_runtimes_arguments(parser)
    words = [slim_config, '--size=128x96', '--repeats=2', '--threads=1', '--int8']
    measured = runtimes(parser.parse_args(words))
    names = ['PyTorch', 'PyTorch, layers written plainly']
    names += [f'{name}{form}' for name in ('ONNX Runtime', 'OpenVINO') for form in ('', ', int8')]
    if cpu_has_bfloat16():
        names += ['PyTorch, bfloat16', 'OpenVINO, bfloat16']
    assert list(dict.fromkeys(one.stage for one in measured)) == names
    found = {(one.stage, one.name): one.value for one in measured}
    assert found['PyTorch', 'least'] == found['PyTorch', 'most'] == 1
    for name in names:
        assert found[name, 'per image'] > 0
        assert 0 < found[name, 'least'] <= found[name, 'as fast'] <= found[name, 'most']
