import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest

from mmps.retrieval import Appearance, Hit
from mmps.web.timeline import timeline

NOON = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
HOSTILE = '"><script>alert(1)</script>'


def appearance(number, similarity, first, last, camera='1', source='/data/a.mp4'):
    """With offsets that begin when the clock shows noon."""
    start = None if first is None else first
    hit = Hit(number, similarity, (0, 0, 1, 1), 0.9, source, 0, start, None, camera, (9, 9), {})
    moments = [None if at is None else NOON + at for at in (first, last)]
    return Appearance(
        number, similarity, hit, hit, source, camera, *moments, first, last, 1, np.zeros(0)
    )


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, name, **wanted):
        tags = [given for tag, given in self.found if tag == name]
        return [g for g in tags if all(g.get(k.rstrip('_')) == v for k, v in wanted.items())]


def bars(page):
    return {bar['data-id']: bar for bar in Tags(page).of('rect') if 'data-id' in bar}


def test_bars_lie_where_the_times_are():
    shown = [
        appearance(1, 0.9, 0, 100),
        appearance(2, 0.2, 900, 1000, camera='2'),
        appearance(3, 0.5, 500, 500, camera='10'),
    ]
    page = timeline(shown)
    found = bars(page)
    share = lambda seconds: 100 * (seconds + 15) / 1030  # noqa: E731 a margin of 1.5 % on each side
    assert float(found['1']['x'].rstrip('%')) == pytest.approx(share(0), abs=0.01)
    assert float(found['2']['x'].rstrip('%')) == pytest.approx(share(900), abs=0.01)
    assert float(found['1']['width'].rstrip('%')) == pytest.approx(100 * 100 / 1030, abs=0.01)
    assert float(found['3']['width'].rstrip('%')) > 0  # or it would not be drawn
    names = [group['data-name'] for group in Tags(page).of('g')]
    assert names == ['cam 1', 'cam 2', 'cam 10']
    shades = [found[number]['class'] for number in '231']
    assert shades == ['ps-s0', 'ps-s3', 'ps-s6']
    assert found['1']['data-t'] == '2026-03-01 12:00:00 to 12:01:40'
    assert '3 appearances, 2026-03-01 12:00:00 to 12:16:40<' in page


def test_ticks_are_round_times():
    page = timeline([appearance(1, 0.9, 0, 0), appearance(2, 0.9, 3600, 3600)])
    ticks = re.findall(r'<span style="left:([\d.]+)%">([^<]*)</span>', page)
    assert [text for _, text in ticks] == ['12:00', '12:15', '12:30', '12:45', '13:00']
    assert float(ticks[2][0]) == pytest.approx(50, abs=0.01)


def test_right_ones_are_connected_in_the_order_of_time():
    shown = [
        appearance(1, 0.9, 600, 700),
        appearance(2, 0.8, 0, 100, camera='2'),
        appearance(3, 0.7, 300, 300),
    ]
    page = timeline(shown, {1, 2})
    lines = [
        [float(line[key].rstrip('%')) for key in ('x1', 'y1', 'x2', 'y2')]
        for line in Tags(page).of('line', class_='ps-path')
    ]
    found = bars(page)
    ends = lambda n: float(found[n]['x'][:-1]) + float(found[n]['width'][:-1])  # noqa: E731
    assert lines[1] == pytest.approx([ends('2'), 39, float(found['1']['x'][:-1]), 13], abs=0.01)
    assert len(lines) == 3 and 'ps-sure' in found['1']['class']
    assert 'ps-sure' not in found['3']['class']


def lanes(page):
    """Ids of the bars of each lane, from above."""
    found = {}
    for number, bar in bars(page).items():
        found.setdefault(float(bar['y']), []).append(number)
    return [found[y] for y in sorted(found)]


def test_bars_that_overlap_have_lanes_of_their_own():
    spans = [(0, 100), (50, 60), (90, 300), (120, 200), (301, 400), (150, 350)]
    shown = [appearance(n, n / 10, *span) for n, span in enumerate(spans)]
    # 301 is so near to 300 that the bars would touch: by the lane of what ended at 200
    assert lanes(timeline(shown)) == [['0', '3', '4'], ['1', '2'], ['5']]
    page = timeline([*shown, appearance(9, 0.5, 50, 60, camera='2')])
    assert [int(group['data-height']) for group in Tags(page).of('g')] == [50, 26]
    found = bars(page)
    edges = [float(found[n][key]) for n in '015' for key in ('y', 'height')]
    assert edges[0] + edges[1] + 2 < edges[2] and edges[2] + edges[3] + 2 < edges[4]
    assert float(found['9']['height']) == 14 and edges[4] + edges[5] < 50


def test_as_few_lanes_as_overlap_at_once():
    rng = np.random.default_rng(0)
    begin = rng.uniform(0, 10_000, 60)
    end = begin + rng.uniform(500, 1500, 60)
    shown = [appearance(n, 0.5, b, e) for n, (b, e) in enumerate(zip(begin, end, strict=True))]
    gap = 0.004 * 1.03 * (end.max() - begin.min())
    assert len(lanes(timeline(shown))) == max(((begin <= b) & (b < end + gap)).sum() for b in begin)
    found = bars(timeline(shown))
    for lane in lanes(timeline(shown)):
        own = sorted((float(found[n]['x'][:-1]), float(found[n]['width'][:-1])) for n in lane)
        assert all(a + wide < b for (a, wide), (b, _) in zip(own, own[1:], strict=False))


def test_a_crowd_does_not_make_a_row_high():
    shown = [appearance(n, 0.5, 0, 100 + n) for n in range(100)]
    shown += [appearance(1000 + n, 0.5, 0, 9, camera=str(n)) for n in range(20)]
    page = timeline(shown)
    heights = [int(group['data-height']) for group in Tags(page).of('g')]
    assert sorted(heights) == [26] * 19 + [44]
    for bar in bars(page).values():
        assert float(bar['y']) > 0 and float(bar['y']) + float(bar['height']) < 44


def test_who_has_no_time_is_counted():
    page = timeline([appearance(1, 0.9, 0, 0), appearance(2, 0.9, None, None)])
    assert set(bars(page)) == {'1'} and '1 has no time' in page
    assert 'Nobody found has a time' in timeline([appearance(2, 0.9, None, None)])


def test_without_a_calendar_the_times_are_those_of_the_videos():
    shown = [appearance(1, 0.9, 65, 70), appearance(2, 0.5, 0, 1, camera=None, source='/b.mp4')]
    shown = [one.__class__(**{**vars(one), 'first': None, 'last': None}) for one in shown]
    page = timeline(shown)
    assert bars(page)['1']['data-t'] == '0:01:05.0 to 0:01:10.0'
    assert {g['data-name'] for g in Tags(page).of('g')} == {'cam 1', 'b.mp4'}
    assert 'data-range' not in page and 'data-calendar="0"' in page


def test_the_range_of_the_filter():
    shown = [appearance(1, 0.9, 0, 0), appearance(2, 0.9, 970, 970)]
    page = timeline(shown, since=NOON + 485, until=NOON + 10_000)
    assert 'left:50.00%;width:50.00%' in page and 'range" hidden' not in page
    assert 'class="ps-range" hidden' in timeline(shown)
    assert 'data-range' not in timeline(shown, still=True)


def test_names_stay_text():
    page = timeline([appearance(1, 0.9, 0, 0, camera=HOSTILE)])
    assert '<script' not in page
