import json
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from mmps.retrieval import Gallery, Where
from mmps.testing.galleries import model_tag, random_frame
from mmps.utils.cli import UserError


@pytest.fixture
def address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    gallery = Gallery.open(tmp_path / 'people.lance', model_tag(8))
    now = time.time()
    gallery.append(
        [
            random_frame(rng, f'{tmp_path}/old.jpg', 2, 8, time=now - 40 * 86_400, camera='north'),
            random_frame(rng, f'{tmp_path}/new.jpg', 3, 8, time=now - 10 * 86_400, camera='south'),
            random_frame(rng, f'{tmp_path}/unknown.jpg', 1, 8),
        ]
    )
    return str(tmp_path / 'people.lance')


@pytest.fixture
def manage(load_tool, address):
    tool = load_tool('manage_gallery.py')
    return lambda *options: tool.main([address, *options])


def known(address):
    return {Path(source).name for source, _ in Gallery.open(address).known()}


def test_info(manage, tmp_path, capsys):
    manage('info', '--out', str(tmp_path / 'info.json'))
    printed = capsys.readouterr().out
    assert 'people   6\n' in printed and 'cameras  north, south\n' in printed
    assert 'model abc (8-d, abc)' in printed
    content = json.loads((tmp_path / 'info.json').read_text())
    assert (content['people'], content['frames'], content['sources']) == (6, 3, 3)


@pytest.mark.parametrize(
    ('options', 'left'),
    [
        (['--source', 'old.jpg', 'unknown.jpg'], {'new.jpg'}),
        (['--camera', 'south'], {'old.jpg', 'unknown.jpg'}),
        (['--since', '2000-01-01', '--until', '2100-01-01T12:00'], {'unknown.jpg'}),
        (['--camera', 'south', '--source', 'old.jpg'], {'old.jpg', 'new.jpg', 'unknown.jpg'}),
    ],
)
def test_delete(manage, address, options, left):
    manage('delete', *options, '--yes')
    assert known(address) == left


def test_times_are_local_as_in_searches(manage, address, time_zone):
    time_zone('America/New_York')
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-5))).timestamp()
    rng, gallery = np.random.default_rng(1), Gallery.open(address)
    gallery.append([random_frame(rng, f'/{s}.jpg', 1, 8, time=noon + s) for s in (-1, 1)])
    manage('delete', '--since', '2026-03-01', '--until', '2026-03-01T12:00', '--yes')
    assert known(address) == {'old.jpg', 'new.jpg', 'unknown.jpg', '1.jpg'}


def test_delete_a_person(manage, address, capsys):
    hits = Gallery.open(address).search(np.eye(8)[0], 9, Where(cameras=['south']))[0]
    manage('delete', '--id', str(hits[0].id), '--yes')
    assert '1 people deleted, 5 left' in capsys.readouterr().out
    with pytest.raises(UserError, match='nobody with id'):
        manage('delete', '--id', str(hits[0].id), '--yes')


def test_expire_and_compact(manage, address, capsys):
    manage('expire', '--days', '30', '--yes')
    manage('compact')
    assert known(address) == {'new.jpg', 'unknown.jpg'}
    assert 'gone from the files' in capsys.readouterr().out


def test_index(manage, capsys):
    manage('index')
    manage('index', '--above', '5')
    assert capsys.readouterr().out.splitlines() == [
        '6 people: searched exactly up to 1000000',
        'approximate searches find 100.0% of the 20 that exact ones find',
    ]


def test_drop(manage, address, tmp_path):
    manage('drop', '--yes')
    assert not (tmp_path / 'people.lance').exists()


def test_nothing_is_deleted_without_being_asked_for(manage, address, monkeypatch):
    with pytest.raises(UserError, match='say what'):
        manage('delete', '--yes')
    with pytest.raises(UserError, match='--id stands alone'):
        manage('delete', '--yes', '--id', '3', '--camera', 'x')
    with pytest.raises(UserError, match='confirm with --yes'):
        manage('drop')
    monkeypatch.setattr(sys.stdin, 'isatty', lambda: True)
    asked = []
    monkeypatch.setattr('builtins.input', lambda question: asked.append(question) or 'n')
    with pytest.raises(UserError, match='nothing was done'):
        manage('delete', '--camera', 'north')
    assert asked[0].startswith('Delete 2 of the 6 people of')
    with pytest.raises(UserError, match='nothing was done'):
        manage('expire', '--days', '30')
    assert asked[1].startswith('Delete 2 of 6 people, older than 30 days?')
    assert len(known(address)) == 3
    monkeypatch.setattr('builtins.input', lambda question: 'y')
    manage('delete', '--camera', 'north')
    assert len(known(address)) == 2


def test_no_gallery(load_tool, tmp_path):
    with pytest.raises(UserError, match='there is no gallery'):
        load_tool('manage_gallery.py').main([str(tmp_path / 'none.lance'), 'info'])
