from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mmps.retrieval import Hit
from mmps.web import markup
from mmps.web.session import Exemplar, Session

HOSTILE = '<img src=x onerror="alert(1)">\'${alert(2)}{{x}}`\n..'


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


@pytest.fixture
def session(hit):
    exemplar = Exemplar(np.ones(3, np.float32), None, np.array([0, 0, 1, 1]), HOSTILE)
    return Session(exemplars=(exemplar, exemplar), hits=(hit, replace(hit, id=5)), right=(5,))


def test_what_comes_from_files_stays_text(session, hit):
    pages = [
        markup.exemplars(session),
        markup.results(session, whole_scenes=False),
        markup.results(session, whole_scenes=True),
        markup.scene(hit, 0.5, [hit]),
        markup.frames([(5, HOSTILE)], 0, 1),
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
    tags = Tags(markup.results(session, whole_scenes=False)).tags
    buttons = [given for tag, given in tags if tag == 'button' and 'data-id' in given]
    # ids have more digits than a number of JavaScript's holds
    assert buttons[0]['data-id'] == '4611686018427387905'
    assert buttons[0]['aria-label'].startswith('Rank 1, similarity 0.87, cam ')
    pressed = [(b['data-id'], b['data-act']) for b in buttons if b.get('aria-pressed') == 'true']
    assert pressed == [('5', 'right')]
    assert '1 right, 0 wrong' in markup.results(session, whole_scenes=False)


def test_boxes_are_shares_of_the_picture(hit):
    (box,) = [
        given
        for tag, given in Tags(markup.scene(hit, 0.5, [hit])).tags
        if 'ps-match' in given.get('class', '')
    ]
    assert box['style'] == 'left:5.00%;top:20.00%;width:10.00%;height:60.00%'


def test_a_video_starts_at_the_match(hit):
    hit = replace(hit, offset=3725.25)
    tags = Tags(markup.scene(hit, float('nan'), [])).tags
    (video,) = [given for tag, given in tags if tag == 'video']
    assert video['src'] == f'hit/{hit.id}/video#t=3725.25'
    assert '1:02:05' in markup.scene(hit, float('nan'), []) and 'nan' not in video['src']


def test_pages_of_scenes_end():
    assert 'disabled>Back' in markup.frames([(1, 'a')], 0, 30)
    last = markup.frames([(1, 'a')], 24, 25)
    assert 'disabled>More' in last and '25 to 25 of 25' in last
