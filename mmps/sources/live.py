"""Streams and cameras, read as they come, and folders that files come into."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import av

from mmps.sources.images import Frame, OnProblem, Problem, absolute, is_address
from mmps.sources.reading import Reading, find_files
from mmps.sources.video_file import BrokenVideoError, VideoFile
from mmps.sources.videos import Sampling

_CAMERA = re.compile(r'/dev/video\d+')
_SCHEMES = ('rtsp', 'rtsps', 'http', 'https')

_RECORDINGS = ('mov', 'matroska', 'avi', 'asf')
"""Containers that, where they state their length, come from a file."""

_SILENCE = 10.0
"""Seconds without anything after which a connection counts as lost."""

_PAUSES = (1.0, 60.0)
"""Seconds before a lost connection is taken up again: at first, and at most."""

_WAITING = 4
"""Frames of a source that wait; when the network is slower than it, the oldest is dropped."""

_IDLE = 1.0
"""Seconds after which whoever reads learns that nothing came."""


def is_live(source: str | os.PathLike) -> bool:
    """Whether a source is a stream, ``rtsp://`` or ``http(s)://``, or a camera, ``/dev/video0``."""
    path = os.fspath(source)
    if not isinstance(path, str):
        return False
    scheme = path.partition('://')[0].lower()
    return bool(_CAMERA.fullmatch(path)) or (scheme in _SCHEMES and is_address(path))


@dataclass
class LiveSource:
    """A stream or a camera, which is connected to again whenever it is lost.

    Example:
        >>> source = LiveSource('rtsp://admin:secret@camera/door?channel=1&token=9')
        >>> source.name
        'rtsp://camera/door?channel=1'

    Attributes:
        address: What to open, passwords included; it is shown to nobody.
        name: What it is called: the address without user, password and query, but for channels.
        last: Number of the last frame so far. The number of a frame is that of milliseconds since
            the epoch when it arrived, or the next one that is free.
        lost: How often the connection was lost, or could not be made.
        dropped: Frames that came faster than they were taken.
        refused: Why it is not read at all; None: it is.
    """

    address: str = field(repr=False)
    last: int = -1
    lost: int = 0
    dropped: int = 0
    refused: str | None = None

    @property
    def name(self) -> str:
        return absolute(self.address)

    def read(
        self, reading: Reading, stop: threading.Event, say: Callable[[str], object]
    ) -> Iterator[Frame]:
        """Frames with the time of their arrival, until ``stop`` is set; those of ``reading`` do not
        count. A silent connection is left within ten seconds; ``say`` is told when one is lost.
        """
        sampling, pause = Sampling(reading.fps), _PAUSES[0]
        while not stop.is_set() and self.refused is None:
            begun = time.monotonic()
            reason = 'the stream ended'
            try:
                yield from self._connected(reading, sampling, stop)
            except OSError as error:  # its text holds the address
                reason = error.strerror or type(error).__name__
            except (av.FFmpegError, ValueError, MemoryError) as error:
                reason = str(error) if isinstance(error, BrokenVideoError) else 'it is no video'
            if stop.is_set() or self.refused is not None:
                return
            self.lost += 1
            if time.monotonic() - begun > 10 * pause:
                pause = _PAUSES[0]
            say(f'{self.name}: {reason}; trying again in {pause:.0f} s')
            stop.wait(pause)
            pause = min(2 * pause, _PAUSES[1])

    def _connected(
        self, reading: Reading, sampling: Sampling, stop: threading.Event
    ) -> Iterator[Frame]:
        origin = replace(reading.provenance, start_time=None, file_times=False).of(self.name, 0.0)
        with _opened(self.address) as container:
            file = VideoFile(container, reading.max_pixels, threads=True)
            # Several frames at a time would make each wait for the ones after it.
            file.stream.codec_context.thread_type = 'SLICE'
            file.patience = 1
            if container.duration and file.kind in _RECORDINGS:
                self.refused = 'it is a recording, not a stream; save it and index the file'
                return
            for frame in file.decode(file.packets()):
                if stop.is_set():
                    return
                if frame is None or frame.is_corrupt or not sampling.takes(time.monotonic()):
                    continue
                arrived = time.time()
                self.last = max(self.last + 1, int(arrived * 1000))
                yield Frame(
                    file.pixels(frame, reading.max_pixels),
                    self.name,
                    self.last,
                    None,
                    arrived,
                    origin.camera,
                    origin.metadata,
                )


def _opened(address: str) -> av.container.InputContainer:
    if _CAMERA.fullmatch(address):
        return av.open(address, format='v4l2', timeout=_SILENCE)
    options = {'rtsp_transport': 'tcp'} if address.lower().startswith('rtsp') else {}
    return av.open(address, container_options=options, timeout=_SILENCE)


class LiveFrames:
    """The frames of several live sources, each read in a thread of its own, until ``stop`` is set.
    ``say`` is told when a connection is lost.

    Example:
        >>> source, stop = LiveSource('rtsp://localhost:1/door'), threading.Event()
        >>> frames = LiveFrames([source], Reading(fps=2), stop, say=lambda text: stop.set())
        >>> sum(map(len, frames.groups(size=8))), source.lost  # nobody answers there
        (0, 1)
    """

    def __init__(
        self,
        sources: Sequence[LiveSource],
        reading: Reading,
        stop: threading.Event,
        say: Callable[[str], object],
    ) -> None:
        self._stop = stop
        self._running = len(sources)
        self._waiting = [deque(maxlen=_WAITING) for _ in sources]
        self._news = threading.Condition()
        self._error: BaseException | None = None
        for pair in zip(sources, self._waiting, strict=True):
            arguments = (*pair, reading, say)
            threading.Thread(target=self._feed, args=arguments, daemon=True, name='live').start()

    def groups(self, size: int) -> Iterator[list[Frame]]:
        """What has come, in turn from each source, at most ``size`` frames at a time.

        A list is empty where nothing came for a second. Ends when it is time to stop, with what was
        waiting then, or when no source is left.
        """
        stopping = False
        while not stopping:
            with self._news:
                if not any(self._waiting) and self._running and not self._stop.is_set():
                    self._news.wait(_IDLE)
                stopping = self._stop.is_set() or not self._running
                if self._error is not None:
                    raise self._error
                group: list[Frame] = []
                while any(self._waiting) and (stopping or len(group) < size):
                    group += [waiting.popleft() for waiting in self._waiting if waiting]
            yield group

    def _feed(
        self, source: LiveSource, waiting: deque, reading: Reading, say: Callable[[str], object]
    ) -> None:
        try:
            for frame in source.read(reading, self._stop, say):
                with self._news:
                    source.dropped += len(waiting) == waiting.maxlen
                    waiting.append(frame)
                    self._news.notify()
        except BaseException as error:  # raised again where the frames are used
            self._error = error
        with self._news:
            self._running -= 1
            self._news.notify()


def new_files(
    sources: Iterable[str | os.PathLike],
    stop: threading.Event,
    interval: float,
    on_problem: OnProblem,
) -> Iterator[list[str]]:
    """Images and videos that come into folders, when they have stopped growing.

    ``interval`` seconds are between two looks, and what does not change meanwhile is complete.
    ``on_problem`` is told of everything once; ``stop`` ends it.

    Yields:
        Files that are there for the first time, or have changed; at the first look what is older
        than ``interval``.
    """
    sources = list(sources)
    told: set[Problem] = set()
    seen: dict[str, tuple[int, int]] = {}
    given: dict[str, tuple[int, int]] = {}
    first = True

    def tell_once(problem: Problem) -> None:
        if problem not in told:
            told.add(problem)
            on_problem(problem)

    while not stop.is_set():
        now: dict[str, tuple[int, int]] = {}
        for path in find_files(sources, tell_once):
            try:
                status = os.stat(path)
            except OSError:  # gone again
                continue
            now[path] = status.st_size, status.st_mtime_ns
            if first and time.time() - status.st_mtime > interval:
                seen[path] = now[path]
        ready = [path for path, state in now.items() if seen.get(path) == state != given.get(path)]
        given.update((path, now[path]) for path in ready)
        seen, first = now, False
        yield ready
        stop.wait(interval)
