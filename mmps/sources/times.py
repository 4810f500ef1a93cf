"""Points in time, as seconds since the epoch (UTC).

What is written without an offset from UTC, as in the names of files and in most EXIF data, is the
time of the place that this machine is set to; the environment variable ``TZ`` sets another.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from mmps.utils.image_files import exif_of

if TYPE_CHECKING:
    from os import PathLike

_EXIF_IFD = 0x8769
_TAKEN, _TAKEN_OFFSET = 0x9003, 0x9011

EARLIEST, LATEST = -62_135_510_400.0, 253_402_214_400.0
"""The second day of the year 1 and the last but one of the year 9999: what lies between has a date
in every place."""
_UNITS = ((1e3, 'milliseconds'), (1e6, 'microseconds'), (1e9, 'nanoseconds'))

_DAY = (
    r'(?P<year>\d{4})(?:-(?P<month>\d\d)-(?P<day>\d\d)|(?P<basic>\d{4})'
    r'|-?W(?P<week>\d\d)(?:-?(?P<weekday>\d))?|-?(?P<ordinal>\d{3}))'
)
_CLOCK = r'(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?)?'
_OFFSET = r'(?P<offset>[Zz]|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)'
_ISO = re.compile(rf'{_DAY}(?:[Tt _]{_CLOCK}{_OFFSET}?)?', re.ASCII)
_TOGETHER = re.compile(r'(\d{8})(\d{4}(?:\d\d)?)', re.ASCII)
_DIGITS = re.compile(r'[+-]?\d+(?:\.\d*)?', re.ASCII)
_LIKE_A_DATE = re.compile(
    r'(?:19|20|21)\d\d(?:\d{3,4}|\d{8}|\d{10})?|(?:19|20|21)\d\d(?:0[1-9]|1[0-2])'
    r'|\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])',
    re.ASCII,
)
"""Digits that begin with a year, or are a day with two digits for the year."""
_LARGEST = 1e10
"""Seconds until the year 2286; larger numbers count in another unit."""
_HOW = (
    'write 2026-03-01, 2026-03-01T14:30:00, 2026-03-01T14:30:00+01:00 or seconds since 1970-01-01 '
    'UTC'
)


def parse_time(text: str) -> float:
    """A point in time: ISO 8601 in its extended and basic forms, or seconds.

    ``2026-03-01``, ``20260301``, ``2026-W09-7``, ``2026-060``; behind a day ``T14``, ``T14:30``,
    ``T143000.5``, and then ``Z`` or an offset such as ``+01:00``. Other numbers are seconds since
    1970-01-01 UTC, unless they look like a part of a date: ``2026``, ``202603``.

    Returns:
        Seconds since the epoch.

    Raises:
        ValueError: It is none of these, or ambiguous, or a time that no calendar has.
    """
    written = text.strip()
    try:
        return check_time(_seconds(written))
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f'{text!r} is no time{_guess(written)}; {_HOW}') from error


def _seconds(text: str) -> float:
    if _DIGITS.fullmatch(text) and not _LIKE_A_DATE.fullmatch(text):
        if abs(float(text)) >= _LARGEST:
            raise ValueError('too large')
        return float(text)
    if together := _TOGETHER.fullmatch(text):  # 20260301143000, as cameras write it
        text = 'T'.join(together.groups())
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError('another form')
    moment = datetime.combine(_day_of(match), datetime.min.time()) + _clock_of(match)
    if match['offset'] is None:
        return moment.timestamp()
    return moment.replace(tzinfo=_zone_of(match['offset'])).timestamp()


def _day_of(match: re.Match) -> date:
    year = int(match['year'])
    if match['week']:
        return date.fromisocalendar(year, int(match['week']), int(match['weekday'] or 1))
    if match['ordinal']:
        day = date(year, 1, 1) + timedelta(int(match['ordinal']) - 1)
        if day.year != year or match['ordinal'] == '000':
            raise ValueError('no such day in this year')
        return day
    month, day = match['month'], match['day']
    if match['basic']:
        month, day = match['basic'][:2], match['basic'][2:]
    return date(year, int(month), int(day))


def _clock_of(match: re.Match) -> timedelta:
    hour, minute, second = (int(match[name] or 0) for name in ('hour', 'minute', 'second'))
    part = float(f'0.{match["part"] or 0}')
    if minute > 59 or second > 59 or (hour, minute, second, part) > (24, 0, 0, 0.0):
        raise ValueError('no such time of day')
    return timedelta(hours=hour, minutes=minute, seconds=second + part)


def _zone_of(text: str) -> timezone:
    if text in 'Zz':
        return timezone.utc
    digits = text[1:].replace(':', '').ljust(6, '0')
    hours, minutes, seconds = (int(digits[i : i + 2]) for i in (0, 2, 4))
    if minutes > 59 or seconds > 59:
        raise ValueError('no such offset')
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-offset if text[0] == '-' else offset)


def _guess(text: str) -> str:
    """What somebody may have meant by a number."""
    if _LIKE_A_DATE.fullmatch(text):
        return ': it looks like a date, but is none' if len(text) > 6 else ', or an ambiguous one'
    return _unit_hint(float(text)) if _DIGITS.fullmatch(text) else ''


def _unit_hint(value: float) -> str:
    for factor, unit in _UNITS:
        if _LARGEST <= abs(value) < factor * _LARGEST:
            return f' (are these {unit}? In seconds it is {value / factor:.16g})'
    return ''


def check_time(seconds: float) -> float:
    """Raise `ValueError` unless ``seconds`` since the epoch are in the years 1 to 9999; returns it.

    The message names the unit that a larger number may be in.
    """
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError(f'{seconds:.16g} s since 1970 is in no calendar{_unit_hint(seconds)}')
    return seconds


def time_of_digits(text: str) -> float:
    """Seconds since the epoch from a number in the name of a file.

    Thirteen digits are milliseconds, sixteen microseconds, nineteen nanoseconds: as seconds they
    are in no calendar.

    Raises:
        ValueError: It is no number, or a time that no calendar has.
    """
    if not _DIGITS.fullmatch(text):
        raise ValueError(f'{text!r} is no number of seconds since 1970')
    factor = {13: 10**3, 16: 10**6, 19: 10**9}.get(len(text.lstrip('+-')), 1)
    return check_time(int(text) / factor if factor > 1 and '.' not in text else float(text))


def year_of_digits(text: str) -> int:
    """A year; one of two digits as POSIX reads it, from 1969 to 2068.

    Raises:
        ValueError: Neither two nor four digits.
    """
    if len(text) == 2:
        return int(text) + (1900 if int(text) >= 69 else 2000)
    if len(text) != 4:
        raise ValueError(f'a year has four digits or two, not {text!r}')
    return int(text)


def format_time(seconds: float) -> str:
    """The local time, to the second, with its offset from UTC; of a time that no calendar has the
    number.
    """
    try:
        moment = datetime.fromtimestamp(check_time(seconds), timezone.utc).astimezone()
    except ValueError:
        return f'{seconds:.16g} s since 1970 (in no calendar)'
    return moment.isoformat(sep=' ', timespec='seconds')


def format_offset(seconds: float) -> str:
    """A place in a video, ``h:mm:ss.s``."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    return f'{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}.{rest % 10}'


def exif_time(path: str | PathLike) -> float | None:
    """When a photograph says that it was taken (EXIF's ``DateTimeOriginal``)."""
    try:
        exif = exif_of(Path(path))
        entries = exif.get_ifd(_EXIF_IFD)
        taken = datetime.strptime(str(entries[_TAKEN]).strip('\0 '), '%Y:%m:%d %H:%M:%S')
        offset = str(entries.get(_TAKEN_OFFSET, '')).strip('\0 ')
        return parse_time(taken.isoformat() + offset)
    except Exception:  # anything may stand there, and a plugin of Pillow's may raise anything
        return None
