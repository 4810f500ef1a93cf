import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mmps.apis import People
from mmps.apis.judgement import Judgement
from mmps.evaluation.functional import FalseMatch
from mmps.retrieval import Appearance, GalleryInfo, Hit, ModelTag, Recurring, Where
from mmps.visualization.draw import CELL_HEIGHT, CELL_WIDTH, crop_in_context
from mmps.web.markup import parts
from mmps.web.session import Exemplar, Marks, Picture, Session

HOSTILE = '<img src=x onerror="alert(1)">\'${alert(2)}{{x}}`\n..'


@pytest.fixture
def utc(time_zone):
    time_zone('UTC')


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ('img', 'input'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def hit():
    return Hit(
        id=2**62 + 1,
        similarity=0.87,
        bbox=(10.0, 20.0, 30.0, 80.0),
        score=0.9,
        source=f'/data/{HOSTILE}.png',
        frame=0,
        offset=None,
        time=1000.0,
        camera=HOSTILE,
        size=(200, 100),
        metadata={HOSTILE: HOSTILE},
    )


def appearance(hit, camera=None):
    return Appearance(hit.id, hit.similarity, hit, hit, hit.source, camera, *[None] * 4, 1, None)


@pytest.fixture
def session(hit):
    exemplar = Exemplar(np.ones(3, np.float32), None, np.array([0, 0, 1, 1]), HOSTILE)
    shown = appearance(hit), appearance(replace(hit, id=5))
    return Session(exemplars=(exemplar, exemplar), appearances=shown, marks=Marks((5,)))


def edges(page):
    """What is around the person, as shares of the picture: top, right, bottom, left."""
    found = re.search(r'--alone:([\d.]+)% ([\d.]+)% ([\d.]+)% ([\d.]+)%', page)
    return np.array([float(edge) for edge in found.groups()]) / 100


def test_what_is_printed_is_the_box_of_the_person(session, hit):
    scene = np.zeros((100, 200, 3), np.uint8)
    scene[20:80, 10:30] = 255
    crop = crop_in_context(scene, hit.bbox, CELL_WIDTH, CELL_HEIGHT)[0]
    rows, columns = (np.flatnonzero((crop[..., 0] == 255).any(axis)) for axis in (1, 0))
    around = [
        rows[0] / CELL_HEIGHT,
        1 - (columns[-1] + 1) / CELL_WIDTH,
        1 - (rows[-1] + 1) / CELL_HEIGHT,
        columns[0] / CELL_WIDTH,
    ]
    np.testing.assert_allclose(edges(parts.results(session, False)), around, atol=0.02)
    whole = edges(parts.results(session, whole_scenes=True))
    np.testing.assert_allclose(whole, [0.2, 0.85, 0.2, 0.05], atol=1e-4)


def test_what_comes_from_files_stays_text(session, hit):
    pages = [
        parts.exemplars(session),
        parts.picker(Session().refused(HOSTILE, HOSTILE)),
        parts.period(Session(problem=HOSTILE)),
        parts.results(replace(session, problem=HOSTILE), whole_scenes=False),
        parts.results(session, whole_scenes=False),
        parts.results(session, whole_scenes=True),
        parts.scene(hit, 0.5, [hit]),
        parts.frames([(5, HOSTILE, '')], 0, 1),
    ]
    for page in pages:
        tags = Tags(page).tags
        assert tags and all(not name.startswith('on') for _, given in tags for name in given)
        assert all(
            given['src'].startswith(('hit/', 'frame/', 'data:'))
            for tag, given in tags
            if tag == 'img'
        )


def test_results_say_what_was_found(session, hit):
    tags = Tags(parts.results(session, whole_scenes=False)).tags
    buttons = [given for tag, given in tags if tag == 'button' and 'data-id' in given]
    # ids have more digits than a number of JavaScript's holds
    assert buttons[0]['data-id'] == '4611686018427387905'
    assert buttons[0]['aria-label'].startswith('Rank 1, similarity 0.87, cam ')
    pressed = [(b['data-id'], b['data-act']) for b in buttons if b.get('aria-pressed') == 'true']
    assert pressed == [('5', 'right')]
    assert '1 right, 0 wrong' in parts.results(session, whole_scenes=False)


def test_boxes_are_shares_of_the_picture(hit):
    (box,) = [
        given
        for tag, given in Tags(parts.scene(hit, 0.5, [hit])).tags
        if 'ps-match' in given.get('class', '')
    ]
    assert box['style'] == 'left:5.00%;top:20.00%;width:10.00%;height:60.00%'


def test_a_video_starts_at_the_match(hit):
    hit = replace(hit, offset=3725.25)
    tags = Tags(parts.scene(hit, None, [])).tags
    (video,) = [given for tag, given in tags if tag == 'video']
    assert video['src'] == f'hit/{hit.id}/video#t=3725.25'
    assert '1:02:05' in parts.scene(hit, None, []) and 'nan' not in video['src']
    steps = [given['aria-label'] for _, given in tags if given.get('data-step', '0') != '0']
    assert steps == ['5 seconds earlier', '1 second earlier', '1 second later', '5 seconds later']


def test_of_a_hit_in_a_video_its_time_is_not_cut_off(session, hit):
    hit = replace(hit, source='/data/door.mp4', offset=9.0)
    page = parts.results(replace(session, appearances=(appearance(hit),)), whole_scenes=False)
    assert '<span>door.mp4</span><span>0:00:09.0</span>' in page


@pytest.fixture
def picture():
    """A small person before a large one, and a third."""
    bboxes = np.array([[10, 40, 60, 140], [20, 60, 40, 100], [200, 40, 240, 140]], np.float32)
    people = People(bboxes, np.array([0.99, 0.9, 0.8], np.float32), np.eye(3, dtype=np.float32))
    return Picture(b'jpeg', (320, 200), people, 'me.jpg')


def test_people_come_by_number_and_the_small_ones_lie_on_top(picture):
    tags = Tags(parts.picker(Session(picture))).tags
    boxes = [given for tag, given in tags if 'data-person' in given]
    assert [box['data-person'] for box in boxes] == ['0', '1', '2']
    heights = [int(box['style'].rpartition('z-index:')[2]) for box in boxes]
    assert heights == [0, 2, 1]
    numbers = [given['class'] for tag, given in tags if tag == 'span' and 'class' in given]
    assert numbers == ['ps-above-left', 'ps-beside-left', 'ps-above-left']


def test_the_picture_says_who_is_chosen(picture):
    assert '3 people were found. Choose one.' in parts.picker(Session(picture))
    assert 'Person 2 of 3 is chosen.' in parts.picker(Session(picture, chosen=1))
    assert 'One person was found. Click' in parts.picker(
        Session(replace(picture, people=picture.people[:1]))
    )


def test_the_way_to_the_hits(session):
    assert parts.jump(Session()) == ''
    assert '<a href="#results">2 hits ' in parts.jump(session)
    assert '<a href="#results">1 hit ' in parts.jump(
        replace(session, appearances=session.appearances[:1])
    )


INFO = GalleryInfo(
    address='',
    model=ModelTag('1f', 256, 'a model'),
    people=1234,
    timed=65,
    frames=141,
    video_frames=11,
    sources=131,
    cameras=('1', '2'),
    first=1000.0,
    last=1010.0,
    bytes=None,
)


@pytest.mark.parametrize(
    ('known', 'line'),
    [
        (
            {},
            '1\u202f234 sightings in 130 images and 11 video frames · 2 cameras · '
            '65 sightings with a time, 1970-01-01 00:16:40 to 00:16:50',
        ),
        (
            dict(people=1, timed=0, frames=1, video_frames=0, cameras=(), first=None, last=None),
            '1 sighting in 1 image · no times known',
        ),
        (
            dict(timed=1234, video_frames=141, cameras=('1',), first=0.0, last=90000.0),
            '1\u202f234 sightings in 141 video frames · 1 camera · '
            '1970-01-01 00:00 to 1970-01-02 01:00',
        ),
        (
            dict(
                model=ModelTag('1f', 256, 'gfn', 2048),
                **dict(people=0, timed=0, frames=0, video_frames=0),
                **dict(cameras=(), first=None, last=None),
            ),
            '0 sightings in 0 images · no times known · scenes do not weigh here',
        ),
    ],
)
def test_what_the_gallery_holds(utc, known, line):
    assert line in parts.headline(replace(INFO, **known)).replace('\xa0', ' ')


def test_how_times_were_read(utc):
    assert parts.period(Session()) == ''
    both = parts.period(Session(where=Where(since=0.0, until=60.0)))
    assert 'Only from 1970-01-01 00:00:00+00:00 on, before 1970-01-01 00:01:00+00:00' in both


def test_pages_of_scenes_end():
    assert 'disabled>Back' in parts.frames([(1, 'a', '')], 0, 30)
    last = parts.frames([(1, 'a', '')], 24, 25)
    assert 'disabled>More' in last and '25 to 25 of 25' in last


def test_chances_and_the_line_between_hits(session):
    matches = FalseMatch(0.0001, 0, 1, at_most=True), FalseMatch(0.005, 0, 1)
    judged = Judgement(matches, 1000)
    text = parts.results(session, False, judged=judged)
    Tags(text)
    assert '>&lt; 1 in 10,000<' in text and '<span class="ps-fact">1 in 200<' in text
    assert judged.describe() in text.replace('&#39;', "'")
    first, line, second = (
        text.index(mark) for mark in ('"ps-hit"', 'class="ps-line"', 'ps-hit ps-below')
    )
    assert first < line < second
    # everybody above the line, or nobody
    assert 'ps-line' not in parts.results(session, False, judged=Judgement(matches[:1] * 2, 10))
    nobody = parts.results(session, False, judged=Judgement(matches[1:] * 2, 1000))
    assert nobody.index('ps-line') < nobody.index('ps-hit ps-below')
    assert 'Probably not here' in nobody
    assert 'stranger' not in parts.results(session, False)


def test_who_appears_often(hit):
    times = [appearance(hit, camera) for camera in 'xyx']
    people = [Recurring(1, tuple(times), times[1], 0.8)] * 31
    page = parts.recurring(people, 3)
    assert '31 people appear at least 3 times' in page and 'of whom 30 are shown' in page
    assert page.count('<li') == 30 and '3 appearances' in page and 'cam x, y' in page
    assert f'data-act="search" data-id="{hit.id}"' in page and '0.80' in page
