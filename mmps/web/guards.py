"""What stands between the network and the page: sizes, headers and closed doors. Plain ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

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
_HEADERS = [
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


class Guards:
    """Refuses what no page of ours sends, and tells browsers to load from nowhere else.

    Args:
        max_bytes: Of a request's body.
        prefix: What a proxy may leave in front of the path, such as ``/people``.
    """

    def __init__(self, app: Callable, max_bytes: int, prefix: str = '') -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._prefix = prefix

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope['type'] != 'http':
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', []), *_HEADERS]
            await send(message)

        scope = self._without_prefix(scope)
        if is_closed(scope['path']):
            await _refuse(send_guarded, 404, 'Not found.')
            return
        body = await self._read(receive)
        if body is None:
            limit = self._max_bytes / 2**20
            await _refuse(send_guarded, 413, f'larger than the limit of {limit:.0f} MiB')
            return
        await self._app(scope, _replayed(body, receive), send_guarded)

    def _without_prefix(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
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


async def _refuse(send: Send, status: int, text: str) -> None:
    headers = [(b'content-type', b'text/plain; charset=utf-8'), (b'connection', b'close')]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': text.encode()})
