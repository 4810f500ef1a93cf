import json

from mmps.benchmark import measurement
from mmps.benchmark.measurement import Measurement


def test_seconds_of_a_call():
    clock = iter([1.0, 3.5])
    calls = []
    assert measurement.seconds_of(lambda: calls.append(1), lambda: next(clock)) == 2.5
    assert len(calls) == 1


def test_best_time_is_the_least(monkeypatch):
    seconds = iter([3.0, 2.0, 4.0])
    monkeypatch.setattr(measurement, 'seconds_of', lambda function: function() or next(seconds))
    calls = []
    assert measurement.best_time(lambda: calls.append(1), 3) == 2.0
    assert len(calls) == 3


def test_report(tmp_path, capsys):
    numbers = [Measurement('search', 1.25, 's'), Measurement('memory', 300, 'MiB')]
    measurement.print_measurements(numbers)
    assert capsys.readouterr().out.split() == ['search', '1.25', 's', 'memory', '300', 'MiB']
    path = tmp_path / 'b.json'
    measurement.write_measurements(str(path), 'benchmark.py eval', numbers)
    content = json.loads(path.read_text())
    assert content['command'] == 'benchmark.py eval'
    assert content['measurements'][0] == dict(name='search', value=1.25, unit='s', stage='')
    assert content['machine']['cpu'] and content['machine']['date']


def test_stages_are_a_table(capsys):
    rows = [('time', 2.5, 's', 'stem'), ('time', 0.5, 's', 'RPN'), ('operations', 7.0, 'G', 'stem')]
    measurement.print_measurements([Measurement('all', 3, 's'), *(Measurement(*r) for r in rows)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines == [
        ['all', '3', 's'],
        ['time,', 's', 'operations,', 'G'],
        ['stem', '2.5', '7'],
        ['RPN', '0.5', '-'],
    ]
