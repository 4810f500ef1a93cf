"""Who sleeps is read from the load and the environment; what libgomp makes of it is its own."""

import os

import pytest

from mmps.utils.threads import sleep_where_cores_are_taken


@pytest.fixture
def machine(monkeypatch):
    """A machine of four cores with a load, and the environment of a process on it."""

    def build(load, **environment):
        for name in ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY', 'OMP_NUM_THREADS'):
            monkeypatch.setenv(name, '')  # so that it comes back as it was
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1, 2, 3})
        monkeypatch.setattr(os, 'getloadavg', lambda: (load, 9.0, 9.0))

    return build


@pytest.mark.parametrize(
    ('load', 'threads', 'sleeps'),
    [
        (0.4, None, False),
        (0.5, None, True),
        (2.4, '2', False),
        (2.6, '2', True),
        (1.0, 'all', True),
    ],
)
def test_threads_sleep_where_there_are_more_than_cores(load, threads, sleeps, machine):
    machine(load, **({} if threads is None else {'OMP_NUM_THREADS': threads}))
    assert sleep_where_cores_are_taken() == sleeps
    assert ('GOMP_SPINCOUNT' in os.environ) == sleeps


@pytest.mark.parametrize(
    ('name', 'value'), [('OMP_WAIT_POLICY', 'active'), ('GOMP_SPINCOUNT', '5')]
)
def test_what_the_user_says_holds(name, value, machine):
    machine(3.0, **{name: value})
    assert not sleep_where_cores_are_taken()
    assert os.environ[name] == value


def test_a_system_without_a_load(machine, monkeypatch):
    machine(3.0)
    monkeypatch.delattr(os, 'getloadavg')
    assert not sleep_where_cores_are_taken()
