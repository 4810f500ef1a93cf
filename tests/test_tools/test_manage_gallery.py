import json
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from helpers.galleries import model_tag, random_frame

from mmps.retrieval import Gallery, Where
from mmps.sources import format_time
from mmps.sources.provenance import LATEST
from mmps.utils.errors import UserError


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
    assert (
        'people   6 sightings in 3 frames, 6 appearances\n' in printed
        and 'cameras  north, south\n' in printed
    )
    assert 'model abc (8-d, abc)' in printed
    content = json.loads((tmp_path / 'info.json').read_text())
    assert (content['people'], content['frames'], content['sources']) == (6, 3, 3)


def test_group(manage, address, capsys):
    gallery = Gallery.open(address)
    frames = [
        replace(random_frame(np.random.default_rng(1), 'v.mp4', 1, 8, frame=f), offset=f / 5)
        for f in range(3)
    ]
    gallery.append([replace(f, embeddings=np.eye(8)[:1], bboxes=np.ones((1, 4))) for f in frames])
    manage('group')
    assert '9 people joined anew; 9 people in 7 appearances' in capsys.readouterr().out
    manage('group', '--again')
    assert '0 people joined anew' in capsys.readouterr().out


def test_people_who_appear_often(manage, address, tmp_path, capsys):
    """Three people of five, four and two appearances."""
    gallery, rng, look = Gallery.open(address), np.random.default_rng(2), np.eye(8)
    for person, times in ((0, 5), (1, 4), (2, 2)):
        for number in range(times):
            vector = look[person] + 0.05 * rng.standard_normal(8)
            frame = random_frame(
                rng, f'v{person}{number}.mp4', 1, 8, offset=0.0, camera='xyz'[number % 3]
            )
            vector = vector[None] / np.linalg.norm(vector)
            gallery.append([replace(frame, embeddings=vector)])
    gallery.group()
    out = str(tmp_path / 'people.json')
    manage('people', '--min-appearances', '4', '--camera', *'xyz', '--out', out)
    printed = capsys.readouterr().out
    assert 'person 1: 5 appearances, alike by 0.9' in printed
    assert 'cameras x, y, z; typical' in printed and '2 people with 4 appearances' in printed
    groups = json.loads((tmp_path / 'people.json').read_text())
    found = [[one['source'][:2] for one in group['appearances']] for group in groups]
    assert found == [['v0'] * 5, ['v1'] * 4]
    manage('people', '--camera', 'nowhere')
    assert '0 people with 3' in capsys.readouterr().out
    with pytest.raises(UserError, match='--min-appearances: 1 appearances make no group'):
        manage('people', '--min-appearances', '1')


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


def test_a_basic_date_deletes_from_that_day_on(manage, address):
    rng, gallery = np.random.default_rng(1), Gallery.open(address)
    gallery.append([random_frame(rng, '/1998.jpg', 1, 8, time=9e8)])
    manage('delete', '--since', '20000101', '--yes')
    assert known(address) == {'unknown.jpg', '1998.jpg'}
    manage('delete', '--until', '20000101', '--yes')
    assert known(address) == {'unknown.jpg'}


def test_a_gallery_with_times_in_no_calendar_can_be_looked_at_and_mended(
    manage, address, capsys, monkeypatch
):
    rng, gallery = np.random.default_rng(1), Gallery.open(address)
    with monkeypatch.context() as patch:  # as galleries were made before such times were refused
        patch.setattr('mmps.retrieval.records.check_time', lambda seconds: seconds)
        for number, moment in enumerate((1772366400123.0, 1e18, -1e18)):
            gallery.append([random_frame(rng, f'/{number}.jpg', 1, 8, time=moment)])
    manage('info')
    printed = capsys.readouterr().out
    assert 'in no calendar' in printed and '--since 9999-12-30' in printed
    hits = Gallery.open(address).search(np.eye(8)[0], 9)[0]
    assert [format_time(hit.time) for hit in hits if hit.time is not None]
    opened = Gallery.open(address)  # as docs/gallery.md says
    for source, frame in opened.known():
        for hit in opened.people_in(source, frame):
            if hit.time is not None and LATEST < hit.time < 1e15:
                assert opened.update([hit.id], time=hit.time / 1000) == 1
    manage('delete', '--since', '9999-12-30', '--yes')
    manage('delete', '--until', '0001-01-03', '--yes')
    capsys.readouterr()
    manage('info')
    assert 'calendar' not in capsys.readouterr().out
    assert known(address) == {'old.jpg', 'new.jpg', 'unknown.jpg', '0.jpg'}


@pytest.mark.parametrize('asked', ['2', '2.0', '02', '2e0'])
def test_numbers_are_found_as_they_are_written(manage, address, asked):
    rng, gallery = np.random.default_rng(1), Gallery.open(address)
    for number, floor in enumerate(('2', '3', 2, 2.0, True)):
        gallery.append([random_frame(rng, f'/{number}', 1, 8, metadata={'floor': floor})])
    manage('delete', '--where', f'floor={asked}', '--yes')
    gone = {'0', '2', '3'} if asked == '2' else {'2', '3'}
    assert known(address) == {'old.jpg', 'new.jpg', 'unknown.jpg', *'01234'} - gone


def test_delete_a_person(manage, address, capsys):
    hits = Gallery.open(address).search(np.eye(8)[0], 9, Where(cameras=['south']))[0]
    manage('delete', '--id', str(hits[0].id), '--yes')
    assert '1 sightings deleted, 5 left' in capsys.readouterr().out
    with pytest.raises(UserError, match='nobody with id'):  # and nothing is asked before
        manage('delete', '--id', str(hits[0].id))
    manage('delete', '--camera', 'nowhere')
    assert 'is meant: nothing was deleted' in capsys.readouterr().out


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
    assert asked[0].startswith('Delete 2 of the 6 sightings of')
    with pytest.raises(UserError, match='nothing was done'):
        manage('expire', '--days', '30')
    assert asked[1].startswith('Delete 2 of 6 sightings, older than 30 days?')
    assert len(known(address)) == 3
    monkeypatch.setattr('builtins.input', lambda question: 'y')
    manage('delete', '--camera', 'north')
    assert len(known(address)) == 2


def test_no_gallery(load_tool, tmp_path):
    with pytest.raises(UserError, match='there is no gallery'):
        load_tool('manage_gallery.py').main([str(tmp_path / 'none.lance'), 'info'])
