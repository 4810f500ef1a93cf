"""Pictures that browsers have sent, until they are looked at: in memory, never in a file."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

_SECONDS = 300


@dataclass(frozen=True)
class _Upload:
    content: bytes
    arrived: float


class Uploads:
    """Holds pictures for a few minutes, each to be taken once.

    Args:
        max_bytes: Of all together; where they are more, the oldest are dropped.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, _Upload] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, content: bytes) -> str:
        """Hold a picture; returns what to take it with, which nobody can guess."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._held[token] = _Upload(content, time.monotonic())
            while self._too_many():
                self._held.popitem(last=False)
        return token

    def take(self, token: str) -> bytes:
        """The picture, which is then held no more.

        Raises:
            ValueError: There is none, or it has waited too long.
        """
        with self._lock:
            held = self._held.pop(str(token), None)
        if held is None or time.monotonic() - held.arrived > _SECONDS:
            raise ValueError('the picture did not get through; send it again')
        return held.content

    def _too_many(self) -> bool:
        oldest = next(iter(self._held.values()))
        if time.monotonic() - oldest.arrived > _SECONDS:
            return True
        size = sum(len(upload.content) for upload in self._held.values())
        return size > self._max_bytes and len(self._held) > 1
