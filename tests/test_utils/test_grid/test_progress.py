from types import SimpleNamespace

from mmps.utils.grid import progress
from mmps.utils.grid.progress import Progress, training_place

LINES = """$ python tools/train.py a.py --resume
11/23 10:00:00 - mmengine - INFO - Epoch(train) [1][10/40]  lr: 1.0e-03  eta: 0:02:30  time: 1.0
11/23 10:00:10 - mmengine - INFO - Epoch(train) [1][ 20/ 40]  lr: 1.0e-03  eta: 1 day, 0:02:20
"""


def test_place_and_time_left_are_the_last_ones(tmp_path):
    log = tmp_path / 'train.log'
    log.write_text(LINES)
    assert training_place(log) == ('Epoch(train) [1][ 20/ 40]', 86400 + 140)
    log.write_text(LINES + '$ python tools/train.py a.py --resume\nresuming\n')
    assert training_place(log) == ('starting', None)


def test_time_left_of_the_whole_grid(tmp_path, monkeypatch):
    """One run took 100 s, the present one needs 60 s more, and two are waiting: 60 + 2 x 100."""
    clock, said = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(progress.time, 'monotonic', lambda: clock.now)
    log = tmp_path / 'train.log'
    log.write_text('Epoch(train) [2][10/40]  eta: 0:01:00')

    def active(name, started):
        run = SimpleNamespace(name=name, log=lambda step: log)
        return SimpleNamespace(run=run, step='train', started=started)

    shown = Progress(4, said.append)
    clock.now = 100.0
    shown.completed(active('a', started=0.0))
    shown.report([active('b', started=100.0)], waiting=2)
    assert said == [
        '[1/4] a: complete after 0:01:40',
        '[1/4] b: Epoch(train) [2][10/40], 0:01:00 of training left',
        '[1/4] 2 more waiting, all done in about 0:04:20',
    ]
