"""Doing the next piece of work while this one is being used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar('Item')
_NAP = 0.1


class Prefetch(Generic[Item]):
    """Iterates in a thread of its own, at most ``ahead`` items ahead of whoever iterates over this.

    Leaving the ``with`` block stops the thread, also in the middle.

    Example:
        >>> with Prefetch(map(str.upper, 'abc'), ahead=2) as letters:
        ...     list(letters)
        ['A', 'B', 'C']
    """

    def __init__(self, items: Iterable[Item], ahead: int) -> None:
        self._items = items
        self._waiting: queue.Queue = queue.Queue(max(1, ahead))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name='prefetch')

    def __enter__(self) -> Iterator[Item]:
        self._thread.start()
        return self._results()

    def __exit__(self, *error: Any) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put((item, None)):
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # raised again where the items are used
            self._put((None, error))

    def _put(self, entry: tuple) -> bool:
        while not self._stopped.is_set():
            try:
                self._waiting.put(entry, timeout=_NAP)
                return True
            except queue.Full:
                continue
        return False

    def _results(self) -> Iterator[Item]:
        while True:
            item, error = self._waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
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
        self._function = function
        self._waiting: queue.Queue = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, daemon=True, name='worker')

    def put(self, item: Item) -> None:
        """Have an item worked on.

        Raises:
            Exception: What the function raised on an earlier one; nothing is done after that.
        """
        if self._error is not None:
            raise self._error
        self._waiting.put((item,))

    def __enter__(self) -> Worker[Item]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._abandoned = kind is not None
        self._waiting.put(None)
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def _run(self) -> None:
        while (entry := self._waiting.get()) is not None:
            if self._error is not None or self._abandoned:
                continue  # emptied, so that nobody waits for room
            try:
                self._function(*entry)
            except BaseException as error:
                self._error = error
