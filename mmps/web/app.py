"""The page with its pictures as one web application."""

import gc
import ipaddress
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mmps.utils.errors import UserError
from mmps.web.guards import Guards, is_closed
from mmps.web.handlers import Handlers
from mmps.web.kept import Kept
from mmps.web.page import build_page, head, theme
from mmps.web.scenes import GoneError
from mmps.web.service import SearchService

MAX_BYTES = 20 * 2**20
"""Default limit of a picture that is sent."""

_HELD, _SECONDS = 8, 300
"""Pictures of the largest size that are held until they are looked at, and for how long."""

_HEADERS = {'Cache-Control': 'private, max-age=300'}


def build_app(
    service: SearchService,
    *,
    max_bytes: int = MAX_BYTES,
    hosts: list[str] | None = None,
    public_url: str | None = None,
) -> FastAPI:
    """The application, for any ASGI server.

    Args:
        service: What it shows.
        max_bytes: Larger pictures are refused.
        hosts: Names by which it may be addressed; None: any.
        public_url: Where browsers find it behind a proxy, e.g. ``https://HOST/PREFIX``, whether or
            not the proxy leaves the prefix out; its name is one of ``hosts`` then.

    Raises:
        UserError: ``public_url`` is none.
    """
    prefix = ''
    if public_url is not None:
        outer_name, prefix = _parts_of(public_url)
        hosts = hosts and [*hosts, outer_name]
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    uploads: Kept[bytes] = Kept(_HELD * max_bytes, _SECONDS, size=len)
    _add_routes(app, service, uploads)
    page = build_page(Handlers(service, uploads))
    gr.mount_gradio_app(
        app,
        page,
        path='/',
        root_path=public_url and public_url.rstrip('/'),
        show_error=False,
        footer_links=[],
        run_history=False,
        max_file_size=1,
        theme=theme(),
        head=head(),
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
    )
    app.add_middleware(Guards, max_bytes=max_bytes, prefix=prefix)
    if hosts is not None:  # or another site could have its own name resolve to this machine
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    # What is loaded by now stays. Looking through all of it again, as thousands of hits make the
    # collector do, takes 0.3 s each time.
    gc.collect()
    gc.freeze()
    return app


def _parts_of(public_url: str) -> tuple[str, str]:
    """Name of the host and prefix of the path."""
    try:
        parts = urlsplit(public_url)
        name = parts.hostname
        parts.port  # noqa: B018 raises where it is no number
    except ValueError:
        name = None
    if not name or parts.scheme not in ('http', 'https') or parts.query or parts.fragment:
        raise UserError(f'public URL {public_url}: write http://HOST or https://HOST:PORT/PREFIX')
    prefix = unquote(parts.path).rstrip('/')
    if prefix and not is_closed(prefix):
        raise UserError(
            f'public URL {public_url}: the page has a {prefix} of its own; take another prefix'
        )
    return name, prefix


def _add_routes(app: FastAPI, service: SearchService, uploads: Kept[bytes]) -> None:
    scenes = service.scenes

    @app.post('/picture')
    async def picture(request: Request) -> Response:
        content = await request.body()
        try:
            await run_in_threadpool(service.check_picture, content)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        return PlainTextResponse(uploads.keep(content))

    @app.post('/case')
    async def case(request: Request) -> Response:
        return PlainTextResponse(uploads.keep(await request.body()))

    @app.get('/hit/{hit_id}/crop.jpg')
    def crop(hit_id: int) -> Response:
        return _jpeg(lambda: scenes.crop(hit_id))

    @app.get('/hit/{hit_id}/thumbnail.jpg')
    def thumbnail(hit_id: int) -> Response:
        return _jpeg(lambda: scenes.thumbnail(hit_id))

    @app.get('/hit/{hit_id}/scene.jpg')
    def scene(hit_id: int, shift: float = 0.0) -> Response:
        return _jpeg(lambda: scenes.scene(hit_id, shift))

    @app.get('/hit/{hit_id}/video')
    def video(hit_id: int) -> Response:
        try:
            return FileResponse(scenes.source(hit_id), headers=_HEADERS)
        except (KeyError, OverflowError, GoneError):
            return _missing()

    @app.get('/frame/{frame_id}.jpg')
    def frame(frame_id: int) -> Response:
        return _jpeg(lambda: scenes.frame_thumbnail(frame_id))


def _jpeg(make: Callable[[], bytes]) -> Response:
    try:
        return Response(make(), media_type='image/jpeg', headers=_HEADERS)
    except (KeyError, OverflowError, GoneError):
        return _missing()


def _missing() -> Response:
    return PlainTextResponse('Not in the gallery any more.', 404)


def is_local(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


def serve(
    service: SearchService,
    host: str,
    port: int,
    max_bytes: int,
    public_url: str | None = None,
    show: bool = False,
) -> None:
    """Serve the page until interrupted.

    Args:
        public_url: Where a proxy shows it; see :func:`build_app`.
        show: Open it in the browser of this machine, where there is one.

    Raises:
        UserError: The address is taken, or not this machine's, or ``public_url`` is none.
    """
    if public_url is not None:
        _parts_of(public_url)
    listener = _listen(host, port)
    address = f'http://{_written(host)}:{listener.getsockname()[1]}'
    hosts = None
    if is_local(host):
        hosts = ['127.0.0.1', 'localhost', host, _written(host)]
    else:
        print(
            f'warning: whoever can reach {address} can search the gallery and see its pictures: '
            'there is no password. Leave --host out, and come through ssh -L, or put a server that '
            'asks for passwords in front of it.',
            file=sys.stderr,
        )
    app = build_app(service, max_bytes=max_bytes, hosts=hosts, public_url=public_url)
    if public_url is not None:
        print(
            f'warning: whoever can reach {public_url} can search the gallery, unless the proxy '
            'there asks for a password.',
            file=sys.stderr,
        )
        address = f'{public_url}, for a proxy in front of {address}'
    print(f'The page is at {address} (Ctrl+C ends it)', flush=True)
    if show:  # The listener takes the connection before the server runs.
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
    server = uvicorn.Server(uvicorn.Config(app, log_level='warning'))
    server.run(sockets=[listener])


def _written(host: str) -> str:
    return f'[{host}]' if ':' in host else host


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            f'cannot listen on {_written(host)}:{port} ({error}); choose another --port, or 0 for '
            'any that is free'
        ) from error
    return listener
