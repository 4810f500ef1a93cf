"""The catalogue, and files of its form."""

import hashlib
import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from mmps.published import find_model, is_model_name, list_models, model_names
from mmps.published.fetching import PIECE, PublishedFile, local_file, model_folder
from mmps.utils.errors import UserError

CONTENT = bytes(range(256)) * 4000


class Server(BaseHTTPRequestHandler):
    """Serves ``CONTENT``; ``cuts`` says after how many bytes connections are cut, in turn."""

    def __init__(self, state, *arguments):
        self.state = state
        super().__init__(*arguments)

    def do_GET(self):
        asked = self.headers.get('Range')
        self.state['asked'].append(asked)
        if self.path == '/gone':
            self.send_error(404)
            return
        start = int(asked.removeprefix('bytes=').rstrip('-')) if asked else 0
        if self.state.get('no_ranges'):
            start = 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(CONTENT) - start))
        self.end_headers()
        rest = CONTENT[start:]
        cut = self.state['cuts'].pop(0) if self.state['cuts'] else len(rest)
        self.wfile.write(rest[:cut])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Address, and what the server knows and remembers; with an empty cache."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.delenv('MMPS_MODELS', raising=False)
    for name in ('HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'):
        monkeypatch.delenv(name, raising=False)
    state = dict(asked=[], cuts=[])
    running = ThreadingHTTPServer(('127.0.0.1', 0), partial(Server, state))
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield f'http://127.0.0.1:{running.server_port}', state
    running.shutdown()
    thread.join()
    running.server_close()


def file(url, **digests):
    return PublishedFile(url, **digests or dict(sha384=hashlib.sha384(CONTENT).hexdigest()))


def test_fetched_once_and_kept(server):
    url, state = server
    path = local_file('weights.bin', file(f'{url}/x'), 'a-model')
    assert path == model_folder() / 'a-model' / 'weights.bin' and path.read_bytes() == CONTENT
    assert (
        local_file('weights.bin', file(f'{url}/x'), 'a-model') == path and len(state['asked']) == 1
    )
    assert [p.name for p in path.parent.iterdir()] == ['weights.bin']


def test_a_connection_that_is_cut_is_taken_up_where_it_ended(server):
    url, state = server
    state['cuts'] = [100_000, 500_000]
    assert local_file('weights.bin', file(f'{url}/x'), 'a-model').read_bytes() == CONTENT
    assert state['asked'][0] is None
    starts = [int(asked.strip('bytes=-')) for asked in state['asked'][1:]]
    ends = [100_000, starts[0] + 500_000]
    assert all(end - PIECE <= start <= end for start, end in zip(starts, ends, strict=True))


def test_a_later_call_goes_on_too(server):
    url, state = server
    state['cuts'] = [50_000, 50_000, 50_000]
    with pytest.raises(UserError, match='cannot be fetched'):
        local_file('weights.bin', file(f'{url}/x'), 'a-model')
    assert local_file('weights.bin', file(f'{url}/x'), 'a-model').read_bytes() == CONTENT
    assert int(state['asked'][-1].strip('bytes=-')) >= 150_000 - 3 * PIECE


def test_a_server_that_cannot_go_on_begins_again(server):
    url, state = server
    state.update(cuts=[100_000], no_ranges=True)
    assert local_file('weights.bin', file(f'{url}/x'), 'a-model').read_bytes() == CONTENT


def test_other_content_is_not_kept(server):
    url, _ = server
    wrong = file(f'{url}/x', sha256='00ff')
    with pytest.raises(UserError, match='has not the published checksum'):
        local_file('weights.bin', wrong, 'a-model')
    assert not list((model_folder() / 'a-model').iterdir())


def test_any_accepted_checksum_and_the_first_digits_of_one_suffice(server):
    url, _ = server
    begin = hashlib.sha256(CONTENT).hexdigest()[:8]
    assert local_file('weights.bin', file(f'{url}/x', sha256=('00ff', begin)), 'a-model').is_file()


@pytest.mark.parametrize('path', ['/gone', None])
def test_no_file_and_no_server_say_what_to_put_where(server, path):
    url, _ = server
    address = f'{url}{path}' if path else 'http://127.0.0.1:9/x'
    place = model_folder() / 'a-model' / 'weights.bin'
    with pytest.raises(UserError, match='cannot be fetched') as raised:
        local_file('weights.bin', file(address), 'a-model')
    for word in (address, str(place), 'MMPS_MODELS', 'HTTPS_PROXY'):
        assert word in str(raised.value)


def test_files_put_there_by_hand(server, monkeypatch, tmp_path):
    url, state = server
    by_hand = tmp_path / 'zoo' / 'deep' / 'weights.bin'
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(CONTENT)
    monkeypatch.setenv('MMPS_MODELS', str(tmp_path / 'zoo'))
    assert local_file('weights.bin', file(f'{url}/x'), 'a-model') == by_hand
    by_hand.write_bytes(b'another')  # is passed over
    assert local_file('weights.bin', file(f'{url}/x'), 'a-model').is_relative_to(model_folder())
    assert len(state['asked']) == 1


def test_a_damaged_file_in_the_cache_is_told(server):
    url, _ = server
    path = local_file('weights.bin', file(f'{url}/x'), 'a-model')
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match='is damaged, or is another file'):
        local_file('weights.bin', file(f'{url}/x'), 'a-model')


def test_without_an_address(server):
    with pytest.raises(UserError, match='has no address'):
        local_file('weights.bin', file(None), 'a-model')


@pytest.mark.parametrize('name', model_names())
def test_entries_of_the_catalogue_say_what_a_user_needs(name):
    model = find_model(name)
    assert set(model.licence) == {'code', 'weights'}
    if model.checkpoint is not None:
        assert model.checkpoint.is_file() and model.measured
    else:
        assert model.source.startswith('https://') and model.stated and model.parity
    text = json.dumps(model.model)
    for file, entry in model.files.items():
        assert entry.url.startswith('https://') and (entry.sha256 or entry.sha384)
        assert file in text or file.endswith('.bin')
    assert name in list_models() and model.licence['weights'] in list_models()


def test_words_that_are_names(tmp_path):
    path = tmp_path / 'mine.yml'
    assert is_model_name('omz-0013-0286') and not is_model_name(path)
    path.write_text('title: mine\nmodel: {type: X}\n')
    assert is_model_name(path) and find_model(path).name == 'mine'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('title: x', 'needs the key `model`'),
        ('model: {type: X}', 'missing required field `title`'),
        ('title: x\nmodel: {type: X}\nlicense: y', 'unknown field `license`'),
        ('title: x\nmodel: {type: X}\nfiles: {a.bin: {sha1: b}}', 'unknown field `sha1`.*files'),
        ('[1, 2]', 'Expected `object`, got `array`'),
        ('a: [', 'cannot be read'),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, message):
    path = tmp_path / 'mine.yml'
    path.write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        find_model(path)
    assert str(path) in str(raised.value)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(UserError, match='omz-0013-0286'):
        find_model('omz-0014')


def test_files_beside_a_file_of_ones_own(tmp_path):
    entry = dict(
        title='mine',
        model=dict(type='X', part=dict(path='a.bin'), all=['a.bin', 'b']),
        files={'a.bin': dict(sha256=hashlib.sha256(b'a').hexdigest())},
    )
    path = tmp_path / 'mine.yml'
    path.write_text(yaml.safe_dump(entry))
    with pytest.raises(UserError, match='a.bin.* does not exist'):
        find_model(path).resolved()
    (tmp_path / 'a.bin').write_bytes(b'a')
    resolved = find_model(path).resolved()
    there = str(tmp_path / 'a.bin')
    assert resolved == dict(type='X', part=dict(path=there), all=[there, 'b'])
    (tmp_path / 'a.bin').write_bytes(b'b')
    with pytest.raises(UserError, match='is damaged'):
        find_model(path).resolved()
