import argparse
from types import SimpleNamespace

import pytest
import torch

from mmps.benchmark.networks import (
    OTHER,
    add_runtimes_arguments,
    infer,
    measure,
    metered,
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
        found.append({(m.stage, m.name): m.value for m in subcommand(arguments)})
    return found


def test_measures_the_model_of_the_config(measured):
    for number, found in enumerate(measured):
        assert all(value > 0 for (stage, _), value in found.items() if not stage)
        (floor,) = (value for (_, name), value in found.items() if name.startswith('floor'))
        assert found['', 'time per image'] > floor
        times = {stage: value for (stage, name), value in found.items() if name == 'time'}
        assert sum(times.values()) == pytest.approx(found['', 'time per image'])
        own = {'sampling', 'OIM', 'backward', 'optimiser'} if number else {'NMS'}
        shared = {'stem', 'neck', 'RPN', 'RoIAlign', 'attention', 'identification network', 'heads'}
        assert shared | own <= times.keys()


def test_operations_are_those_of_an_image(measured):
    """Training takes more than twice those of inference, in whatever batches."""
    whole = 'operations per image, without RoIAlign'
    inference, once, twice = (found['', whole] for found in measured)
    assert once > 2 * inference
    assert twice == pytest.approx(once, rel=0.2)
    for found in measured:
        parts = [value for (_, name), value in found.items() if name == 'operations']
        assert sum(parts) == pytest.approx(found['', whole])


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


class Part:
    def __init__(self, clock, seconds, inner=None):
        self.clock, self.seconds, self.inner = clock, seconds, inner

    def forward(self):
        self.clock.now += self.seconds
        return self.inner.forward() if self.inner else 7

    def fail(self):
        self.forward()
        raise ValueError


def test_a_stage_within_another_is_counted_once():
    clock = SimpleNamespace(now=100.0)
    model = SimpleNamespace(head=Part(clock, 2.0, Part(clock, 3.0)), stem=Part(clock, 5.0))
    stages = (
        ('stem', 'stem.forward'),
        ('head', 'head.forward'),
        ('inner', 'head.inner.forward'),
        ('absent', 'neck.net.forward'),
        ('absent', 'stem.predict'),
    )
    with metered(lambda: clock.now, model, stages) as amounts:
        assert model.stem.forward() == model.head.forward() == 7
        clock.now += 1.0
    assert amounts == {OTHER: 1.0, 'stem': 5.0, 'head': 2.0, 'inner': 3.0}
    model.stem.forward()
    assert amounts['stem'] == 5.0 and 'forward' not in vars(model.stem)


def test_a_compiled_part_is_measured_from_outside():
    clock = SimpleNamespace(now=0.0)
    part = Part(clock, 2.0)
    compiled = part._compiled_call_impl = part.forward
    stages = (('stem', 'stem.forward'),)
    with metered(lambda: clock.now, SimpleNamespace(stem=part), stages) as amounts:
        assert part.forward == compiled
        assert part._compiled_call_impl() == 7
    assert amounts == {'stem': 2.0, OTHER: 0.0}
    assert part._compiled_call_impl == compiled


def test_a_stage_that_fails_is_closed():
    clock = SimpleNamespace(now=0.0)
    owner = SimpleNamespace(part=Part(clock, 1.0))
    with metered(lambda: clock.now, owner, (('broken', 'part.fail'),)) as amounts:
        with pytest.raises(ValueError):
            owner.part.fail()
        clock.now += 2.0
    assert amounts == {OTHER: 2.0, 'broken': 1.0}
