import itertools
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest


@contextmanager
def served(folder, command, *options):
    """Host and port of a server process, whose log and files are in a folder."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name(command)
    with open(folder / 'server.log', 'wb') as log:
        server = subprocess.Popen(
            [program, *options, '--host', '127.0.0.1', '--port', str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                break
            except OSError:
                output = (folder / 'server.log').read_text()
                assert server.poll() is None and time.monotonic() < deadline, output
                time.sleep(0.05)
        yield f'127.0.0.1:{port}'
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope='session')
def milvus_server(tmp_path_factory):
    """Host and port of a server process of the embedded Milvus."""
    folder = tmp_path_factory.mktemp('milvus')
    with served(folder, 'milvus-lite', 'server', '--data-dir', folder / 'data') as address:
        yield address


@pytest.fixture(scope='session')
def object_store(tmp_path_factory):
    """Host and port of a server process that speaks S3 and has a bucket ``galleries``."""
    with served(tmp_path_factory.mktemp('s3'), 'moto_server') as address:
        urlopen(Request(f'http://{address}/galleries', method='PUT')).close()
        yield address


@pytest.fixture
def bucket(object_store, monkeypatch):
    """Address of a bucket that the process has access to."""
    access = dict(ENDPOINT=f'http://{object_store}', ALLOW_HTTP='true', REGION='us-east-1')
    for name, value in dict(ACCESS_KEY_ID='a', SECRET_ACCESS_KEY='b', **access).items():
        monkeypatch.setenv(f'AWS_{name}', value)
    return 's3://galleries'


@pytest.fixture
def name(tmp_path):
    """The test's, of letters and digits, as servers take it."""
    return ''.join(c for c in tmp_path.name if c.isalnum())


@pytest.fixture(params=['memory', 'lance', 's3', 'milvus'])
def new_address(request, tmp_path, name):
    """Makes addresses of galleries that are not there yet, of each engine in turn."""
    numbers = itertools.count()
    if request.param == 'memory':
        return lambda: 'memory:'
    if request.param == 'lance':
        return lambda: str(tmp_path / f'{next(numbers)}.lance')
    if request.param == 's3':
        bucket = request.getfixturevalue('bucket')
        return lambda: f'{bucket}/{name}{next(numbers)}.lance'
    server = request.getfixturevalue('milvus_server')
    return lambda: f'milvus://{server}/c{name}{next(numbers)}'


@pytest.fixture
def folder(tmp_path):
    """Where a gallery on disk may be made."""
    return tmp_path / 'people.lance'
