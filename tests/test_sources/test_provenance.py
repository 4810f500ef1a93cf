import os

import numpy as np
import pytest
from PIL import Image

from mmps.sources import Provenance, format_offset, format_time, parse_time
from mmps.sources.times import exif_time
from mmps.utils.cli import UserError


@pytest.fixture(autouse=True)
def _place(time_zone):
    """An hour east of UTC, without summer time."""
    time_zone('XXX-1')


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


def test_times_for_people():
    assert format_time(NOON) == '2026-03-01 12:00:00+01:00'
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
