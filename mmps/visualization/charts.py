"""The picture of a diagnosis: where the mAP goes, in all and by group."""

import os
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from mmps.evaluation.functional.diagnosis import Breakdown, Part, SearchLoss
from mmps.utils.files import whole_file

REACHED = '#e3e7ec'
COLOURS = {
    Part.REPEATED: '#9aa1ab',
    Part.MISSED: '#0b3c7d',
    Part.CUT: '#2f86c9',
    Part.LOCALISED: '#9fd0f0',
    Part.OTHER_IDENTITY: '#c8420a',
    Part.UNLABELLED: '#f09a1a',
    Part.BACKGROUND: '#f7e07a',
    Part.SAME_PERSON: '#a3306f',
}
"""Blue: lost by the detector, warm: lost in the ranking, grey: by the protocol."""

INK, MUTED = '#111827', '#5b6472'
PANELS = {
    'query_height': ('Height of the query', 'pixels', 'searches'),
    'gallery_height': ('Height of the person in the gallery', 'pixels', 'appearances'),
    'query_occlusion': ('Occlusion of the query', '% of the box inside another box', 'searches'),
    'gallery_occlusion': (
        'Occlusion of the person in the gallery',
        '% of the box inside another box',
        'appearances',
    ),
    'appearances': ('Appearances to be found', 'number in the gallery', 'searches'),
}
SURE = 30
"""Searches or appearances below which a group says little, and is drawn pale."""
MOST_NUMBERED = 12
"""Cameras up to which the cells of the camera pairs hold their numbers."""


def save_diagnosis(
    path: str | os.PathLike, loss: SearchLoss, breakdowns: Mapping[str, Breakdown], key: str
) -> None:
    """Draw a diagnosis of a result, e.g. ``search/mAP``, into a PNG file of 1300 x 1060 pixels.

    ``breakdowns`` come from :func:`~mmps.evaluation.functional.diagnosis.break_down`.
    """
    figure = Figure(figsize=(13, 10.6), dpi=100, facecolor='white')
    shown = [part for part in Part if loss.mean_parts[part] > 0]
    grid = GridSpec(
        2, 3, figure, left=0.055, right=0.985, top=0.69, bottom=0.06, hspace=0.42, wspace=0.2
    )
    _draw_total(figure.add_axes((0.02, 0.855, 0.965, 0.05)), loss, shown, key)
    panels = ['query_height', 'gallery_height', 'camera_pair']
    panels += ['query_occlusion', 'gallery_occlusion', 'appearances']
    for place, name in enumerate(name for name in panels if name in breakdowns):
        axes = figure.add_subplot(grid[divmod(place, 3)])
        if name == 'camera_pair':
            _draw_camera_pairs(axes, breakdowns[name])
        else:
            _draw_groups(axes, breakdowns[name], shown, name)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', pil_kwargs=dict(optimize=True))


def _draw_total(axes: Axes, loss: SearchLoss, shown: list[Part], key: str) -> None:
    reached = 100 * loss.mean_average_precision
    title = f'{key} is {reached:.1f} %: where the other {100 - reached:.1f} points go'
    axes.figure.text(0.02, 0.962, title, size=17, weight='bold', color=INK)
    wanted, found = len(loss.not_found), np.count_nonzero(~loss.not_found)
    subtitle = (
        f'{len(loss.queries):,} searches; {found:,} of {wanted:,} appearances found. '
        f'The parts add up to the loss. Wide columns are surer; pale ones hold less than {SURE}.'
    )
    axes.figure.text(0.02, 0.935, subtitle, size=11, color=MUTED)
    label = f'reached  {reached:.1f}'
    axes.barh(0, reached, color=REACHED, edgecolor='white', label=label)
    axes.text(reached / 2, 0, f'{reached:.1f}', ha='center', va='center', size=12, color=INK)
    left = reached
    for part in shown:
        points = 100 * loss.mean_parts[part]
        label = f'{part.label}  {points:.1f}'
        axes.barh(0, points, left=left, color=COLOURS[part], edgecolor='white', label=label)
        if points >= 3:
            colour = _text_on(COLOURS[part])
            middle = left + points / 2
            axes.text(middle, 0, f'{points:.1f}', ha='center', va='center', size=11, color=colour)
        left += points
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.42, 0.42)
    axes.set_xlabel('mAP points', color=MUTED, size=10, labelpad=1)
    axes.set_yticks([])
    _strip(axes)
    axes.legend(
        loc='upper left', bbox_to_anchor=(-0.006, -0.78), ncols=3, frameon=False,
        fontsize=10.5, handlelength=1.1, handleheight=1.1, columnspacing=2.2, borderpad=0,
    )  # fmt: skip


def _draw_groups(axes: Axes, breakdown: Breakdown, shown: list[Part], name: str) -> None:
    """Stacked columns, each the whole of what its group is worth; the surer, the wider."""
    title, unit, counted = PANELS[name]
    percent = 'occlusion' in name
    counts = breakdown.searches if counted == 'searches' else breakdown.appearances
    places = np.arange(len(breakdown.groups))
    # What is unsure about a mean falls with the root of the number.
    widths = 0.86 * np.sqrt(counts / counts.max()).clip(min=0.3)
    pale = counts < SURE
    shares = {REACHED: 100 * breakdown.reached}
    shares |= {COLOURS[part]: 100 * breakdown.parts[:, part] / breakdown.worth for part in shown}
    bottom = np.zeros(len(places))
    for colour, share in shares.items():
        bars = axes.bar(places, share, widths, bottom, color=colour, edgecolor='white', lw=0.5)
        for bar in np.array(bars.patches)[pale]:
            bar.set_alpha(0.35)
        bottom = bottom + share
    for place, reached, unsure in zip(places, 100 * breakdown.reached, pale, strict=True):
        if reached >= 8:
            colour = MUTED if unsure else INK
            axes.text(
                place, reached - 2, f'{reached:.0f}', ha='center', va='top', size=10, color=colour
            )
    labels = [
        f'{interval_label(group, percent=percent, whole=name == "appearances")}\nn={_short(count)}'
        for group, count in zip(breakdown.groups, counts, strict=True)
    ]
    axes.set_xticks(places, labels)
    axes.set_xlim(-0.6, max(len(places), 4) - 0.4)
    axes.set_xlabel(f'{unit}; n: {counted}', size=9.5, color=MUTED)
    axes.set_ylabel("% of the group's mAP", size=9.5, color=MUTED)
    axes.set_ylim(0, 100)
    axes.set_title(title, size=12, weight='bold', color=INK, loc='left')
    _strip(axes)
    if len(places) > 5:
        axes.tick_params(axis='x', labelsize=8)


def _draw_camera_pairs(axes: Axes, breakdown: Breakdown) -> None:
    """A cell for each camera of the query and of the gallery: what is lost there."""
    pairs = [
        (row, group['query_camera'], group['gallery_camera'])
        for row, group in enumerate(breakdown.groups)
        if group['gallery_camera'] is not None
    ]
    queries = sorted({query for _, query, _ in pairs})
    gallery = sorted({seen for _, _, seen in pairs})
    lost = np.full((len(queries), len(gallery)), np.nan)
    pale = np.zeros(lost.shape, bool)
    for row, query, seen in pairs:
        place = queries.index(query), gallery.index(seen)
        lost[place] = 100 * (1 - breakdown.reached[row])
        pale[place] = breakdown.appearances[row] < SURE
    opaque = np.where(pale, 0.35, 1.0)
    axes.imshow(lost, cmap='Greys', vmin=0, vmax=100, aspect='auto', alpha=opaque)
    if max(lost.shape) <= MOST_NUMBERED:
        for (y, x), value in np.ndenumerate(lost):
            if not np.isnan(value):
                colour = MUTED if pale[y, x] else 'white' if value > 55 else INK
                axes.text(x, y, f'{value:.0f}', ha='center', va='center', size=10, color=colour)
    for set_ticks, cameras in ((axes.set_xticks, gallery), (axes.set_yticks, queries)):
        names = ['?' if camera < 0 else str(camera) for camera in cameras]
        set_ticks(range(len(cameras)), names, size=9.5, color=INK)
    axes.set_xlabel('camera of the gallery image', size=9.5, color=MUTED)
    axes.set_ylabel('camera of the query', size=9.5, color=MUTED)
    axes.set_title('Lost by camera pair, %', size=12, weight='bold', color=INK, loc='left')
    _strip(axes)


def interval_label(
    group: Mapping[str, float | None], *, percent: bool = False, whole: bool = False
) -> str:
    """Name of a class: ``50-75``, ``400+``; the last value itself where they are ``whole``."""
    low, high = group['from'], group['below']
    if low is None:
        return 'none'
    if percent:
        low, high = round(100 * low), None if high is None else round(100 * high)
    if high is None:
        return f'{low:g}+'
    if whole:
        high -= 1
    if low == high:
        return f'{low:g}'
    return f'<{high:g}' if low == 0 and not whole else f'{low:g}-{high:g}'


def _short(count: int) -> str:
    """A number in at most five characters."""
    return f'{count:,}' if count < 10_000 else f'{count / 1000:,.0f}k'


def _strip(axes: Axes) -> None:
    """Take away what carries no information."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=9.5)


def _text_on(colour: str) -> str:
    """Ink or white, whichever is legible on a colour ``#rrggbb``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else 'white'
