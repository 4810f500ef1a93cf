"""Points in time, as seconds since the epoch (UTC).

What is written without an offset from UTC, as in the names of files and in most EXIF data, is the
time of the place that this machine is set to; the environment variable ``TZ`` sets another.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

_EXIF_IFD = 0x8769
_TAKEN, _TAKEN_OFFSET = 0x9003, 0x9011


def parse_time(text: str) -> float:
    """``2026-03-01T14:30:00``, with an offset such as ``+01:00`` or without; or seconds.

    Raises:
        ValueError: It is neither.
    """
    try:
        seconds = _seconds(text)
        format_time(seconds)  # neither NaN nor in a year that no calendar has
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(
            f'{text!r} is no time; write 2026-03-01, 2026-03-01T14:30:00, '
            '2026-03-01T14:30:00+01:00 or seconds since 1970-01-01 UTC'
        ) from error
    return seconds


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        written = f'{text[:-1]}+00:00' if text.endswith('Z') else text
        return datetime.fromisoformat(written).timestamp()


def format_time(seconds: float) -> str:
    """The local time, to the second, with its offset from UTC."""
    moment = datetime.fromtimestamp(seconds, timezone.utc).astimezone()
    return moment.isoformat(sep=' ', timespec='seconds')


def format_offset(seconds: float) -> str:
    """A place in a video, ``h:mm:ss.s``."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    return f'{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}.{rest % 10}'


def exif_time(path: str | PathLike) -> float | None:
    """When a photograph says that it was taken (EXIF's ``DateTimeOriginal``)."""
    from PIL import Image

    try:
        exif = Image.Exif()
        with Image.open(path) as image:
            exif.load(image.info.get('exif'))  # image.getexif() would decode a PNG file
        entries = exif.get_ifd(_EXIF_IFD)
        taken = datetime.strptime(str(entries[_TAKEN]).strip('\0 '), '%Y:%m:%d %H:%M:%S')
        offset = str(entries.get(_TAKEN_OFFSET, '')).strip('\0 ')
        return parse_time(taken.isoformat() + offset)
    except Exception:  # anything may stand there, and a plugin of Pillow's may raise anything
        return None
