"""Who was where and when, as a drawing: a row for each camera, time across, bars of appearances."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mmps.sources import format_offset, format_time
from mmps.web.markup import count, escape
from mmps.web.scenes import source_name

if TYPE_CHECKING:
    from mmps.retrieval import Appearance

ROW = 26
"""Pixels of a row, as in timeline.css."""
_BAR = 14
_TOP = (ROW - _BAR) // 2
_THIN = 0.1
"""Per cent across of the narrowest bar."""
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
        return format_time(value // 1, offset=False) + tenths

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


def timeline(
    appearances: Sequence[Appearance],
    right: Collection[int] = (),
    *,
    since: float | None = None,
    until: float | None = None,
    still: bool = False,
) -> str:
    """HTML of a timeline, for which ``timeline.css`` says what it looks like.

    Args:
        appearances: Who is drawn, with similarities.
        right: Ids of appearances of the person, which are connected in the order of time.
        since, until: What is filtered, shown as a range.
        still: For paper: nothing can be chosen.
    """
    axis = _Axis(appearances)
    drawn = [(one, span) for one in appearances if (span := axis.span(one)) is not None]
    if not drawn:
        return '<p class="ps-note">Nobody found has a time that is known.</p>'
    names = sorted({_row(one) for one, _ in drawn}, key=_natural)
    rows = {name: number for number, name in enumerate(names)}
    values = [one.similarity for one, _ in drawn]
    low, high = max(0.0, min(values)), max(values)  # below 0 they differ in nothing of interest
    # the most similar are drawn last, on top
    drawn.sort(key=lambda pair: pair[0].similarity)
    bars: list[list[str]] = [[] for _ in names]
    for one, (begin, end) in drawn:
        bars[rows[_row(one)]].append(
            _bar(one, axis, begin, end, _shade(one.similarity, low, high), one.id in right)
        )
    groups = ''.join(
        f'<g data-name="{escape(name)}" transform="translate(0 {ROW * number + _TOP})">'
        f'{"".join(bars[number])}</g>'
        for name, number in rows.items()
    )
    ticks = axis.ticks()
    height = ROW * len(names)
    grid = ''.join(
        f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{height}"/>' for x, _ in ticks
    ) + ''.join(
        f'<line x1="0" x2="100%" y1="{ROW * n}" y2="{ROW * n}"/>' for n in range(1, len(names))
    )
    path = _path([(one, span) for one, span in drawn if one.id in right], axis, rows)
    labels = ''.join(f'<span title="{escape(name)}">{escape(name)}</span>' for name in names)
    times = ''.join(f'<span style="left:{x:.2f}%">{escape(text)}</span>' for x, text in ticks)
    svg = f'<svg height="{height}" aria-hidden="true">{grid}{path}{groups}</svg>'
    lost = len(appearances) - len(drawn)
    untimed = f'<span>{count(lost, "has", "have")} no time</span>' if lost else ''
    first = axis.text(min(begin for _, (begin, _) in drawn))
    last = axis.text(max(end for _, (_, end) in drawn))
    said = f'{count(len(drawn), "appearance", "appearances")}, {first} to {last}'
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


def _natural(name: str) -> tuple[int, str]:
    return len(name), name


def _shade(similarity: float, low: float, high: float) -> int:
    share = (similarity - low) / (high - low) if high > low else 1.0
    return max(0, min(SHADES - 1, int(SHADES * share)))


def _bar(one: Appearance, axis: _Axis, begin: float, end: float, shade: int, sure: bool) -> str:
    text = axis.text(begin)
    if end - begin >= 1:
        last = axis.text(end)
        text += f' to {last[11:] if axis.calendar and last[:10] == text[:10] else last}'
    x = axis.share(begin)
    wide = max(_THIN, axis.share(end) - x)  # of no width it would not be drawn
    mark = ' ps-sure' if sure else ''
    return (
        f'<rect class="ps-s{shade}{mark}" x="{x:.3f}%" width="{wide:.3f}%" height="{_BAR}" '
        f'data-id="{one.hit.id}" data-s="{one.similarity:.2f}" data-t="{escape(text)}"/>'
    )


def _path(right: list, axis: _Axis, rows: dict[str, int]) -> str:
    right.sort(key=lambda pair: pair[1])
    corners = []
    for one, (begin, end) in right:
        y = ROW * rows[_row(one)] + ROW / 2
        corners += [(axis.share(begin), y), (axis.share(end), y)]
    return ''.join(
        f'<line class="ps-path" x1="{a:.3f}%" y1="{b}" x2="{c:.3f}%" y2="{d}"/>'
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
