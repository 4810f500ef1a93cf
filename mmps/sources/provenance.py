"""Which camera took a file and when: what the user says, else the file's name, else the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dateutil.parser import isoparse

from mmps.sources.images import printable
from mmps.utils.errors import UserError
from mmps.utils.image_files import exif_of

if TYPE_CHECKING:
    from os import PathLike

_EXIF_IFD = 0x8769
_TAKEN, _TAKEN_OFFSET = 0x9003, 0x9011

EARLIEST, LATEST = -62_135_510_400.0, 253_402_214_400.0
"""The second day of the year 1 and the last but one of the year 9999: what lies between has a date
in every place."""
_UNITS = ((1e3, 'milliseconds'), (1e6, 'microseconds'), (1e9, 'nanoseconds'))

_DAY = r'\d{4}(?:-\d\d-\d\d|\d{4}|-?W\d\d(?:-?\d)?|-?\d{3})'
_CLOCK = r'\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?'
_ISO = re.compile(rf'({_DAY})(?:[Tt _]({_CLOCK}(?:[Zz]|[+-]\d\d(?::?\d\d)?)?))?', re.ASCII)
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
    if 'W' in match[1] and isoparse(match[1]).isocalendar().year != int(text[:4]):
        raise ValueError('no such week in this year')
    return isoparse('T'.join(filter(None, match.groups()))).timestamp()


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


def format_time(seconds: float, *, offset: bool = True) -> str:
    """The local time of ``seconds`` since the epoch, to the second, or to a tenth of one where it
    is between two; the number itself if no calendar has it. Its ``offset`` from UTC follows.
    """
    try:
        tenths = round(10 * check_time(seconds))
        moment = datetime.fromtimestamp(tenths / 10, timezone.utc).astimezone()
    except ValueError:
        return f'{seconds:.16g} s since 1970 (in no calendar)'
    text = moment.isoformat(sep=' ', timespec='seconds')
    part = f'.{tenths % 10}' if tenths % 10 else ''
    return text[:19] + part + (text[19:] if offset else '')


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


_DATE = ('year', 'month', 'day', 'hour', 'minute', 'second')
_OWN = ('camera', 'epoch', *_DATE)


@dataclass(frozen=True)
class Origin:
    """Where a file is from: when it was taken, or a video began, in seconds since the epoch (UTC),
    the name of the camera, and whatever else is known.
    """

    time: float | None = None
    camera: str | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    r"""The rules that tell where files are from.

    The camera is ``camera``, else the group of that name in ``name_pattern``.

    An image was taken when ``name_pattern`` says, else when its EXIF data say; a video began at
    ``start_time``, else when ``name_pattern`` says. Where neither is known and ``file_times`` is
    set, the time of the last change of the file counts, which is when a video ended.

    Example:
        >>> rules = Provenance(name_pattern=r'cam(?P<camera>\d+)_(?P<epoch>\d+)_(?P<floor>\w+)')
        >>> rules.of('/scenes/cam2_1772375400_hall.jpg')
        Origin(time=1772375400.0, camera='2', metadata={'floor': 'hall'})

    Args:
        camera: Name of the camera that took everything.
        name_pattern: Regular expression with named groups, searched in the absolute path; its last
            match counts. ``camera``; ``year``, ``month``, ``day``, ``hour``, ``minute``,
            ``second`` or ``epoch`` (seconds; of 13, 16 or 19 digits milli-, micro- or nanoseconds)
            are the time; other groups become metadata, as the text that they are.
        start_time: When the videos began, seconds since the epoch (UTC).
        file_times: Whether to trust the times of files, which copying often changes.
        metadata: Of everything.

    Raises:
        UserError: The pattern is not a regular expression with named groups, or ``start_time`` is
            no time.
    """

    camera: str | None = None
    name_pattern: str | None = None
    start_time: float | None = None
    file_times: bool = False
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.start_time is not None:
            try:
                check_time(self.start_time)
            except ValueError as error:
                raise UserError(f'start_time: {error}') from error
        if self.name_pattern is None:
            return
        try:
            groups = self._pattern.groupindex
        except re.error as error:
            raise UserError(f'name pattern {self.name_pattern!r}: {error}') from error
        if not groups:
            raise UserError(
                f'name pattern {self.name_pattern!r} has no named group; write, e.g., '
                r"'cam(?P<camera>\d+)'"
            )
        date = [name for name in _DATE if name in groups]
        if 0 < len(date) < 3 or date != list(_DATE[: len(date)]):
            raise UserError(
                f'name pattern {self.name_pattern!r}: a time needs year, month and day, and hour, '
                f'minute and second in this order; it has {", ".join(date)}'
            )

    @cached_property
    def _pattern(self) -> re.Pattern:
        return re.compile(self.name_pattern)

    def check(self, paths: Sequence[str]) -> None:
        """Raise `UserError` where the pattern fits none of some paths: it must be mistyped."""
        if self.name_pattern and paths and not any(map(self._pattern.search, paths)):
            raise UserError(
                f'name pattern {self.name_pattern!r} fits none of {len(paths)} files, such as '
                f'{printable(paths[0])}'
            )

    def of(self, path: str, duration: float | None = None) -> Origin:
        """Where the file of an absolute path is from; ``duration`` in seconds, None for an image.

        Raises:
            ValueError: The name, or the file, holds a time that does not exist.
        """
        groups: dict[str, str | None] = {}
        for match in self._pattern.finditer(path) if self.name_pattern else ():
            groups = match.groupdict()
        groups = {name: text for name, text in groups.items() if text is not None}
        time = self.start_time if duration is not None else None
        if time is None:
            time = _time_in_name(groups)
        if time is None and duration is None:
            time = exif_time(path)
        if time is None and self.file_times:
            time = check_time(os.stat(path).st_mtime - (duration or 0.0))
        camera = self.camera if self.camera is not None else groups.get('camera')
        others = {name: text for name, text in groups.items() if name not in _OWN}
        return Origin(time, camera, {**others, **self.metadata})


def _time_in_name(groups: Mapping[str, str]) -> float | None:
    if not groups.keys() & {'epoch', 'year'}:
        return None
    try:
        if (epoch := groups.get('epoch')) is not None:
            if not _DIGITS.fullmatch(epoch):
                raise ValueError(f'{epoch!r} is no number of seconds since 1970')
            # Milli-, micro- and nanoseconds: as seconds they are in no calendar.
            factor = {13: 10**3, 16: 10**6, 19: 10**9}.get(len(epoch.lstrip('+-')), 1)
            whole = factor > 1 and '.' not in epoch
            return check_time(int(epoch) / factor if whole else float(epoch))
        year = groups['year']
        if len(year) not in (2, 4):
            raise ValueError(f'a year has four digits or two, not {year!r}')
        # As POSIX reads two digits: from 1969 to 2068.
        century = 0 if len(year) == 4 else 1900 if int(year) >= 69 else 2000
        parts = [int(groups[name]) for name in _DATE[1:] if name in groups]
        return datetime(century + int(year), *parts).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f'its name holds no time that exists ({error})') from error
