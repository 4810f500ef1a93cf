import pytest

from mmps.web.uploads import Kept, Uploads


def test_a_picture_is_taken_once():
    uploads = Uploads(100)
    token = uploads.put(b'picture')
    assert uploads.take(token) == b'picture'
    with pytest.raises(ValueError, match='send it again'):
        uploads.take(token)


def test_the_oldest_are_dropped():
    uploads = Uploads(10)
    tokens = [uploads.put(bytes([n]) * 4) for n in range(4)]
    for token in tokens[:2]:
        with pytest.raises(ValueError):
            uploads.take(token)
    assert [uploads.take(token)[0] for token in tokens[2:]] == [2, 3]


def test_what_has_waited_too_long_is_dropped(monkeypatch):
    uploads, now = Uploads(100), [0.0]
    monkeypatch.setattr('mmps.web.uploads.time.monotonic', lambda: now[0])
    old = uploads.put(b'old')
    now[0] = 1000.0
    with pytest.raises(ValueError):
        uploads.take(old)


def test_things_that_are_kept_by_address(monkeypatch):
    now = 0.0
    monkeypatch.setattr('time.monotonic', lambda: now)
    kept = Kept(2)
    first, second = kept.keep('a'), kept.keep('b')
    assert len(first) > 20 and kept.get(first) == 'a' and kept.get('guessed') is None
    kept.keep('c')  # b was not asked for the longest
    assert kept.get(second) is None
    now = 3 * 3600.0
    assert kept.get(first) == 'a'
    now += 4.1 * 3600
    assert kept.get(first) is None
