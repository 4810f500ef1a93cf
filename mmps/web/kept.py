"""What is held in memory for browsers, never in a file."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar('T')


class Kept(Generic[T]):
    """Things by key; where they are too many, those not asked for the longest are dropped.

    Args:
        limit: Of the sizes of all together; the last one stays in any case.
        seconds: For so long a thing is kept after it was last asked for.
        size: Of a thing; by default the limit is a number of things.
    """

    def __init__(
        self,
        limit: int,
        seconds: float = float('inf'),
        size: Callable[[T], int] = lambda thing: 1,
    ) -> None:
        self._limit, self._seconds, self._size = limit, seconds, size
        self._things: OrderedDict[Hashable, tuple[T, float]] = OrderedDict()
        self._lock = threading.RLock()

    def keep(self, thing: T, key: Hashable = None) -> Hashable:
        """Keep a thing; returns its key, by default one that nobody can guess."""
        key = secrets.token_urlsafe(16) if key is None else key
        with self._lock:
            self._things[key] = thing, time.monotonic()
            total = sum(self._size(each) for each, _ in self._things.values())
            while len(self._things) > 1:
                oldest, asked = next(iter(self._things.values()))
                if total <= self._limit and not self._is_late(asked):
                    break
                self._things.popitem(last=False)
                total -= self._size(oldest)
        return key

    def get(self, key: Hashable) -> T | None:
        """The thing of a key; None if it is not there any more."""
        with self._lock:
            thing = self.take(key)
            if thing is not None:
                self._things[key] = thing, time.monotonic()
        return thing

    def take(self, key: Hashable) -> T | None:
        """The same; it is kept no more then."""
        with self._lock:
            thing, asked = self._things.pop(key, (None, 0.0))
        return None if self._is_late(asked) else thing

    def _is_late(self, asked: float) -> bool:
        return time.monotonic() - asked > self._seconds
