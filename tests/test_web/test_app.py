import re
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pytest
from helpers.coloured_people import ColourNetwork, make_gallery, make_picture, make_sources
from helpers.page_server import MAX_BYTES, running

from mmps.apis import PersonSearcher
from mmps.benchmark.page import PageClient
from mmps.sources import format_time
from mmps.utils.errors import UserError
from mmps.web import SearchService
from mmps.web.app import _listen, build_app, is_local, serve
from mmps.web.kept import Kept
from mmps.web.page import Handlers

CLIENTS = 20


@pytest.fixture
def user(site):
    return PageClient(site.http)


@pytest.fixture
def red(site):
    return site.gallery.people_in(str(site.folder / 'scenes/cam1_a.png'))[0]


@pytest.fixture
def blue(site):
    return site.gallery.people_in(str(site.folder / 'scenes/door.mp4'), 10)[0]


def shown(changed):
    """Ids of the hits, best first."""
    return [int(i) for i in re.findall(r'data-act="open" data-id="(\d+)"', changed['results'])]


def clock(seconds):
    return format_time(seconds, offset=False)


def choose(user, person=0):
    token = user.send_picture(make_picture()).raise_for_status().text
    user.fire('picker', 'picture', dict(token=token, name='me.png'))
    return user.fire('picker', 'person', dict(number=person))


def test_a_search(site, user, red):
    changed = choose(user)
    assert 'aria-pressed="true"' in changed['picker'] and 'me.png' in changed['exemplars']
    assert shown(changed)[0] == red.id and len(shown(changed)) == site.gallery.info().appearances


def test_mark_refine_and_clear(user):
    first = shown(choose(user))
    changed = user.fire('results', 'act', dict(act='wrong', id=str(first[0])))
    assert shown(changed) == first and '0 right, 1 wrong' in changed['results']
    assert 'picker' not in changed
    assert shown(user.fire('since', 'submit')) == first  # another search, not one by the marks
    assert first[0] not in shown(user.fire('results', 'act', dict(act='refine')))
    assert shown(user.fire('results', 'act', dict(act='clear'))) == first


def test_hits_are_shown_differently_without_a_new_search(user):
    first = shown(choose(user))
    user.fire('results', 'act', dict(act='wrong', id=str(first[0])))
    user.enter('view', 'Whole scene')
    changed = user.fire('view', 'input')
    assert shown(changed) == first and f'hit/{first[0]}/thumbnail.jpg' in changed['results']
    assert '0 right, 1 wrong' in changed['results']


def test_a_hit_in_its_scene_and_as_the_next_query(user, blue):
    choose(user)
    changed = user.fire('results', 'open', dict(id=str(blue.id)))
    assert f'hit/{blue.id}/video#t=1.00' in changed['scene'] and 'results' not in changed
    changed = user.fire('scene', 'act', dict(act='search', id=str(blue.id)))
    assert shown(changed)[0] == blue.id and 'door.mp4 0:00:01.0' in changed['exemplars']
    assert 'Choose a person' in user.fire('exemplars', 'act', dict(drop='0'))['results']


def test_users_see_what_is_wrong(user):
    with pytest.raises(RuntimeError, match='choose again'):
        user.fire('picker', 'person', dict(number=0))
    for data in ({}, dict(act='search', id='../x'), dict(act='search')):
        with pytest.raises(RuntimeError, match='load the page again'):
            user.fire('scene', 'act', data)
    with pytest.raises(RuntimeError, match='not in the gallery any more'):
        user.fire('scene', 'act', dict(act='search', id='5'))


def test_what_cannot_be_used_takes_the_place_of_what_was_there(user):
    assert shown(choose(user))
    changed = user.fire('picker', 'refused', dict(name='<b>.txt', reason='the image: bad'))
    assert '&lt;b&gt;.txt cannot be used: bad.' in changed['picker']
    assert 'data-person' not in changed['picker'] and changed['exemplars'] == ''
    assert shown(changed) == [] and 'Choose a person' in changed['results']
    choose(user)
    changed = user.fire('picker', 'picture', dict(token='guessed', name='me.png'))
    assert 'role="alert"' in changed['picker'] and 'send it again' in changed['picker']
    assert 'data-person' not in changed['picker'] and shown(changed) == []


def test_the_same_picture_again_is_shown_again(user):
    first = user.send_picture(make_picture()).text
    first = user.fire('picker', 'picture', dict(token=first, name='me.png'))['picker']
    again = user.send_picture(make_picture()).text
    assert user.fire('picker', 'picture', dict(token=again, name='me.png'))['picker'] != first


def test_times_are_read_as_on_the_command_line(user, site):
    everybody = shown(choose(user))
    for since in ('1970-01-01T01:23:20.5+00:00', ' 5000.5 '):  # the video's first second
        user.enter('since', since)
        changed = user.fire('since', 'submit')
        hits = site.gallery.hits_of(shown(changed))
        assert [hit.time for hit in hits] == [5001.0]  # and half a second later
        assert 'Only from' in changed['period']
    user.enter('until', '5001.5')
    assert len(shown(user.fire('until', 'blur'))) == 1
    user.enter('until', '5000')
    assert 'not later than From' in user.fire('until', 'blur')['results']
    for part in ('since', 'until'):
        user.enter(part, '')
    assert shown(user.fire('until', 'submit')) == everybody


def test_a_time_that_cannot_be_read_leaves_no_hits(user):
    choose(user)
    user.enter('since', '01.03.2026')
    changed = user.fire('since', 'blur')
    for part in ('results', 'period'):
        assert 'From: &#39;01.03.2026&#39; is no time' in changed[part]
    assert shown(changed) == [] and 'role="alert"' in changed['results']
    assert user.fire('until', 'blur') == {}  # nothing has changed there
    changed = user.fire('picker', 'person', dict(number=1))
    assert shown(changed) == [] and 'is no time' in changed['results']


def test_only_who_wears_a_colour(user, red, blue):
    assert red.upper == red.lower == ('red',) and blue.upper == ('blue',)
    assert {red.id, blue.id} <= {*shown(choose(user))}
    user.enter('upper', ['blue', 'yellow'])
    found = shown(user.fire('upper', 'input'))
    assert blue.id in found and red.id not in found
    user.enter('lower', ['green'])
    assert shown(user.fire('lower', 'input')) == []


def test_why_nobody_passes(user, site):
    choose(user)
    user.enter('since', '2026-03-01')
    told = user.fire('since', 'submit')['results']
    people = site.gallery.info().people
    told_why = f'passes the filter; of {people - 2} of its {people} people the time is not known.'
    assert f'<p>Nobody in the gallery {told_why}</p>' in told


def test_a_scene_of_the_gallery(user, site, red):
    listing = user.fire('scenes', 'expand')['frames']
    assert '1 to 7 of 7' in listing
    key = re.search(r'data-frame="(\d+)" title="cam1_a.png"', listing)[1]
    assert [*re.findall(r'<time>([^<]*)</time>', listing)][3:5] == [
        '0:00:00.0\n' + clock(5000),
        '0:00:00.5\n' + clock(5000.5),
    ]
    for moment in ('0:00:00.8', '0:01', '1', '1970-01-01T01:23:21+00:00'):
        user.enter('moment', moment)
        assert '6 to 7 of 7' in user.fire('moment', 'submit')['frames']
    user.enter('moment', '1:00')
    with pytest.raises(RuntimeError, match='as late as 1:00'):
        user.fire('moment', 'submit')
    assert site.http.get(f'/frame/{key}.jpg').headers['content-type'] == 'image/jpeg'
    assert '2 people were found' in user.fire('frames', 'act', dict(frame=key))['picker']
    assert shown(user.fire('picker', 'person', dict(number=0)))[0] == red.id


def test_a_box_that_is_drawn(user, red):
    token = user.send_picture(make_picture()).text
    user.fire('picker', 'picture', dict(token=token, name='me.png'))
    changed = user.fire('picker', 'box', dict(edges=[10 / 160, 20 / 96, 34 / 160, 80 / 96]))
    assert shown(changed)[0] == red.id and 'ps-drawn' in changed['picker']
    for edges in ([0.5, 0, 0.2, 1], [0, 0, 2, 1], 'abcd', None):
        with pytest.raises(RuntimeError, match='load the page again|within the picture'):
            user.fire('picker', 'box', dict(edges=edges))


def test_a_time_chosen_in_the_timeline_becomes_the_filter(user, site):
    everybody = shown(choose(user))
    user.enter('view', 'Timeline')
    drawn = user.fire('view', 'input')['timeline']
    listed = re.findall(r'data-id="(\d+)"[^>]*data-rank="(\d+)"', drawn)
    assert listed and all(everybody[int(rank) - 1] == int(hit) for hit, rank in listed)
    changed = user.fire('timeline', 'range', dict(since=5001.2, until=None))
    assert [hit.time for hit in site.gallery.hits_of(shown(changed))] == [5001.5]
    assert changed['since'] == f'{clock(5001)}.2' and changed['until'] == ''
    assert 'ps-range" style' in changed['timeline']
    assert shown(user.fire('timeline', 'range', dict(since=None, until=None))) == everybody
    with pytest.raises(RuntimeError, match='load the page again'):
        user.fire('timeline', 'range', dict(since='x', until=None))


def test_who_appears_often_is_only_shown_where_it_was_asked_for(user, site):
    assert ('show-often', 'click') not in user._events
    service = SearchService(site.service._searcher, site.gallery, recurring=True)
    with (
        running(build_app(service)) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60) as http,
    ):
        people = PageClient(http).fire('show-often', 'click')['people']
        assert 'at least 3 times' in people
    with pytest.raises(ValueError, match='not told to'):
        Handlers(site.service, Kept(9)).recurring(3)


def test_a_picture_that_must_not_match(user):
    plain = choose(user, 1)
    user.enter('click', 'must not match')
    token = user.send_picture(make_picture()).text
    opened = user.fire('picker', 'picture', dict(token=token, name='other.png'))
    assert shown(opened) == shown(plain)  # until somebody in it is chosen
    changed = user.fire('picker', 'person', dict(number=0))
    assert 'Must not match' in changed['exemplars'] and 'other.png' in changed['exemplars']
    similarity = lambda changed: re.findall(r'<b>([-.\d]+)</b>', changed['results'])  # noqa: E731
    assert similarity(changed) != similarity(plain)
    refused = user.fire('picker', 'refused', dict(name='b.txt', reason='bad'))
    assert 'b.txt cannot be used: bad.' in refused['picker'] and shown(refused) == shown(changed)
    left = user.fire('exemplars', 'act', dict(drop='1'))
    assert 'Must not' not in left['exemplars'] and similarity(left) == similarity(plain)


def test_a_case_by_the_page(user, site, red):
    choose(user)
    user.fire('results', 'act', dict(act='right', id=str(red.id)))
    added = user.fire('results', 'case')
    assert '1 right, 0 wrong (in the case: 1, 0)' in added['results']
    assert '1 right and 0 wrong' in added['holding'] and f'data-drop="{red.id}"' in added['holding']
    assert '0 right' in user.fire('holding', 'act', dict(act='drop', drop=str(red.id)))['holding']
    assert 'Empty' in user.fire('holding', 'act', dict(act='new', drop=None))['holding']
    token = site.http.post('/case', content=b'{}').text
    with pytest.raises(RuntimeError, match='no case'):
        user.fire('holding', 'opened', dict(token=token))


def test_pictures_of_people(site, red, blue):
    for address in (f'/hit/{red.id}/crop.jpg', f'/hit/{red.id}/thumbnail.jpg'):
        answer = site.http.get(address)
        assert answer.status_code == 200 and answer.headers['content-type'] == 'image/jpeg'
        assert cv2.imdecode(np.frombuffer(answer.content, np.uint8), 1) is not None
    later = site.http.get(f'/hit/{blue.id}/scene.jpg?shift=0.5')
    assert later.status_code == 200
    part = site.http.get(f'/hit/{blue.id}/video', headers={'Range': 'bytes=4-7'})
    assert (part.status_code, part.content) == (206, b'ftyp')


@pytest.mark.parametrize(
    'path',
    [
        '/hit/5/crop.jpg',
        f'/hit/{2**70}/scene.jpg',
        '/hit/-1/video',
        '/gradio_api/file=/etc/passwd',
        '/gradio_api/file/etc/passwd',
        '/gradio_api/file=setup.py',
        '/gradio_api/proxy=http://127.0.0.1:22/',
        '/gradio_api/info',
        '/gradio_api/openapi.json',
        '/gradio_api/stream/a/1/2/playlist.m3u8',
        '/gradio_api//file=/etc/passwd',
        '//gradio_api/file=/etc/passwd',
        '/file=/etc/passwd',
        '/docs',
        '/openapi.json',
        '/monitoring',
        '/static/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd',
        '/assets/%2e%2e/%2e%2e/%2e%2e/setup.py',
    ],
)
def test_nothing_else_is_served(site, path):
    url = httpx.URL(site.address).copy_with(raw_path=path.encode())
    answer = site.http.get(url)
    assert answer.status_code in (404, 403)
    assert b'root:' not in answer.content and b'setup(' not in answer.content


def test_gradios_upload_is_shut(site):
    answer = site.http.post('/gradio_api/upload', files={'files': ('a.txt', b'text')})
    assert answer.status_code == 404


def test_large_pictures_are_refused(site):
    answer = site.http.post('/picture', content=bytes(MAX_BYTES + 1))
    assert answer.status_code == 413 and 'larger than' in answer.text
    answer = site.http.post('/gradio_api/queue/join', content=bytes(3 * MAX_BYTES))
    assert answer.status_code == 413
    bomb = cv2.imencode('.png', np.zeros((4000, 4000), np.uint8))[1].tobytes()
    assert len(bomb) < MAX_BYTES
    answer = site.http.post('/picture', content=bomb)
    assert answer.status_code == 400 and 'more than the limit' in answer.text


def test_what_is_no_picture_is_refused(site):
    for content, reason in ((b'', 'not an image'), (make_picture()[:-9], 'truncated')):
        answer = site.http.post('/picture', content=content)
        assert answer.status_code == 400 and reason in answer.text


def test_other_sites_cannot_point_here(site):
    assert site.http.get('/', headers={'Host': 'elsewhere.example'}).status_code == 400


def test_the_page_loads_from_nowhere_else(site):
    page = site.http.get('/')
    assert page.status_code == 200
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]*)"', page.text)
    assert loaded and not [at for at in loaded if re.match(r'(https?:)?//', at)]
    assert "default-src 'self'" in page.headers['content-security-policy']


def test_many_clients_at_once(site):
    def work(number):
        with httpx.Client(base_url=site.address, trust_env=False, timeout=60) as http:
            return shown(choose(PageClient(http), number % 2))

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(work, range(CLIENTS)))
    for number in (0, 1):
        answers = {tuple(hits) for hits in found[number::2]}
        assert len(answers) == 1 and len(answers.pop()) == site.gallery.info().appearances


def test_who_comes_to_a_full_queue_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr('mmps.web.page.QUEUED', 2)
    release, searcher = threading.Event(), PersonSearcher.of_network(ColourNetwork())
    gallery = make_gallery(make_sources(tmp_path), searcher)
    find = searcher.detect
    monkeypatch.setattr(searcher, 'detect', lambda image: release.wait(60) and find(image))
    with running(build_app(SearchService(searcher, gallery))) as address:

        def work(_):
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as http:
                try:
                    return 'Person' in choose(PageClient(http))['picker']
                except RuntimeError as error:
                    release.set()
                    return str(error)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(work, range(8)))
    refused = [answer for answer in answers if answer is not True]
    assert refused and all('Queue is full' in answer for answer in refused)
    assert True in answers


@pytest.mark.parametrize('host', ['127.0.0.1', '0.0.0.0'])
def test_whoever_opens_the_page_to_others_is_warned(site, monkeypatch, capsys, host):
    served = []
    monkeypatch.setattr('uvicorn.Server.run', lambda self, sockets: served.append(self.config.app))
    serve(site.service, host, 0, MAX_BYTES)
    printed = capsys.readouterr()
    assert f'http://{host}:' in printed.out and len(served) == 1
    assert ('no password' in printed.err) == (host != '127.0.0.1')


def test_this_machine_only():
    assert is_local('127.0.0.1') and is_local('localhost') and is_local('::1')
    assert not is_local('0.0.0.0') and not is_local('192.168.0.2') and not is_local('name')


def test_an_address_that_is_taken():
    with _listen('127.0.0.1', 0) as listener:
        listener.listen()
        with pytest.raises(UserError, match='another --port'):
            _listen('127.0.0.1', listener.getsockname()[1])
