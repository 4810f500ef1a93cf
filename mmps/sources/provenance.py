"""Which camera took a file and when: what the user says, else the file's name, else the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from mmps.sources.frame import printable
from mmps.sources.times import check_time, exif_time, time_of_digits, year_of_digits
from mmps.utils.errors import UserError

_DATE = ('year', 'month', 'day', 'hour', 'minute', 'second')
_OWN = ('camera', 'epoch', *_DATE)


@dataclass(frozen=True)
class Origin:
    """Where a file is from.

    Attributes:
        time: When it was taken, for a video when it began; seconds since the epoch (UTC).
        camera: Name of the camera.
        metadata: Whatever else is known.
    """

    time: float | None = None
    camera: str | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """The rules that tell where files are from.

    The camera is ``camera``, else the group of that name in ``name_pattern``.

    An image was taken when ``name_pattern`` says, else when its EXIF data say; a video began at
    ``start_time``, else when ``name_pattern`` says. Where neither is known and ``file_times`` is
    set, the time of the last change of the file counts, which is when a video ended.

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
        """Where a file is from.

        Args:
            path: Absolute path.
            duration: Length of a video in seconds; None for an image.

        Raises:
            ValueError: The name, or the file, holds a time that does not exist.
        """
        groups = self._groups(path)
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

    def _groups(self, path: str) -> dict[str, str]:
        if self.name_pattern is None:
            return {}
        *_, match = [None, *self._pattern.finditer(path)]
        return {k: v for k, v in match.groupdict().items() if v is not None} if match else {}


def _time_in_name(groups: Mapping[str, str]) -> float | None:
    if not groups.keys() & {'epoch', 'year'}:
        return None
    try:
        if 'epoch' in groups:
            return time_of_digits(groups['epoch'])
        parts = [int(groups[name]) for name in _DATE[1:] if name in groups]
        return datetime(year_of_digits(groups['year']), *parts).timestamp()
    except (ValueError, OverflowError) as error:
        raise ValueError(f'its name holds no time that exists ({error})') from error
