"""The embedded Milvus as a server process."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def milvus(folder: Path) -> Iterator[str]:
    """Host and port of a server whose log and data are in a folder."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name('milvus-lite')
    command = [program, 'server', '--data-dir', folder / 'data', '--host', '127.0.0.1']
    with open(folder / 'server.log', 'wb') as log:
        server = subprocess.Popen(
            [*command, '--port', str(port)], stdout=log, stderr=subprocess.STDOUT
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
