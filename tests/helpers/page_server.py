"""A server of the web page in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import uvicorn
from fastapi import FastAPI
from helpers.coloured_people import ColourNetwork, make_gallery, make_sources

from mmps.apis import PersonSearcher
from mmps.web import SearchService
from mmps.web.app import build_app

MAX_BYTES = 100_000


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve an application on this machine while the block runs; gives the address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level='error'))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError('the server did not start')
        time.sleep(0.01)
    try:
        yield f'http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}'
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def site(folder: Path) -> Iterator[SimpleNamespace]:
    """Serve the page: its address, gallery, folder and service, and a client."""
    searcher = PersonSearcher.of_network(ColourNetwork())
    gallery = make_gallery(make_sources(folder / 'scenes'), searcher)
    service = SearchService(searcher, gallery, max_pixels=1_000_000)
    app = build_app(service, max_bytes=MAX_BYTES, hosts=['127.0.0.1'])
    with (
        running(app) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60) as http,
    ):
        yield SimpleNamespace(
            address=address, http=http, gallery=gallery, folder=folder, service=service
        )
