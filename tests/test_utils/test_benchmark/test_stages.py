from types import SimpleNamespace

import pytest

from mmps.utils.benchmark.stages import OTHER, StageMeter, metered


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


def test_a_stage_that_fails_is_closed():
    clock = SimpleNamespace(now=0.0)
    meter = StageMeter(lambda: clock.now)
    with pytest.raises(ValueError), meter.stage('broken'):
        clock.now = 1.0
        raise ValueError
    clock.now = 3.0
    assert meter.stop() == {OTHER: 2.0, 'broken': 1.0}
