"""Who sleeps is decided by what runs and the environment; what libgomp makes of it is its own."""

import os

import pytest

from mmps.utils import threads
from mmps.utils.threads import sleep_where_cores_are_taken


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of four cores, what runs there at five moments, and a process's environment."""
    moments = []
    monkeypatch.setattr(threads.time, 'sleep', lambda _: write())

    def write():
        if moments:
            (tmp_path / 'loadavg').write_text(f'9.00 9.00 9.00 {moments.pop(0)}/512 4711\n')

    def build(*running, **environment):
        for name in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY', 'OMP_NUM_THREADS'):
            monkeypatch.setenv(name, '')  # so that it comes back as it was
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1, 2, 3})
        monkeypatch.setattr(threads, '_LOAD', tmp_path / 'loadavg')
        moments[:] = running
        write()

    return build


@pytest.mark.parametrize(
    ('running', 'wanted', 'sleeps'),
    [
        ((1,), None, False),
        ((2,), None, True),
        ((3, 2, 1, 2, 4), None, False),  # others that came and went
        ((3, 2, 2, 2, 4), None, True),
        ((3,), '2', False),
        ((4,), '2', True),
        ((2,), 'all', True),
        ((9,), '1', False),  # one thread waits for nobody
    ],
)
def test_threads_sleep_where_there_are_more_than_cores(running, wanted, sleeps, machine):
    machine(*running, **({} if wanted is None else {'OMP_NUM_THREADS': wanted}))
    assert sleep_where_cores_are_taken() == sleeps
    assert ('GOMP_SPINCOUNT' in os.environ) == sleeps


@pytest.mark.parametrize(
    ('name', 'value'), [('OMP_WAIT_POLICY', 'active'), ('GOMP_SPINCOUNT', '5')]
)
def test_what_the_user_says_holds(name, value, machine):
    machine(3, **{name: value})
    assert not sleep_where_cores_are_taken()
    assert os.environ[name] == value


def test_a_system_without_a_load(machine, monkeypatch, tmp_path):
    machine(3)
    monkeypatch.setattr(threads, '_LOAD', tmp_path / 'none')
    assert not sleep_where_cores_are_taken()
