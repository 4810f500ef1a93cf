from types import SimpleNamespace

import pytest

from mmps.benchmark.stages import OTHER, StageMeter, metered


class Part:
    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.inner = clock, seconds, None

    def forward(self):
        self.clock.now += self.seconds
        return self.inner.forward() if self.inner else 7


def test_a_stage_within_another_is_counted_once():
    clock = SimpleNamespace(now=100.0)
    model = SimpleNamespace(head=Part(clock, 2.0), stem=Part(clock, 5.0))
    model.head.inner = Part(clock, 3.0)
    meter = StageMeter(lambda: clock.now)
    stages = (
        ('stem', 'stem', 'forward'),
        ('head', 'head', 'forward'),
        ('inner', 'head.inner', 'forward'),
        ('absent', 'neck.net', 'forward'),
        ('absent', 'stem', 'predict'),
    )
    with metered(meter, model, stages):
        assert model.stem.forward() == model.head.forward() == 7
        clock.now += 1.0
    assert meter.stop() == {OTHER: 1.0, 'stem': 5.0, 'head': 2.0, 'inner': 3.0}
    model.stem.forward()
    assert meter.stop()['stem'] == 5.0 and 'forward' not in vars(model.stem)


def test_a_compiled_part_is_measured_from_outside():
    clock = SimpleNamespace(now=0.0)
    part = Part(clock, 2.0)
    compiled = part._compiled_call_impl = part.forward
    meter = StageMeter(lambda: clock.now)
    with metered(meter, SimpleNamespace(stem=part), (('stem', 'stem', 'forward'),)):
        assert part.forward == compiled
        assert part._compiled_call_impl() == 7
    assert meter.stop() == {'stem': 2.0, OTHER: 0.0}
    assert part._compiled_call_impl == compiled


def test_a_stage_that_fails_is_closed():
    clock = SimpleNamespace(now=0.0)
    meter = StageMeter(lambda: clock.now)
    with pytest.raises(ValueError), meter.stage('broken'):
        clock.now = 1.0
        raise ValueError
    clock.now = 3.0
    assert meter.stop() == {OTHER: 2.0, 'broken': 1.0}
