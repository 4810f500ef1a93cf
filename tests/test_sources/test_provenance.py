import math
import os
import re
import time
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmps.sources import Provenance, check_time, format_offset, format_time, parse_time
from mmps.sources.provenance import exif_time
from mmps.utils.errors import UserError


@pytest.fixture(autouse=True, scope='module')
def _place():
    """An hour east of UTC, without summer time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TZ', 'XXX-1')
        time.tzset()
        yield
    time.tzset()


NOON = 1772362800.0  # 2026-03-01T12:00:00+01:00, by date(1)


@pytest.mark.parametrize(
    'text',
    [
        '2026-03-01T12:00:00',
        '2026-03-01 12:00',
        '2026-03-01T11:00:00+00:00',
        '2026-03-01T11:00:00Z',
        '1772362800',
    ],
)
def test_times(text):
    assert parse_time(text) == NOON


@pytest.mark.parametrize('text', ['yesterday', '', 'nan', 'inf', '1e20', '01.03.2026'])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match=f"'{text}' is no time; write 2026-03-01"):
        parse_time(text)


@pytest.mark.parametrize(
    'text',
    [
        *('2026-03-01', '20260301', '2026-W09-7', '2026W097', '2026-060', '2026060'),
        *('20260301T00', '20260301T0000', '20260301T000000', '20260301T000000,0', '2026-02-28T24'),
        *('20260228T23Z', '20260301T0000+0100', '20260301 02:00+03', '20260301T000000+01:00'),
        *('20260301000000', '202603010000', ' 2026-03-01 ', '1772319600', '1772319600.0'),
    ],
)
def test_short_and_basic_forms_of_iso_8601(text):
    assert parse_time(text) == NOON - 12 * 3600


@pytest.mark.parametrize(
    'text',
    [
        *('2026', '202603', '260301', '1_000', '2026-03', '20261301', '20260230', '2026366'),
        *('2026-03-01T25', '2026-03-01T12:60', '2026-03-01T24:01', '2026-03-01T12+99', '٢٠٢٦0301'),
        *('20260301T', '2026-W54', '2026-03-01T12:00:60', '202603011260'),
    ],
)
def test_what_is_ambiguous_or_in_no_calendar_is_no_time(text):
    with pytest.raises(ValueError, match=rf'{re.escape(repr(text))} is no time.*; write 2026-'):
        parse_time(text)


def test_plain_seconds_go_on_working():
    for seconds in (0, 5000, 86_400, 999_999, 100_000_000, 1_772_323_200, 5000.5, -1.5):
        assert parse_time(str(seconds)) == seconds


@given(
    moment=st.datetimes(datetime(1902, 1, 1), datetime(2199, 12, 31)),
    form=st.sampled_from(
        ['%Y-%m-%dT%H:%M:%S', '%Y%m%dT%H%M%S', '%Y%m%d%H%M%S', '%Y-%jT%H%M%S', '%G-W%V-%uT%H:%M:%S']
    ),
)
def test_every_form_of_a_moment_is_that_moment(moment, form):
    moment = moment.replace(microsecond=0)
    assert parse_time(moment.strftime(form)) == moment.timestamp()
    assert parse_time(moment.strftime('%Y%m%d')) == datetime(*moment.timetuple()[:3]).timestamp()
    seconds = int(moment.timestamp())
    if len(str(abs(seconds))) > 8:  # fewer digits may be a day
        assert parse_time(str(seconds)) == seconds


@given(st.text('0123456789-:TWZ+., _e', max_size=20))
def test_whatever_is_written_is_a_time_in_the_calendar_or_refused(text):
    try:
        seconds = parse_time(text)
    except ValueError as error:
        assert 'is no time' in str(error)
    else:
        assert 'no calendar' not in format_time(seconds)


@pytest.mark.parametrize(
    ('digits', 'unit'),
    [
        ('1772366400123', 'milliseconds'),
        ('1772366400123456', 'microseconds'),
        ('1772366400123456789', 'nanoseconds'),
    ],
)
def test_other_units_are_named_on_the_command_line_and_read_in_names(digits, unit):
    with pytest.raises(ValueError, match=rf'are these {unit}\? In seconds it is 1772366400\.12'):
        parse_time(digits)
    with pytest.raises(ValueError, match=f'in no calendar .are these {unit}'):
        check_time(float(digits))
    with pytest.raises(UserError, match=f'start_time: .*{unit}'):
        Provenance(start_time=float(digits))
    named = Provenance(name_pattern=r'_(?P<epoch>\d+)\.')
    assert named.of(f'/cam1_{digits}.png').time == pytest.approx(1772366400.123, abs=1e-3)


@given(st.text('0123456789.-+e', min_size=1, max_size=25))
def test_a_number_in_a_name_is_a_time_in_the_calendar_or_a_problem(digits):
    named = Provenance(name_pattern=r'_(?P<epoch>.*)/')
    try:
        seconds = named.of(f'/_{digits}/a.png', 60.0).time
    except ValueError as error:
        assert 'its name holds no time that exists' in str(error)
    else:
        assert 'no calendar' not in format_time(seconds)


def test_years_of_two_digits():
    day = Provenance(name_pattern=r'/(?P<year>\d+)-(?P<month>\d\d)-(?P<day>\d\d)')
    assert day.of('/26-03-01_12.png').time == NOON - 12 * 3600
    assert format_time(day.of('/99-03-01.png').time).startswith('1999-03-01')
    for year in ('6', '026', '02026'):
        with pytest.raises(ValueError, match='a year has four digits or two'):
            day.of(f'/{year}-03-01.png')


def test_the_time_of_a_file_may_be_in_no_calendar(monkeypatch):
    found = SimpleNamespace(stat=lambda path: SimpleNamespace(st_mtime=1e13))
    monkeypatch.setattr('mmps.sources.provenance.os', found)
    with pytest.raises(ValueError, match='in no calendar'):
        Provenance(file_times=True).of('/video.mp4', 60.0)


def test_times_in_no_calendar_are_shown_as_numbers():
    for seconds in (1e18, -1e18, math.inf, math.nan, 1772366400123.0):
        assert 'no calendar' in format_time(seconds)


def test_times_for_people():
    assert format_time(NOON) == '2026-03-01 12:00:00+01:00'
    assert format_time(NOON + 0.52, offset=False) == '2026-03-01 12:00:00.5'
    assert format_time(NOON - 0.04, offset=False) == '2026-03-01 12:00:00'
    assert format_offset(3725.04) == '1:02:05.0'
    assert format_offset(59.96) == '0:01:00.0'


def photograph(path, taken=None, offset=None):
    exif = Image.Exif()
    details = {0x9003: taken, 0x9011: offset}
    exif[0x8769] = {key: value for key, value in details.items() if value is not None}
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, exif=exif)
    return str(path)


def test_exif(tmp_path):
    assert exif_time(photograph(tmp_path / 'a.jpg', '2026:03:01 12:00:00')) == NOON
    assert exif_time(photograph(tmp_path / 'b.jpg', '2026:03:01 09:00:00', '-02:00')) == NOON
    assert exif_time(photograph(tmp_path / 'c.png', '2026:03:01 12:00:00')) == NOON
    assert exif_time(photograph(tmp_path / 'd.jpg')) is None
    assert exif_time(photograph(tmp_path / 'e.jpg', '0000:00:00 00:00:00')) is None
    assert exif_time(photograph(tmp_path / 'f.jpg', '2026:03:01 12:00:00', 'east')) is None


def test_what_the_user_says_comes_first_and_the_file_last(tmp_path):
    path = photograph(tmp_path / 'cam7_20260301_130000.jpg', '2026:03:01 12:00:00')
    os.utime(path, (NOON + 7200, NOON + 7200))
    parts = ('year', 'month', 'day', 'hour', 'minute', 'second')
    digits = ''.join(rf'(?P<{p}>\d{{{4 if p == "year" else 2}}})_?' for p in parts)
    named = rf'cam(?P<camera>\d+)_{digits}'
    assert Provenance().of(path).time == NOON
    assert Provenance(name_pattern=named).of(path).time == NOON + 3600
    assert Provenance(name_pattern=named).of(path).camera == '7'
    assert Provenance(camera='door', name_pattern=named).of(path).camera == 'door'
    assert Provenance(start_time=5.0).of(path).time == NOON  # of videos only
    assert Provenance(start_time=5.0, name_pattern=named).of(path, 60.0).time == 5.0
    assert Provenance(name_pattern=named).of(path, 60.0).time == NOON + 3600
    assert Provenance().of(path, 60.0).time is None
    assert Provenance(file_times=True).of(path).time == NOON
    assert Provenance(file_times=True).of(path, 60.0).time == NOON + 7200 - 60
    plain = photograph(tmp_path / 'plain.jpg')
    assert Provenance(file_times=True).of(plain).time == os.stat(plain).st_mtime
    assert Provenance().of(plain).time is None


def test_other_groups_are_metadata_and_the_last_match_counts():
    rules = Provenance(name_pattern=r'c(?P<camera>\d)s(?P<sequence>\d)', metadata={'site': 'A'})
    origin = rules.of('/c9s9/c1s2_000151.jpg')
    assert (origin.camera, origin.metadata) == ('1', {'sequence': '2', 'site': 'A'})
    assert rules.of('/other.jpg').camera is None
    assert Provenance(name_pattern=r'(?P<epoch>\d+)\.').of('/1772362800.jpg').time == NOON
    day = Provenance(name_pattern=r'(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)')
    assert day.of('/2026-03-01.jpg').time == NOON - 12 * 3600


def test_a_time_in_the_name_that_does_not_exist():
    day = Provenance(name_pattern=r'(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)')
    with pytest.raises(ValueError, match='no time that exists'):
        day.of('/20261301.jpg')


@pytest.mark.parametrize(
    ('pattern', 'problem'),
    [
        (r'c(\d', 'missing'),
        (r'c(\d)', 'no named group'),
        (r'(?P<hour>\d)', 'needs year, month and day'),
        (r'(?P<year>\d)(?P<month>\d)', 'it has year, month'),
    ],
)
def test_patterns_that_cannot_be_meant(pattern, problem):
    with pytest.raises(UserError, match=problem):
        Provenance(name_pattern=pattern)


def test_a_pattern_has_to_fit_something():
    Provenance(name_pattern='(?P<camera>x)').check(['/a.png', '/x.png'])
    with pytest.raises(UserError, match=r'fits none of 1 files, such as /a\.png'):
        Provenance(name_pattern='(?P<camera>x)').check(['/a.png'])
