"""Batches of images of one shape, from a stream of any."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

Item, Result = TypeVar('Item'), TypeVar('Result')

LOOK_AHEAD = 4
"""How many batches may be open, waiting for more images of their shape."""


class _Entry(Generic[Item, Result]):
    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None


def map_batched(
    function: Callable[[Sequence[Item]], Sequence[Result]],
    items: Iterable[Item],
    shape_of: Callable[[Item], Hashable],
    size: int,
) -> Iterator[tuple[Item, Result]]:
    """Apply a function to batches of items of the same shape, and yield in the order of the items.

    At most ``size * LOOK_AHEAD`` items are held, however many there are. Items that all have the
    same shape are grouped as they come.

    Args:
        function: Takes a batch, gives a result for each item.
        items: Any number, as they come.
        shape_of: What the items of a batch have in common.
        size: Items per batch, at most.

    Yields:
        Each item with its result.
    """
    waiting: deque[_Entry] = deque()
    open_batches: dict[Hashable, list[_Entry]] = {}

    def run(shape: Hashable) -> Iterator[tuple[Item, Result]]:
        batch = open_batches.pop(shape)
        results = function([entry.item for entry in batch])
        for entry, result in zip(batch, results, strict=True):
            entry.result = result
        while waiting and waiting[0].result is not None:
            done = waiting.popleft()
            yield done.item, done.result

    for item in items:
        shape = shape_of(item)
        waiting.append(_Entry(item))
        open_batches.setdefault(shape, []).append(waiting[-1])
        if len(open_batches[shape]) == size:
            yield from run(shape)
        elif len(waiting) >= size * LOOK_AHEAD:
            yield from run(shape_of(waiting[0].item))
    while waiting:
        yield from run(shape_of(waiting[0].item))
