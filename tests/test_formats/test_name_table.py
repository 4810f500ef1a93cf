import numpy as np
import pytest

from mmps.formats import cuhk_sysu
from mmps.formats.cuhk_sysu import NameTable


@pytest.mark.parametrize('room', [1, 8])
def test_equals_a_dictionary(monkeypatch, room):
    monkeypatch.setattr(cuhk_sysu, '_ROOM', room)
    monkeypatch.setattr(cuhk_sysu, '_CHUNK', 300)
    rng = np.random.default_rng(0)
    known = [f's{n}.jpg' for n in rng.permutation(18184)[:700] + 1]
    known += ['a', 'a' * 8, 'a' * 9, 'straße.jpg', 'x' * 20]
    asked = [f's{n}.jpg' for n in range(2000)] + ['', 'a', 'a' * 7, 'a' * 8, 'a' * 9, 'straße.jpg']
    asked += ['x' * 19, 'x' * 20, 'x' * 21, 'x' * 24, 'x' * 30]
    places = {name: place for place, name in enumerate(known)}
    found = NameTable(known).find(np.array([name.encode() for name in asked]))
    assert found.dtype == np.int32
    assert found.tolist() == [places.get(name, -1) for name in asked]


def test_names_that_want_the_same_slot(monkeypatch):
    monkeypatch.setattr(cuhk_sysu, '_FACTOR', 0)  # all want the first
    known = [f's{n}.jpg' for n in range(20)]
    asked = np.array([b's7.jpg', b's20.jpg', b's19.jpg', b's0.jpg'])
    assert NameTable(known).find(asked).tolist() == [7, -1, 19, 0]


def test_no_names():
    assert NameTable([]).find(np.array([b'a', b''])).tolist() == [-1, -1]
    assert NameTable(['a']).find(np.empty(0, 'S3')).tolist() == []
