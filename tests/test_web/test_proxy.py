"""The page under another name and below a prefix, as a proxy shows it."""

import base64
import getpass
import re
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from helpers.browser import Browser
from helpers.coloured_people import make_picture
from helpers.page_server import MAX_BYTES, running
from selenium.webdriver.support.ui import WebDriverWait

from mmps.benchmark.page import PageClient
from mmps.utils.errors import UserError
from mmps.web.app import build_app, serve

LOCAL = ['127.0.0.1', 'localhost']
RECIPE = Path(__file__).parents[2] / 'docs/nginx.conf'


def search(http):
    """Send a picture, choose the person in it, look at the first hit; the picture's bytes."""
    user = PageClient(http)
    token = user.send_picture(make_picture()).raise_for_status().text
    user.fire('picker', 'picture', dict(token=token, name='me.png'))
    changed = user.fire('picker', 'person', dict(number=0))
    first = re.search(r'src="(hit/\d+/crop\.jpg)"', changed['results'])[1]
    return http.get(first).raise_for_status().content


def root_of(page):
    return re.search(r'"root":\s*"([^"]*)"', page)[1]


@pytest.mark.parametrize(
    ('public_url', 'prefix'),
    [
        ('http://people.example.com:8443/', ''),
        ('https://people.example.com/a/b/', '/a/b'),
    ],
)
def test_a_name_and_a_prefix_of_its_own(site, public_url, prefix):
    app = build_app(site.service, max_bytes=MAX_BYTES, hosts=LOCAL, public_url=public_url)
    with running(app) as address:
        for base in {address, address + prefix}:  # proxies leave the prefix out, or do not
            for host in ('people.example.com', 'people.example.com:8443', '127.0.0.1:7860'):
                headers = dict(host=host)
                with httpx.Client(
                    base_url=base, headers=headers, trust_env=False, timeout=60
                ) as http:
                    page = http.get('/').raise_for_status().text
                    assert root_of(page) == public_url.rstrip('/')
                    assert http.get('/gradio_api/info').status_code == 404
                    if host == 'people.example.com':
                        assert search(http).startswith(b'\xff\xd8')
        for host in ('evil.example.com', 'example.com', 'people.example.com.evil.org'):
            answer = httpx.get(
                address + prefix, headers=dict(host=host), trust_env=False, timeout=60
            )
            assert (answer.status_code, answer.text) == (400, 'Invalid host header')


def test_without_a_public_url_other_names_stay_refused(site):
    app = build_app(site.service, max_bytes=MAX_BYTES, hosts=LOCAL)
    with running(app) as address:
        headers = dict(host='people.example.com')
        assert httpx.get(address, headers=headers, trust_env=False, timeout=60).status_code == 400
        assert httpx.get(f'{address}/search/', trust_env=False, timeout=60).status_code == 404


@pytest.mark.parametrize(
    ('url', 'problem'),
    [
        *((url, 'write http://HOST') for url in ('people.example.com', 'ftp://a/', 'https:///x')),
        *((url, 'write http://HOST') for url in ('https://a/?b', 'https://a:b/', 'https://a/#b')),
        ('https://people.example.com/hit', 'the page has a /hit of its own'),
        ('https://people.example.com/gradio_api/queue', 'of its own; take another prefix'),
    ],
)
def test_what_is_no_public_url(site, url, problem):
    with pytest.raises(UserError, match=problem):
        serve(site.service, '127.0.0.1', 0, MAX_BYTES, url)


def test_where_the_page_is_said_to_be(site, monkeypatch, capsys):
    monkeypatch.setattr('uvicorn.Server.run', lambda self, sockets: None)
    serve(site.service, '127.0.0.1', 0, MAX_BYTES, 'https://people.example.com/search')
    printed = capsys.readouterr()
    assert 'page is at https://people.example.com/search, for a proxy in front of' in printed.out
    assert 'unless the proxy there asks for a password' in printed.err


@pytest.fixture
def nginx(site, tmp_path):
    """Address of the recipe of the docs, run by nginx in front of the page, without TLS."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    recipe = RECIPE.read_text('utf-8')
    url = f'http://localhost:{port}/search'
    app = build_app(site.service, max_bytes=MAX_BYTES, hosts=LOCAL, public_url=url)
    with running(app) as address:
        for written, used in (
            (r'listen 443 ssl;', f'listen 127.0.0.1:{port};'),
            (r'server_name .*?;', 'server_name localhost;'),
            (r'ssl_certificate.*?;', ''),
            (r'auth_basic .*?;', 'auth_basic "people";'),
            (r'http://127\.0\.0\.1:7860/', f'{address}/'),
        ):
            recipe, count = re.subn(written, used, recipe)
            assert count, written
        (tmp_path / 'people').write_text('anna:{PLAIN}secret\n')
        paths = ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi')
        folders = ' '.join(f'{name}_temp_path {tmp_path}/{name};' for name in paths)
        (tmp_path / 'nginx.conf').write_text(
            f'user {getpass.getuser()}; pid {tmp_path}/pid; daemon off; events {{}}\n'
            f'http {{ access_log off; {folders}\n{recipe}}}\n'
        )
        command = ['nginx', '-c', str(tmp_path / 'nginx.conf'), '-e', str(tmp_path / 'error.log')]
        process = subprocess.Popen(command)
        try:
            wait_for(port, process)
            yield url
        finally:
            process.terminate()
            process.wait()


def wait_for(port, process):
    for _ in range(100):
        assert process.poll() is None, 'nginx did not start'
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail('nginx does not answer')


@pytest.mark.browser
def test_the_recipe_for_nginx(nginx):
    with httpx.Client(base_url=nginx, trust_env=False, timeout=60) as http:
        assert http.get('/').status_code == 401
    with httpx.Client(base_url=nginx, auth=('anna', 'secret'), trust_env=False, timeout=60) as http:
        page = http.get('/').raise_for_status().text
        assert root_of(page) == nginx
        assert search(http).startswith(b'\xff\xd8')
        assert http.get(nginx).headers['location'].endswith('/search/')


@pytest.mark.browser
def test_chromium_behind_nginx(nginx, driver, tmp_path):
    """Page, pictures and events come through the proxy."""
    (tmp_path / 'me.png').write_bytes(make_picture())
    password = base64.b64encode(b'anna:secret').decode()
    driver.execute_cdp_cmd('Network.enable', {})
    headers = {'Authorization': f'Basic {password}'}
    driver.execute_cdp_cmd('Network.setExtraHTTPHeaders', dict(headers=headers))
    browser = Browser(driver, nginx)
    browser.open()
    browser.all('#picker input[type=file]')[0].send_keys(str(tmp_path / 'me.png'))
    browser.wait('[data-person="0"]').click()
    browser.wait('.ps-hit')
    browser.all('[data-act=open]')[0].click()
    scene = browser.wait('img[src*="scene.jpg"]')
    WebDriverWait(driver, 20).until(lambda _: int(scene.get_property('naturalWidth')) > 0)
    assert scene.get_property('src').startswith(f'{nginx}/hit/')
    errors = [entry['message'] for entry in driver.get_log('browser') if entry['level'] == 'SEVERE']
    # Gradio's page and Chromium ask for these two at the root of the host.
    assert [e for e in errors if '/manifest.json' not in e and '/favicon.ico' not in e] == []
