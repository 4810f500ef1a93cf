import argparse

import pytest
import torch

from mmps.benchmark import inference, training


@pytest.fixture
def arguments(slim_config):
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    words = [slim_config, '--size=128x96', '--batch=2', '--repeats=1']
    return parser.parse_args(words)


@pytest.mark.parametrize('subcommand', [inference, training])
def test_measures_the_model_of_the_config(subcommand, arguments):
    measured = subcommand.run(arguments)
    found = {m.name: m.value for m in measured if not m.stage}
    assert all(value > 0 for value in found.values())
    times = {m.stage: m.value for m in measured if m.stage and m.name == 'time'}
    assert sum(times.values()) == pytest.approx(found['time per image'])
    expected = {'stem', 'neck', 'RPN', 'RoIAlign', 'attention', 'identification network', 'heads'}
    own = {'NMS'} if subcommand is inference else {'sampling', 'OIM', 'backward', 'optimiser'}
    assert expected | own <= times.keys()
    operations = [m.value for m in measured if m.stage and m.unit == 'GFLOP']
    assert sum(operations) == pytest.approx(found['operations per image, without RoIAlign'])
    assert found['time per image'] > found[next(name for name in found if name.startswith('floor'))]


def operations(subcommand, arguments):
    measured = subcommand.run(arguments)
    (value,) = (m.value for m in measured if m.unit == 'GFLOP' and not m.stage)
    return value


def test_training_takes_more_operations_than_inference(arguments):
    assert operations(training, arguments) > 2 * operations(inference, arguments)


def test_accumulation_does_not_change_an_image(arguments):
    once = operations(training, arguments)
    arguments.accumulate = 2
    assert operations(training, arguments) == pytest.approx(once, rel=0.2)


def test_operations_of_a_known_network():
    """A 1 x 1 convolution from 3 to 5 channels on 4 x 6 pixels: 2 * 3 * 5 * 24 operations."""
    from mmps.benchmark.networks import measure

    layer = torch.nn.Conv2d(3, 5, 1, bias=False)
    run = argparse.Namespace(repeats=1, device='cpu')
    found = measure(lambda: layer(torch.rand(2, 3, 4, 6)), layer, run, images=2)
    assert found[0].value == pytest.approx(15e-6)
    assert found[1].value == pytest.approx(720e-9)
