"""What is held for browsers, in memory, never in a file."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

_SECONDS = 300
_HOURS = 4
T = TypeVar('T')


class Kept(Generic[T]):
    """Things by addresses that nobody can guess, for four hours after they were last asked for.

    Args:
        limit: How many; where there are more, those not asked for the longest are dropped.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._things: OrderedDict[str, tuple[T, float]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, thing: T) -> str:
        """Keep a thing; returns its address."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._things[token] = thing, time.monotonic()
            while len(self._things) > self._limit or self._oldest() > 3600 * _HOURS:
                self._things.popitem(last=False)
        return token

    def get(self, token: str) -> T | None:
        """The thing at an address; None if there is none any more."""
        with self._lock:
            thing, asked = self._things.pop(token, (None, 0.0))
            if thing is None or time.monotonic() - asked > 3600 * _HOURS:
                return None
            self._things[token] = thing, time.monotonic()
            return thing

    def _oldest(self) -> float:
        """Seconds since the first of them was asked for."""
        return time.monotonic() - next(iter(self._things.values()))[1]


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
