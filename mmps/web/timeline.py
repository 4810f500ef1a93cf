"""Who was where and when, as a drawing: a row for each camera, time across, bars of appearances."""

import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from heapq import heappop, heappush

from mmps.retrieval import Appearance
from mmps.sources import format_offset, format_time
from mmps.web.markup import count, escape
from mmps.web.scenes import source_name

_Drawn = tuple[Appearance, tuple[float, float]]

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
SHADES = 7
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_DAY = 86400
_FINE = 300
"""Seconds across, up to which tenths of seconds are told."""
_TICKS = 6


class _Axis:
    """Time across: of the calendar, or where no time is known that of the video."""

    def __init__(self, appearances: Sequence[Appearance]) -> None:
        self.calendar = any(one.first is not None for one in appearances)
        spans = [self.span(one) for one in appearances]
        known = [span for span in spans if span is not None]
        first = min((begin for begin, _ in known), default=0.0)
        last = max((end for _, end in known), default=0.0)
        margin = max(0.5, 0.015 * (last - first))
        self.begin, self.end = first - margin, last + margin
        self._fine = last - first < _FINE
        self._written = cache(partial(format_time, offset=False))  # many bars share a second

    def span(self, one: Appearance) -> tuple[float, float] | None:
        begin, end = (one.first, one.last) if self.calendar else (one.start, one.end)
        return None if begin is None or end is None else (begin, end)

    def share(self, value: float) -> float:
        """In per cent, from the left."""
        return 100 * (value - self.begin) / (self.end - self.begin)

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
        shift = time.localtime(self.begin).tm_gmtoff if self.calendar else 0
        value = -(-(self.begin + shift) // step) * step - shift
        ticks = []
        while value <= self.end:
            text = self.text(max(value, 0) if not self.calendar else value)
            if self.calendar:
                text = _shortened(text, length, step)
            ticks.append((self.share(value), text))
            value += step
        return ticks


@dataclass(frozen=True)
class _Row:
    """A camera's bars, those that overlap in lanes below each other.

    Attributes:
        name: Of the camera.
        top: Pixels from the top of the timeline.
        lanes: Of each appearance by its id.
        count: How many lanes there are.
        height: In pixels.
    """

    name: str
    top: float
    lanes: dict[int, int]
    count: int
    height: int

    @cached_property
    def _lane(self) -> float:
        return (self.height - 2 * _EDGE) / self.count

    @cached_property
    def bar(self) -> float:
        """Pixels of a bar's height; its outline needs two more."""
        return max(1.0, min(_BAR, self._lane - 4))

    def middle(self, appearance: int) -> float:
        """Pixels from the top of the row to the middle of a bar."""
        return _EDGE + self._lane * (self.lanes[appearance] + 0.5)


def _rows(drawn: list[_Drawn], axis: _Axis) -> dict[str, _Row]:
    """The rows by their names, in the order in which they are shown."""
    spans: dict[str, list[tuple[float, float, int]]] = {}
    for one, (begin, end) in drawn:
        left = axis.share(begin)
        right = left + _wide(axis, begin, end)
        spans.setdefault(_row(one), []).append((left, right, one.id))
    low, high = _HIGHEST
    highest = max(low, min(high, _ALL // len(spans)))
    rows, top = {}, 0
    for name in sorted(spans, key=_natural):
        lanes, count = _lanes(sorted(spans[name]), (highest - 2 * _EDGE) // _THINNEST)
        height = min(highest, _ROW + _LANE * (count - 1))
        rows[name] = _Row(name, top, lanes, count, height)
        top += height
    return rows


def _lanes(spans: list[tuple[float, float, int]], most: int) -> tuple[dict[int, int], int]:
    """A lane for each span (begin, end, id), in which it overlaps none, and how many there are.

    The fewest that will do (interval partitioning), but ``most``: then that which is free first.
    """
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    lanes, count = {}, 0
    for begin, end, one in spans:
        while busy and busy[0][0] <= begin:
            heappush(free, heappop(busy)[1])
        if free:
            lane = heappop(free)
        elif count < most:
            lane, count = count, count + 1
        else:
            lane = heappop(busy)[1]
        heappush(busy, (end + _GAP, lane))
        lanes[one] = lane
    return lanes, count


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
    drawn = [(one, span) for one in appearances if (span := axis.span(one)) is not None]
    if not drawn:
        return '<p class="ps-note">Nobody found has a time that is known.</p>'
    rows = _rows(drawn, axis)
    values = [one.similarity for one, _ in drawn]
    low, high = max(0.0, min(values)), max(values)  # below 0 they differ in nothing of interest
    # the most similar are drawn last, on top
    drawn.sort(key=lambda pair: pair[0].similarity)
    bars: dict[str, list[str]] = {name: [] for name in rows}
    for one, span in drawn:
        row, kind = rows[_row(one)], f'ps-s{_shade(one.similarity, low, high)}'
        if one.id in right:
            kind += ' ps-sure'
        bars[row.name].append(_bar(one, axis, span, row, kind, ranks and ranks.get(one.id)))
    groups = ''.join(
        f'<g data-name="{escape(row.name)}" data-height="{row.height}" '
        f'transform="translate(0 {row.top})">{"".join(bars[row.name])}</g>'
        for row in rows.values()
    )
    ticks = axis.ticks()
    height = sum(row.height for row in rows.values())
    grid = ''.join(
        f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{height}"/>' for x, _ in ticks
    ) + ''.join(
        f'<line x1="0" x2="100%" y1="{row.top}" y2="{row.top}"/>'
        for row in rows.values()
        if row.top
    )
    path = _path([(one, span) for one, span in drawn if one.id in right], axis, rows)
    labels = ''.join(
        f'<span title="{escape(row.name)}" style="line-height:{row.height}px">'
        f'{escape(row.name)}</span>'
        for row in rows.values()
    )
    times = ''.join(f'<span style="left:{x:.2f}%">{escape(text)}</span>' for x, text in ticks)
    svg = f'<svg height="{height}" aria-hidden="true">{grid}{path}{groups}</svg>'
    lost = len(appearances) - len(drawn)
    untimed = f'<span>{count(lost, "has", "have")} no time</span>' if lost else ''
    begin, end = min(begin for _, (begin, _) in drawn), max(end for _, (_, end) in drawn)
    said = f'{count(len(drawn), "appearance")}, {axis.period(begin, end)}'
    active = f'<div class="ps-plot">{svg}</div>'
    controls = ''
    if not still:
        active = (
            f'<div class="ps-plot" tabindex="0" role="application" data-begin="{axis.begin!r}" '
            f'data-end="{axis.end!r}" data-calendar="{int(axis.calendar)}" '
            f'aria-label="Timeline of {said}. Arrow keys go from one to the next, Enter shows it.">'
            f'{svg}{_range(axis, since, until)}</div>'
        )
        controls = _controls(axis.calendar, since is not None or until is not None)
    return (
        f'<div class="ps-timeline"><div class="ps-tracks"><div class="ps-rows">{labels}</div>'
        f'{active}<div class="ps-ticks">{times}</div></div>'
        f'<p class="ps-legend"><span role="status">{escape(said)}</span>{untimed}'
        f'<span>similarity {low:.2f} {_scale()} {high:.2f}</span></p>{controls}</div>'
    )


def _row(one: Appearance) -> str:
    return source_name(one.source) if one.camera is None else f'cam {one.camera}'


def _shortened(text: str, length: float, step: float) -> str:
    """What tells a tick of an axis of so many seconds from the others."""
    if length > 300 * _DAY:
        return text[:10]
    if length > _DAY:
        return text[5:10] if step >= _DAY else text[5:16]
    return text[11:19] if step < 60 else text[11:16]


def _natural(name: str) -> list[str | int]:
    """By which cam 2 comes before cam 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name)]


def _shade(similarity: float, low: float, high: float) -> int:
    share = (similarity - low) / (high - low) if high > low else 1.0
    return max(0, min(SHADES - 1, int(SHADES * share)))


def _wide(axis: _Axis, begin: float, end: float) -> float:
    """Per cent across of a bar: of no width it would not be drawn."""
    return max(_THIN, axis.share(end) - axis.share(begin))


def _bar(
    one: Appearance,
    axis: _Axis,
    span: tuple[float, float],
    row: _Row,
    kind: str,
    rank: int | None,
) -> str:
    begin, end = span
    when = escape(axis.period(begin, end))
    listed = f' data-rank="{rank}"' if rank else ''
    return (
        f'<rect class="{kind}" x="{axis.share(begin):.3f}%" '
        f'width="{_wide(axis, begin, end):.3f}%" y="{row.middle(one.id) - row.bar / 2:.1f}" '
        f'height="{row.bar:.1f}" '
        f'data-id="{one.hit.id}" data-s="{one.similarity:.2f}" data-t="{when}"{listed}/>'
    )


def _path(right: list[_Drawn], axis: _Axis, rows: dict[str, _Row]) -> str:
    right.sort(key=lambda pair: pair[1])
    corners = []
    for one, (begin, end) in right:
        row = rows[_row(one)]
        y = row.top + row.middle(one.id)
        corners += [(axis.share(begin), y), (axis.share(end), y)]
    return ''.join(
        f'<line class="ps-path" x1="{a:.3f}%" y1="{b:.1f}" x2="{c:.3f}%" y2="{d:.1f}"/>'
        for (a, b), (c, d) in zip(corners, corners[1:], strict=False)
    )


def _scale() -> str:
    """The colours, from the least similar to the most."""
    parts = ''.join(
        f'<rect class="ps-s{n}" x="{16 * n + 1}" y="1" width="14" height="8"/>'
        for n in range(SHADES)
    )
    return f'<svg class="ps-scale" aria-hidden="true">{parts}</svg>'


def _range(axis: _Axis, since: float | None, until: float | None) -> str:
    if not axis.calendar or (since is None and until is None):
        return '<div class="ps-range" hidden></div>'
    left = 0.0 if since is None else max(0.0, min(100.0, axis.share(since)))
    right = 100.0 if until is None else max(0.0, min(100.0, axis.share(until)))
    return (
        f'<div class="ps-range" style="left:{left:.2f}%;width:{max(0.0, right - left):.2f}%"></div>'
    )


def _controls(calendar: bool, filtered: bool) -> str:
    if not calendar:
        return ''
    clear = '' if filtered else ' disabled'
    return (
        '<p class="ps-marks"><button type="button" data-range="since">From here on</button>'
        '<button type="button" data-range="until">Until here</button>'
        f'<button type="button" data-range="all"{clear}>All times</button>'
        '<span class="ps-note">Drag across the timeline to choose a time.</span></p>'
    )
