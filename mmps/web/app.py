"""The page with its pictures as one web application, and what guards it from the network."""

import functools
import gc
import ipaddress
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, PlainTextResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmps.utils.errors import UserError
from mmps.web.kept import Kept
from mmps.web.page import Handlers, build_page, head, theme
from mmps.web.scenes import GoneError
from mmps.web.service import SearchService

MAX_BYTES = 20 * 2**20
"""Default limit of a picture that is sent."""

_HELD, _SECONDS = 8, 300
"""Pictures of the largest size that are held until they are looked at, and for how long."""

_CACHED = {'Cache-Control': 'private, max-age=300'}

# 'unsafe-eval': Gradio builds what it shows from templates.
_POLICY = '; '.join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self' data:",
        "connect-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_GUARDING = [
    (b'content-security-policy', _POLICY.encode()),
    (b'x-content-type-options', b'nosniff'),
    (b'referrer-policy', b'no-referrer'),
]

_OPEN = frozenset(
    ('', 'assets', 'config', 'favicon.ico', 'manifest.json', 'robots.txt', 'static', 'theme.css')
)
_OPEN_OURS = frozenset(('case', 'frame', 'hit', 'picture'))
_OPEN_EVENTS = frozenset(('app_id', 'cancel', 'heartbeat', 'queue', 'reset', 'startup-events'))
"""First steps of paths that the page needs, the last ones below ``gradio_api``. Gradio's other ways
to and from files, other servers and its own tools stay shut."""


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

    kept = {
        '/hit/{hit_id}/crop.jpg': scenes.crop,
        '/hit/{hit_id}/thumbnail.jpg': scenes.thumbnail,
        '/hit/{hit_id}/scene.jpg': scenes.scene,
        '/hit/{hit_id}/video': scenes.source,
        '/frame/{key}.jpg': scenes.frame_thumbnail,
    }
    for path, find in kept.items():
        app.get(path, response_model=None)(_served(find))


def _served(find: Callable[..., bytes | Path]) -> Callable[..., Response]:
    """What answers with a JPEG or a file of the gallery."""

    @functools.wraps(find)  # FastAPI reads the parameters
    def answer(**parameters: Any) -> Response:
        try:
            found = find(**parameters)
        except (KeyError, OverflowError, GoneError):
            return PlainTextResponse('Not in the gallery any more.', 404)
        if isinstance(found, Path):
            return FileResponse(found, headers=_CACHED)
        return Response(found, media_type='image/jpeg', headers=_CACHED)

    return answer


class Guards:
    """Refuses what no page of ours sends, and tells browsers to load from nowhere else.

    Args:
        max_bytes: Of a request's body.
        prefix: What a proxy may leave in front of the path, such as ``/people``.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, prefix: str = '') -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', []), *_GUARDING]
            await send(message)

        scope = self._without_prefix(scope)
        if is_closed(scope['path']):
            await _refusal('Not found.', 404)(scope, receive, send_guarded)
            return
        body = await self._read(receive)
        if body is None:
            limit = self._max_bytes / 2**20
            text = f'larger than the limit of {limit:.0f} MiB'
            await _refusal(text, 413)(scope, receive, send_guarded)
            return
        await self._app(scope, _replayed(body, receive), send_guarded)

    def _without_prefix(self, scope: Scope) -> Scope:
        path = scope['path']
        if not self._prefix or not f'{path}/'.startswith(f'{self._prefix}/'):
            return scope
        path = path.removeprefix(self._prefix) or '/'
        return {**scope, 'path': path, 'raw_path': quote(path).encode()}

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None if it is too large, of which no more than the limit is kept."""
        body, size = bytearray(), 0
        while True:
            message = await receive()
            chunk = message.get('body', b'')
            size += len(chunk)
            if size <= self._max_bytes:
                body += chunk
            if size > 4 * self._max_bytes:
                return None  # whoever sends that much is cut off
            if not message.get('more_body', False):
                return bytes(body) if size <= self._max_bytes else None


def is_closed(path: str) -> bool:
    """Whether the page needs nothing at this path."""
    first, _, rest = path.removeprefix('/').partition('/')
    if first == 'gradio_api':
        return rest.partition('/')[0] not in _OPEN_EVENTS
    return first not in _OPEN | _OPEN_OURS


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read already, then whatever follows."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {'type': 'http.request', 'body': body, 'more_body': False}

    return replay


def _refusal(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, {'connection': 'close'})


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
