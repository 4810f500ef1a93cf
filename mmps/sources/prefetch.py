"""Doing the next piece of work while this one is being used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar('Item')
_END: Any = object()


class Prefetch(Generic[Item]):
    """Iterates in a thread of its own, at most ``ahead`` items ahead of whoever iterates over this.

    Leaving the ``with`` block stops the thread, also in the middle.

    Example:
        >>> with Prefetch(map(str.upper, 'abc'), ahead=2) as letters:
        ...     list(letters)
        ['A', 'B', 'C']
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        self._items = iter(items)
        self._ahead = max(1, ahead)
        self._thread = ThreadPoolExecutor(1, 'prefetch')

    def __enter__(self) -> Iterator[Item]:
        return self._results(deque(self._next() for _ in range(self._ahead)))

    def __exit__(self, *error: Any) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _next(self) -> Future:
        return self._thread.submit(next, self._items, _END)

    def _results(self, waiting: deque[Future]) -> Iterator[Item]:
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(self._next())
            yield item


class Worker(Generic[Item]):
    """Calls a function on one item after another, in a thread of its own.

    Leaving the ``with`` block waits until everything is done, unless by an error. Where as many
    items wait as ``waiting`` allows, :meth:`put` does.

    Example:
        >>> written = []
        >>> with Worker(written.append) as worker:
        ...     for number in range(3):
        ...         worker.put(number)
        >>> written
        [0, 1, 2]
    """

    def __init__(self, function: Callable[[Item], Any], waiting: int = 2) -> None:
        self._function, self._waiting = function, waiting
        self._thread = ThreadPoolExecutor(1, 'worker')
        self._given: deque[Future] = deque()
        self._failed = False

    def put(self, item: Item) -> None:
        """Have an item worked on.

        Raises:
            Exception: What the function raised on an earlier one; nothing is done after that.
        """
        self._check(self._waiting)
        self._given.append(self._thread.submit(self._run, item))

    def __enter__(self) -> Worker[Item]:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            self._check(0)

    def _check(self, most: int) -> None:
        """Wait until ``most`` items wait behind the one that is worked on; raise an error."""
        while self._given and (len(self._given) > most or self._given[0].done()):
            self._given.popleft().result()

    def _run(self, item: Item) -> None:
        if self._failed:
            return
        try:
            self._function(item)
        except BaseException:
            self._failed = True
            raise
