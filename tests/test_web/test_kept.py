import pytest

from mmps.web.kept import Kept


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    return now


def test_a_thing_is_taken_once():
    kept = Kept(2)
    key = kept.keep('a')
    assert len(key) > 20 and kept.take('guessed') is None
    assert kept.take(key) == 'a'
    assert kept.take(key) is None


def test_those_not_asked_for_are_dropped():
    kept = Kept(10, size=len)
    for key in 'aba':  # each has 4 bytes, so that there is room for two
        kept.get(key) or kept.keep(key.encode() * 4, key)
    kept.keep(b'cccc', 'c')
    assert kept.get('b') is None and kept.get('a') == b'aaaa' and kept.get('c') == b'cccc'
    kept.keep(bytes(11), 'large')  # the last one stays
    assert [kept.get(key) is None for key in ('a', 'c', 'large')] == [True, True, False]


@pytest.mark.parametrize('ask', [Kept.get, Kept.take])
def test_what_has_waited_too_long_is_dropped(ask, clock):
    kept = Kept(100, 60)
    key = kept.keep('old')
    clock[0] = 61.0
    assert ask(kept, key) is None


def test_asking_for_a_thing_keeps_it_longer(clock):
    kept = Kept(100, 60)
    key, other = kept.keep('a'), kept.keep('b')
    clock[0] = 50.0
    assert kept.get(key) == 'a'
    clock[0] = 100.0
    assert kept.get(key) == 'a'
    kept.keep('c')
    assert kept._things.keys().isdisjoint([other])
