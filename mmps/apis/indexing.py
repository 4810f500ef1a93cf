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
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar

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
    ahead: int = 0,
) -> Iterator[tuple[Item, Result]]:
    """Apply a function to batches of items of the same shape, and yield in the order of the items.

    So many batches as ``ahead`` says are worked on by other threads while results are yielded. At
    most ``size * LOOK_AHEAD`` items are held, however many there are. Items that all have the
    same shape are grouped as they come, ``size`` in a batch. Each comes with its result.
    """
    waiting: deque[_Entry] = deque()
    open_batches: dict[Hashable, list[_Entry]] = {}
    running: deque[tuple[list[_Entry], Callable[[], Sequence[Result]]]] = deque()

    def start(shape: Hashable) -> None:
        batch = open_batches.pop(shape)
        results = partial(function, [entry.item for entry in batch])
        running.append((batch, pool.submit(results).result if pool else results))

    def finish(left: int) -> Iterator[tuple[Item, Result]]:
        while len(running) > left:
            batch, results = running.popleft()
            for entry, result in zip(batch, results(), strict=True):
                entry.result = result
            while waiting and waiting[0].result is not None:
                done = waiting.popleft()
                yield done.item, done.result

    with ThreadPoolExecutor(ahead) if ahead else nullcontext() as pool:
        for item in items:
            shape = shape_of(item)
            waiting.append(_Entry(item))
            open_batches.setdefault(shape, []).append(waiting[-1])
            if len(open_batches[shape]) == size:
                start(shape)
                yield from finish(ahead)
            else:
                while len(waiting) >= size * LOOK_AHEAD:
                    if not running:
                        start(shape_of(waiting[0].item))
                    yield from finish(len(running) - 1)
        while waiting:
            if open_batches:
                start(next(iter(open_batches)))
            yield from finish(ahead if open_batches else 0)


FRAMES_PER_APPEND, SECONDS_PER_APPEND = 256, 5.0
"""Whichever is reached first: engines like few large writes, and what is not yet written is lost
when the process is killed."""


def index_files(
    prepare: Callable[[np.ndarray], Any],
    find_people: Callable[[Sequence], list[People]],
    files: Sequence[str],
    gallery: Gallery,
    reading: Reading,
    batch_size: int,
    problems: list[Problem],
    progress: bool = True,
    stop: threading.Event | None = None,
    ahead: int = 0,
) -> IndexReport:
    """Find the people in images and videos, and add them to a gallery.

    One thread reads ahead, one prepares, one or more run the network, one appends, in order: of the
    frames of a process those in the gallery are always the first so many. What is there already is
    passed over.

    Args:
        prepare: An image (h, w, 3) uint8 BGR to what the network takes.
        find_people: The network: prepared images of one shape to the people in each.
        files: Images and videos, as ``find_files`` gives them.
        gallery: Of the same model.
        reading: What to read of the files; ``skip`` is filled in.
        batch_size: Images per pass of the network, at most.
        problems: So far; more are added.
        stop: Set to end early; what was read until then is stored.
        ahead: Of the network.
    """
    start = time.perf_counter()
    keep_freed_memory()  # that of a frame serves the next ones
    named = set(files)
    known = frozenset(entry for entry in gallery.known() if entry[0] in named)
    reading = reading.skipping(known)
    total = count_frames(files, reading) if progress else None
    frames = people = 0
    coming = read_sources(files, reading, problems.append)
    if stop is not None:
        coming = itertools.takewhile(lambda _: not stop.is_set(), coming)
    with (
        tqdm(total=total, unit='img', disable=not total, smoothing=0.02) as bar,
        Prefetch(coming, batch_size * LOOK_AHEAD) as waiting,
        Prefetch(((frame, prepare(frame.image)) for frame in waiting), batch_size) as prepared,
        Worker(_append_grouped(gallery, reading)) as writer,
    ):
        for batch in _batches(_indexed(find_people, prepared, batch_size, bar.update, ahead)):
            writer.put(batch)
            frames += len(batch)
            people += sum(len(frame.bboxes) for frame in batch)
    gallery.group(named)  # images, and what several processes have found
    seconds = time.perf_counter() - start
    return IndexReport(frames, people, len(known), tuple(problems), seconds)


def index_live(
    prepare: Callable[[np.ndarray], Any],
    find_people: Callable[[Sequence], list[People]],
    addresses: Sequence[str],
    gallery: Gallery,
    reading: Reading,
    batch_size: int,
    progress: bool,
    stop: threading.Event,
) -> IndexReport:
    """Find the people in streams and cameras as they come, until ``stop`` is set.

    What comes faster than the network finds people is dropped, the oldest first. No two addresses
    have the same name. The other arguments are those of :func:`index_files`.
    """
    start = time.perf_counter()
    keep_freed_memory()
    sources = [LiveSource(address) for address in addresses]
    for source in sources:
        numbers = [frame for _, frame in gallery.known(source.name)]
        source.last = max(numbers, default=-1)

    def say(message: str) -> None:
        if progress:
            tqdm.write(message, file=sys.stderr)

    frames = people = 0
    batch: list[IndexedFrame] = []
    stored = time.monotonic()
    append = _append_grouped(gallery, reading)
    with tqdm(unit='img', disable=not progress) as bar, Worker(append) as writer:
        for group in LiveFrames(sources, reading, stop, say).groups(batch_size):
            prepared = ((frame, prepare(frame.image)) for frame in group)
            batch += _indexed(find_people, prepared, batch_size, bar.update)
            late = time.monotonic() - stored > SECONDS_PER_APPEND
            if batch and (late or stop.is_set() or len(batch) >= FRAMES_PER_APPEND):
                writer.put(batch)
                frames += len(batch)
                people += sum(len(frame.bboxes) for frame in batch)
                batch, stored = [], time.monotonic()
    problems = []
    for source in sources:
        if source.refused:
            problems.append(Problem(source.name, source.refused))
        if source.lost:
            message = f'the connection was lost, or could not be made, {source.lost} times'
            problems.append(Problem(source.name, message))
        if source.dropped:
            problems.append(Problem(source.name, f'{source.dropped} frames came too fast'))
    return IndexReport(frames, people, 0, tuple(problems), time.perf_counter() - start)


def _append_grouped(gallery: Gallery, reading: Reading) -> Callable[[Sequence[IndexedFrame]], None]:
    """Appends frames to a gallery, with the tracklets of their people."""
    grouping = gallery.grouping(shared=reading.ranks > 1)

    def append(frames: Sequence[IndexedFrame]) -> None:
        gallery.append([replace(f, tracklets=grouping.tracklets(f)) for f in frames])

    return append


def _indexed(
    find_people: Callable[[Sequence], list[People]],
    frames: Iterable[tuple[Frame, Any]],
    batch_size: int,
    done: Callable[[], object],
    ahead: int = 0,
) -> Iterator[IndexedFrame]:
    def run(batch: Sequence[tuple[Frame, Any]]) -> list[People]:
        return find_people([prepared for _, prepared in batch])

    def shape(entry: tuple[Frame, Any]) -> tuple[int, ...]:
        return entry[0].image.shape

    for (frame, _), people in map_batched(run, frames, shape, batch_size, ahead):
        height, width = frame.image.shape[:2]
        yield IndexedFrame(
            source=frame.source,
            size=(width, height),
            bboxes=people.bboxes,
            scores=people.scores,
            embeddings=people.embeddings,
            frame=frame.frame,
            offset=frame.offset,
            time=frame.time,
            camera=frame.camera,
            metadata=frame.metadata,
            scene=people.scene,
            quality=picture_quality(people.bboxes, people.scores, _sharpness(frame.image, people)),
            colours=clothing_colours(frame.image, people.bboxes),
        )
        done()


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


def _batches(frames: Iterable[IndexedFrame]) -> Iterator[list[IndexedFrame]]:
    batch: list[IndexedFrame] = []
    started = time.monotonic()
    for frame in frames:
        batch.append(frame)
        if len(batch) >= FRAMES_PER_APPEND or time.monotonic() - started > SECONDS_PER_APPEND:
            yield batch
            batch, started = [], time.monotonic()
    if batch:
        yield batch
