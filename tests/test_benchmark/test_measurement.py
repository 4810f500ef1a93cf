import json
from functools import partial

import numpy as np

from mmps.benchmark import measurement
from mmps.benchmark.measurement import Measurement


def test_seconds_of_a_call():
    clock = iter([1.0, 3.5])
    calls = []
    assert measurement.seconds_of(lambda: calls.append(1), lambda: next(clock)) == 2.5
    assert len(calls) == 1


def test_tasks_take_turns_after_one_round_that_only_warms_up():
    calls, now = [], [0.0]

    def task(name, seconds):
        calls.append(name)
        now[0] += seconds * (100 if calls.count(name) == 1 else 1)

    tasks = {name: partial(task, name, seconds) for name, seconds in (('a', 2.0), ('b', 3.0))}
    found = measurement.in_turn(tasks, 9, lambda: now[0])
    assert set(found['a']) == {2} and set(found['b']) == {3} and len(found['a']) == 9
    rounds = [calls[start : start + 2] for start in range(0, 20, 2)]
    assert [sorted(one) for one in rounds] == [['a', 'b']] * 10
    assert ['b', 'a'] in rounds  # not always the same one before the other


def test_ratios_are_taken_round_by_round():
    """The machine is half as fast in the second round: 4 and 4 times, not 3 or 6."""
    seconds = {'base': np.array([4.0, 8.0]), 'a': np.array([1.0, 2.0])}
    found = {(m.stage, m.name): m.value for m in measurement.compared(seconds, 'base', 2, '!')}
    assert found['a!', 'least'] == found['a!', 'as fast'] == found['a!', 'most'] == 4
    assert found['a!', 'per image'] == 0.75 and found['base!', 'as fast'] == 1


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
