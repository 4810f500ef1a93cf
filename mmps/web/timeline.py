"""Who was where and when, as a drawing: a row for each camera, time across, bars of appearances."""

import re
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from mmps.retrieval import Appearance
from mmps.sources import format_offset, format_time
from mmps.web.markup import count, environment
from mmps.web.scenes import source_name

_Span = tuple[float, float]

_BAR = 14
"""Pixels of a bar's height, where it has room."""
_ROW, _LANE = 26, 12
"""Pixels of a row of one lane, and those that another lane adds while the row may grow."""
_EDGE = 3
_HIGHEST, _ALL = (44, 104), 600
"""Pixels that a row may have, fewer the more rows share those of all."""
_THINNEST = 5
"""Pixels of a lane; where more lanes would be needed, bars lie on each other."""
_THIN, _GAP = 0.1, 0.4
"""Per cent across of the narrowest bar, and between two bars of a lane."""
_SHADES = 7
_DAY = 86400
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, _DAY)
_FINE = 300
"""Seconds across, up to which tenths of seconds are told."""
_TICKS = 6


class _Axis:
    """Time across: of the calendar, or where no time is known that of the video."""

    def __init__(self, appearances: Sequence[Appearance]) -> None:
        self.calendar = any(one.first is not None for one in appearances)
        spans = {one.id: self._span(one) for one in appearances}
        self.spans: dict[int, _Span] = {k: span for k, span in spans.items() if None not in span}
        self.first = min((begin for begin, _ in self.spans.values()), default=0.0)
        self.last = max((end for _, end in self.spans.values()), default=0.0)
        length = self.last - self.first
        margin = max(0.5, 0.015 * length)
        self.begin, self.end = self.first - margin, self.last + margin
        self._fine = length < _FINE
        self._written = cache(partial(format_time, offset=False))  # many bars share a second

    def _span(self, one: Appearance) -> tuple[float | None, float | None]:
        return (one.first, one.last) if self.calendar else (one.start, one.end)

    def share(self, value: float) -> float:
        """In per cent, from the left."""
        return 100 * (value - self.begin) / (self.end - self.begin)

    def shares(self, span: _Span) -> _Span:
        """Where a bar begins, and how wide it is: of no width it would not be drawn."""
        left, right = map(self.share, span)
        return left, max(_THIN, right - left)

    def text(self, value: float) -> str:
        if not self.calendar:
            return format_offset(value)
        tenths = f'.{int(10 * value) % 10}' if self._fine else ''
        return self._written(value // 1) + tenths

    def period(self, begin: float, end: float) -> str:
        """From when to when."""
        first, last = self.text(begin), self.text(end)
        if end - begin < 1:
            return first
        return f'{first} to {last[11:] if self.calendar and last[:10] == first[:10] else last}'

    def ticks(self) -> list[tuple[float, str]]:
        """Place in per cent and text of round times."""
        length = self.end - self.begin
        step = next((s for s in _STEPS if length / s <= _TICKS), None)
        step = step or _DAY * -(-length // (_DAY * _TICKS))
        part = slice(11, 19 if step < 60 else 16)  # what tells a time from the others
        if length > 300 * _DAY:
            part = slice(10)
        elif length > _DAY:
            part = slice(5, 10 if step >= _DAY else 16)
        shift = time.localtime(self.begin).tm_gmtoff if self.calendar else 0
        begin = -(-(self.begin + shift) // step) * step - shift
        values = (begin + step * np.arange((self.end - begin) // step + 1)).tolist()
        if self.calendar:
            return [(self.share(value), self.text(value)[part]) for value in values]
        return [(self.share(value), self.text(max(value, 0))) for value in values]


@dataclass
class _Row:
    """A camera's bars, those that overlap in lanes below each other.

    Attributes:
        name: Of the camera.
        top: Pixels from the top of the timeline.
        lanes: Of each appearance by its id.
        height: In pixels.
        lane: Pixels of a lane's height.
        bars: HTML of each, in the order in which they are drawn.
    """

    name: str
    top: int
    lanes: dict[int, int]
    height: int
    lane: float
    bars: list[str] = field(default_factory=list)

    def middle(self, appearance: int) -> float:
        """Pixels from the top of the row to the middle of a bar."""
        return _EDGE + self.lane * (self.lanes[appearance] + 0.5)


def _rows(names: Mapping[int, str], axis: _Axis) -> dict[str, _Row]:
    """The rows by their names, in the order in which they are shown."""
    spans: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for one, span in axis.spans.items():
        left, wide = axis.shares(span)
        spans[names[one]].append((left, left + wide, one))
    low, high = _HIGHEST
    highest = max(low, min(high, _ALL // len(spans)))
    rows, top = {}, 0
    for name in sorted(spans, key=_natural):
        lanes, number = _lanes(sorted(spans[name]), (highest - 2 * _EDGE) // _THINNEST)
        height = min(highest, _ROW + _LANE * (number - 1))
        rows[name] = _Row(name, top, lanes, height, (height - 2 * _EDGE) / number)
        top += height
    return rows


def _lanes(spans: list[tuple[float, float, int]], most: int) -> tuple[dict[int, int], int]:
    """A lane for each span (begin, end, id), in which it overlaps none, and how many there are.

    The fewest that will do (interval partitioning), but ``most``: then that which is free first.
    """
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    lanes, number = {}, 0
    for begin, end, one in spans:
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        elif number < most:
            lane, number = number, number + 1
        else:
            lane = heappop(busy)[1]
        heappush(busy, (end + _GAP, lane))
        lanes[one] = lane
    return lanes, number


def timeline(
    appearances: Sequence[Appearance],
    right: Collection[int] = (),
    ranks: Mapping[int, int] | None = None,
    *,
    since: float | None = None,
    until: float | None = None,
    still: bool = False,
) -> str:
    """HTML of a timeline, for which ``timeline.css`` says what it looks like.

    Args:
        appearances: Who is drawn, with similarities.
        right: Ids of appearances of the person, which are connected in the order of time.
        ranks: Of appearances that a list beside it shows, by their ids.
        since, until: What is filtered, shown as a range.
        still: For paper: nothing can be chosen.
    """
    axis = _Axis(appearances)
    drawn = [one for one in appearances if one.id in axis.spans]
    if not drawn:
        return Markup('<p class="ps-note">Nobody found has a time that is known.</p>')
    names = {
        one.id: source_name(one.source) if one.camera is None else f'cam {one.camera}'
        for one in drawn
    }
    rows = _rows(names, axis)
    # the most similar are drawn last, on top
    drawn.sort(key=lambda one: one.similarity)
    # below 0 they differ in nothing of interest
    low, high = max(0.0, drawn[0].similarity), drawn[-1].similarity
    for one in drawn:
        share = (one.similarity - low) / (high - low) if high > low else 1.0
        kind = f'ps-s{max(0, min(_SHADES - 1, int(_SHADES * share)))}'
        kind += ' ps-sure' if one.id in right else ''
        rank = ranks.get(one.id) if ranks else None
        rows[names[one.id]].bars.append(_bar(one, axis, rows[names[one.id]], kind, rank))
    corners = []
    for one in sorted((one.id for one in drawn if one.id in right), key=axis.spans.get):
        y = rows[names[one]].top + rows[names[one]].middle(one)
        corners += [(axis.share(end), y) for end in axis.spans[one]]
    range_ = None
    if axis.calendar and (since is not None or until is not None):
        left = 0.0 if since is None else np.clip(axis.share(since), 0, 100)
        end = 100.0 if until is None else np.clip(axis.share(until), 0, 100)
        range_ = left, max(0.0, end - left)
    said = f'{count(len(drawn), "appearance")}, {axis.period(axis.first, axis.last)}'
    return Markup(
        environment.get_template('timeline.html').render(
            axis=axis,
            rows=rows.values(),
            height=sum(row.height for row in rows.values()),
            ticks=axis.ticks(),
            path=[(*a, *b) for a, b in pairwise(corners)],
            said=said,
            untimed=len(appearances) - len(drawn),
            low=low,
            high=high,
            shades=range(_SHADES),
            range=range_,
            still=still,
        )
    )


def _natural(name: str) -> list[str | int]:
    """By which cam 2 comes before cam 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name)]


def _bar(one: Appearance, axis: _Axis, row: _Row, kind: str, rank: int | None) -> str:
    left, wide = axis.shares(axis.spans[one.id])
    high = max(1.0, min(_BAR, row.lane - 4))  # its outline needs two more
    listed = f' data-rank="{rank}"' if rank else ''
    return (
        f'<rect class="{kind}" x="{left:.3f}%" width="{wide:.3f}%" '
        f'y="{row.middle(one.id) - high / 2:.1f}" height="{high:.1f}" data-id="{one.hit.id}" '
        f'data-s="{one.similarity:.2f}" data-t="{axis.period(*axis.spans[one.id])}"{listed}/>'
    )
