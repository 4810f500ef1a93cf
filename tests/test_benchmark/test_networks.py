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
from mmps.testing.tiny_models import slim_model, small_config


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
    """What is measured of a slim model: inference, training, training with accumulation."""
    config = small_config('ps_densenet121_att_prw.py')
    config.model = slim_model()
    config.dump(file := tmp_path_factory.mktemp('slim') / 'slim.py')
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    found = []
    for subcommand, accumulate in ((infer, 1), (train, 1), (train, 2)):
        words = [str(file), '--size=128x96', '--batch=2', '--repeats=1']
        arguments = parser.parse_args([*words, f'--accumulate={accumulate}'])
        found.append({m.name: m.value for m in subcommand(arguments)})
    return found


def test_measures_the_model_of_the_config(measured):
    for found in measured:
        assert all(value > 0 for value in found.values())
        (floor,) = (value for name, value in found.items() if name.startswith('floor'))
        assert found['time per image'] > floor


def test_operations_are_those_of_an_image(measured):
    """Training takes more than twice those of inference, in whatever batches."""
    inference, once, twice = (m['operations per image, without RoIAlign'] for m in measured)
    assert once > 2 * inference
    assert twice == pytest.approx(once, rel=0.2)


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
