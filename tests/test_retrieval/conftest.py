import itertools
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def milvus_server(tmp_path_factory):
    """Host and port of a server process of the embedded Milvus."""
    folder = tmp_path_factory.mktemp('milvus')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name('milvus-lite'), 'server', '--host', '127.0.0.1']
    with open(folder / 'server.log', 'wb') as log:
        server = subprocess.Popen(
            [*command, '--data-dir', folder / 'data', '--port', str(port)],
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


@pytest.fixture(params=['memory', 'lance', 'milvus'])
def new_address(request, tmp_path):
    """Makes addresses of galleries that are not there yet, of each engine in turn."""
    numbers = itertools.count()
    if request.param == 'memory':
        return lambda: 'memory:'
    if request.param == 'lance':
        return lambda: str(tmp_path / f'{next(numbers)}.lance')
    server = request.getfixturevalue('milvus_server')
    name = ''.join(c for c in tmp_path.name if c.isalnum())
    return lambda: f'milvus://{server}/c{name}{next(numbers)}'


@pytest.fixture
def folder(tmp_path):
    """Where a gallery on disk may be made."""
    return tmp_path / 'people.lance'
