"""From sources into a gallery, with the network never waiting for a disk."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from mmps.apis.people import People
from mmps.apis.results import IndexReport
from mmps.retrieval import Gallery, IndexedFrame, clothing_colours, picture_quality
from mmps.sources import (
    Frame,
    LiveFrames,
    LiveSource,
    Prefetch,
    Problem,
    Reading,
    Worker,
    count_frames,
    read_sources,
)
from mmps.utils.memory import keep_freed_memory

if TYPE_CHECKING:
    from mmps.apis.network import Network

Item, Result = TypeVar('Item'), TypeVar('Result')

LOOK_AHEAD = 4
"""How many batches may be open, waiting for more images of their shape."""


def map_batched(
    function: Callable[[Sequence[Item]], Sequence[Result]],
    items: Iterable[Item],
    shape_of: Callable[[Item], Hashable],
    size: int,
    ahead: int = 0,
) -> Iterator[tuple[Item, Result]]:
    """Apply a function to batches of items of the same shape, and yield in the order of the items.

    So many batches as ``ahead`` says are worked on by other threads while results are yielded. At
    most ``size * LOOK_AHEAD`` items wait, however many there are. Items that all have the
    same shape are grouped as they come, ``size`` in a batch. Each comes with its result.
    """
    waiting: deque[tuple[list[Item], list[Result], int]] = deque()  # whole batch, and place in it
    open_batches: dict[Hashable, tuple[list[Item], list[Result]]] = {}
    running: deque[tuple[list[Result], Callable[[], Sequence[Result]]]] = deque()

    def start(shape: Hashable) -> None:
        batch, results = open_batches.pop(shape)
        work = partial(function, batch)
        running.append((results, pool.submit(work).result if pool else work))

    def finish(left: int) -> Iterator[tuple[Item, Result]]:
        while len(running) > left:
            done, work = running.popleft()
            done += work()
            while waiting and waiting[0][1]:
                batch, results, place = waiting.popleft()
                yield batch[place], results[place]

    with ThreadPoolExecutor(ahead) if ahead else nullcontext() as pool:
        for item in items:
            shape = shape_of(item)
            batch, results = open_batches.setdefault(shape, ([], []))
            waiting.append((batch, results, len(batch)))
            batch.append(item)
            if len(batch) == size:
                start(shape)
                yield from finish(ahead)
            else:
                while len(waiting) >= size * LOOK_AHEAD:
                    if not running:
                        first, _, place = waiting[0]
                        start(shape_of(first[place]))
                    yield from finish(len(running) - 1)
        while waiting:
            if open_batches:
                start(next(iter(open_batches)))
            yield from finish(ahead if open_batches else 0)


FRAMES_PER_APPEND, SECONDS_PER_APPEND = 256, 5.0
"""Whichever is reached first: engines like few large writes, and what is not yet written is lost
when the process is killed."""


@dataclass(frozen=True)
class Indexer:
    """Finds the people in frames, and adds them to a gallery.

    Attributes:
        network: Prepares images, and says how many calls of it at a time keep all cores busy.
        find_people: Prepared images of one shape to the people in each.
        batch_size: Images per pass of the network, at most.
        gallery: Of the same model.
        reading: What to read of files and streams.
        progress: Whether to show it on the terminal.
        stop: Set to end early; what was read until then is stored.
    """

    network: Network
    find_people: Callable[[Sequence], list[People]]
    batch_size: int
    gallery: Gallery
    reading: Reading
    progress: bool
    stop: threading.Event

    def files(self, files: Sequence[str], problems: list[Problem]) -> IndexReport:
        """Index images and videos, as ``find_files`` gives them; more problems are added.

        One thread reads ahead, one prepares, one or more run the network, one appends, in order: of
        the frames of a process those in the gallery are always the first so many. What is there
        already is passed over.
        """
        start = time.perf_counter()
        keep_freed_memory()  # that of a frame serves the next ones
        named = set(files)
        known = frozenset(entry for entry in self.gallery.known() if entry[0] in named)
        reading = self.reading.skipping(known)
        total = count_frames(files, reading) if self.progress else None
        coming = itertools.takewhile(
            lambda _: not self.stop.is_set(), read_sources(files, reading, problems.append)
        )
        size, prepare = self.batch_size, self.network.prepare
        with (
            tqdm(total=total, unit='img', disable=not total, smoothing=0.02) as bar,
            Prefetch(coming, size * LOOK_AHEAD) as waiting,
            Prefetch(
                ((frame, prepare(frame.image)) for frame in waiting), self.batch_size
            ) as ready,
        ):
            counts = self._store(self._indexed(ready, bar, self.network.ahead))
        self.gallery.group(named)  # images, and what several processes have found
        return IndexReport(*counts, len(known), tuple(problems), time.perf_counter() - start)

    def live(self, addresses: Sequence[str]) -> IndexReport:
        """Index streams and cameras as they come, until ``stop`` is set.

        What comes faster than the network finds people is dropped, the oldest first. No two
        addresses have the same name.
        """
        start = time.perf_counter()
        keep_freed_memory()
        sources = [LiveSource(address) for address in addresses]
        for source in sources:
            numbers = [frame for _, frame in self.gallery.known(source.name)]
            source.last = max(numbers, default=-1)

        def say(message: str) -> None:
            if self.progress:
                tqdm.write(message, file=sys.stderr)

        def found(bar: tqdm) -> Iterator[IndexedFrame | None]:
            live = LiveFrames(sources, self.reading, self.stop, say)
            for group in live.groups(self.batch_size):
                yield from self._indexed(((f, self.network.prepare(f.image)) for f in group), bar)
                yield None

        with tqdm(unit='img', disable=not self.progress) as bar:
            counts = self._store(found(bar))
        problems = []
        for source in sources:
            if source.refused:
                problems.append(Problem(source.name, source.refused))
            if source.lost:
                message = f'the connection was lost, or could not be made, {source.lost} times'
                problems.append(Problem(source.name, message))
            if source.dropped:
                problems.append(Problem(source.name, f'{source.dropped} frames came too fast'))
        return IndexReport(*counts, 0, tuple(problems), time.perf_counter() - start)

    def _store(self, frames: Iterable[IndexedFrame | None]) -> tuple[int, int]:
        """Append frames with the tracklets of their people; None: nothing came for a while.

        Gives how many frames there were, and people in them.
        """
        grouping = self.gallery.grouping(shared=self.reading.ranks > 1)
        count = people = 0

        def append(batch: Sequence[IndexedFrame]) -> None:
            self.gallery.append([replace(f, tracklets=grouping.tracklets(f)) for f in batch])

        with Worker(append) as writer:
            for batch in _batches(frames):
                writer.put(batch)
                count += len(batch)
                people += sum(len(frame.bboxes) for frame in batch)
        return count, people

    def _indexed(
        self, frames: Iterable[tuple[Frame, Any]], bar: tqdm, ahead: int = 0
    ) -> Iterator[IndexedFrame]:
        def run(batch: Sequence[tuple[Frame, Any]]) -> list[People]:
            return self.find_people([prepared for _, prepared in batch])

        def shape(entry: tuple[Frame, Any]) -> tuple[int, ...]:
            return entry[0].image.shape

        for (frame, _), people in map_batched(run, frames, shape, self.batch_size, ahead):
            height, width = frame.image.shape[:2]
            boxes, scores = people.bboxes, people.scores
            yield IndexedFrame(
                source=frame.source,
                size=(width, height),
                bboxes=boxes,
                scores=scores,
                embeddings=people.embeddings,
                frame=frame.frame,
                offset=frame.offset,
                time=frame.time,
                camera=frame.camera,
                metadata=frame.metadata,
                scene=people.scene,
                quality=picture_quality(boxes, scores, _sharpness(frame.image, people)),
                colours=clothing_colours(frame.image, boxes),
            )
            bar.update()


def _sharpness(image: np.ndarray, people: People) -> np.ndarray:
    """(n,) variance of the Laplacian of everybody in an image, at a height of 128."""
    height, width = image.shape[:2]
    sharpness = np.zeros(len(people.bboxes), np.float32)
    for number, box in enumerate(np.asarray(people.bboxes)):
        x1, y1, x2, y2 = np.clip(np.round(box), 0, (width, height) * 2).astype(int)
        if x2 - x1 > 1 and y2 - y1 > 1:
            grey = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
            grey = cv2.resize(grey, (64, 128), interpolation=cv2.INTER_AREA)
            sharpness[number] = cv2.Laplacian(grey, cv2.CV_32F).var()
    return sharpness


def _batches(frames: Iterable[IndexedFrame | None]) -> Iterator[list[IndexedFrame]]:
    batch: list[IndexedFrame] = []
    started = time.monotonic()
    for frame in frames:
        batch += [] if frame is None else [frame]
        late = time.monotonic() - started > SECONDS_PER_APPEND
        if batch and (late or len(batch) >= FRAMES_PER_APPEND):
            yield batch
            batch, started = [], time.monotonic()
    if batch:
        yield batch
