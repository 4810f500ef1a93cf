"""Reading videos one frame after another, and single frames of them, with the same pixels."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy, deepcopy
from dataclasses import dataclass
from itertools import chain, islice

import av
import numpy as np

from mmps.sources.images import MAX_PIXELS
from mmps.sources.video_file import BrokenVideoError, Clock, VideoFile, VideoInfo, opened

_EARLY = 1e-3
"""Seconds by which a frame may come before it is due: containers round times to milliseconds."""

_LARGE = 2**25
"""Bytes from which on not all packets of a file are read to find one frame of it."""

_PROBES = 48
"""Places of a large file whose times are compared."""

_DELAY = 3
"""Frames that may be shown before another and were made from it."""

_AFTER = 8
"""Frames shown after another that may be decoded before it."""

_NEAR = 2000
"""Frames that are decoded from the beginning rather than shown as a damage leaves them."""

_BACK = (0, 20, 120)
"""Seconds before a frame at which to look for one that needs no other."""


class Sampling:
    """Chooses ``fps`` frames per second: the first one from each due time on. None: every one."""

    def __init__(self, fps: float | None) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f'fps={fps}: how many frames per second to take must be positive')
        self._fps = fps
        self._taken = -1

    def takes(self, offset: float) -> bool:
        """Whether to take the frame ``offset`` seconds into the video; asked in their order."""
        if self._fps is None:
            return True
        due = int((offset + _EARLY) * self._fps)
        if due <= self._taken:
            return False
        self._taken = due
        return True

    def predicted(self, info: VideoInfo) -> list[int]:
        """Numbers of the frames that it takes of a video of constant rate."""
        fresh = Sampling(self._fps)
        return [n for n in range(info.frames) if fresh.takes(n / info.fps if info.fps else 0.0)]


def video_info(path: str, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """What a video says about itself.

    Raises:
        BrokenVideoError: It cannot be opened, or its frames are too large.
    """
    with opened(path, max_pixels) as file:
        info = file.info
        turned = next(file.decode(file.packets()), None)
    if turned is None or turned.rotation % 180 != 90:
        return info
    return VideoInfo(info.frames, info.fps, info.height, info.width)


def read_video(
    path: str,
    fps: float | None = None,
    wanted: Callable[[int, int], bool] = lambda frame, sample: True,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[int, float, np.ndarray | None]]:
    """Yield number, seconds from the start and pixels (h, w, 3) uint8 BGR of frames in their order.

    Frames that cannot be decoded have a number but are not given. Each has the size that it has in
    the file.

    Args:
        path: The video.
        fps: Frames per second of the video's own time; None: every frame.
        wanted: Given the number of a frame and how many were sampled before it, says whether its
            pixels are needed. To pass over the others takes a fraction of the time.
        max_pixels: Videos with larger frames are refused.

    Yields:
        None in place of the pixels where they cannot be converted, or are too many.

    Raises:
        BrokenVideoError: It cannot be opened; or, after its last frame, it ended too early.
    """
    frames = _frames_of(path, max_pixels, fps)
    for sample, (file, number, offset, frame) in enumerate(frames):
        if wanted(number, sample):
            pixels = None
            with suppress(ValueError, av.FFmpegError):
                pixels = file.pixels(frame, max_pixels)
            yield number, offset, pixels


@dataclass
class _Key:
    """A frame that needs no other: where to decode from again."""

    number: int
    place: int  # how many packets come before it
    clock: Clock | None  # as it was before the frame
    offset: float


def _frames_of(
    path: str, max_pixels: int = MAX_PIXELS, fps: float | None = None
) -> Iterator[tuple[VideoFile, int, float, av.VideoFrame]]:
    """The open file, and number, offset and frame of what is sampled and can be decoded.

    Frames are decoded several at a time until one is damaged; from a while before it on they are
    decoded again, one after another, so that what takes the place of damaged parts is the same
    each time.

    Raises:
        BrokenVideoError: It cannot be opened; or, after its last frame, what was wrong with it.
    """
    key, given, sampled = _Key(0, 0, None, 0.0), -1, Sampling(fps)
    for threads in (True, False):
        with opened(path, max_pixels, threads) as file:
            key.clock = key.clock or file.clock()
            again, waiting, sampling = deque([key]), deque(), copy(sampled)
            for number, offset, frame in chain(_decoded(file, key, again), [(-1, 0.0, None)]):
                if threads and (file.lost or file.damaged[0]):
                    break
                if number > given:  # of those that are not taken nothing is kept
                    taken = frame if sampling.takes(offset) else None
                    waiting.append((number, offset, taken, copy(sampling)))
                while len(waiting) > (_DELAY if frame is not None else 0):
                    given, offset, ready, sampled = waiting.popleft()
                    if ready is not None:
                        yield file, given, offset, ready
            else:
                if fault := file.fault():
                    raise BrokenVideoError(fault)
                return
            key = again[0]


def _decoded(
    file: VideoFile, key: _Key, again: deque[_Key]
) -> Iterator[tuple[int, float, av.VideoFrame]]:
    """Number, offset and frame from a key frame on.

    ``again`` gets the frames that need no other: the last ones, and one that is some time past.
    """
    clock, keys, place = deepcopy(key.clock), deque(), key.place - 1

    def noted() -> Iterator[av.Packet]:
        nonlocal place
        for packet in file.resume(key.number, key.place):
            place += 1
            if packet.is_keyframe:
                keys.append((place, packet.pts))
            yield packet

    for frame in file.decode(noted(), clock):
        if frame is None:
            continue
        while keys and frame.key_frame:
            at, pts = keys.popleft()
            if pts == frame.pts and at > key.place:
                again.append(_Key(file.number, at, deepcopy(clock), again[-1].offset))
                break
        offset = clock.offset(file.seconds(file.time_of(frame)))
        if again[-1].number == file.number:
            again[-1].offset = offset
        while len(again) > 1 and again[1].offset <= offset - _BACK[-1]:
            again.popleft()
        yield file.number, offset, frame


@dataclass(frozen=True)
class _Packets:
    """The packets of a video, in the order in which they are decoded.

    Attributes:
        times: (n,) int64, timestamps in units of the stream; empty where it has none.
        keys: (n,) bool, which need no other.
        offsets: (n,) float64, seconds from the first frame as reading the video gives them.
        places: (n,) int64, how many packets come before each; those that show nothing are left out.
        length: In seconds, to the end of the last frame.
        one_clock: Whether each time comes once, so that it can be looked for.
    """

    times: np.ndarray
    keys: np.ndarray
    offsets: np.ndarray
    places: np.ndarray
    length: float
    one_clock: bool


def read_video_frame(path: str, frame: int, offset: float | None = None) -> np.ndarray:
    """One frame of a video, with the pixels that reading the video gives it.

    It is looked for directly, by its time, which is ``offset`` seconds from the start, as
    :func:`read_video` told it. Where that is not certain to lead to the same pixels, everything
    before it is decoded.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        BrokenVideoError: The video cannot be read, or not as far.
    """
    with opened(path) as file:
        if offset is None and file.codec != 'vp8':  # has packets that show nothing
            offset = next(iter(np.sort(packets_of(path).offsets)[frame:].tolist()), None)
        found = None if offset is None else _look_up(path, file, offset, frame < _NEAR)
        if found is not None:
            return file.pixels(found)
    number = -1
    with suppress(BrokenVideoError):  # what is wrong with the others
        for file, number, _, found in _frames_of(path):
            if number == frame:
                return file.pixels(found)
            if number > frame:
                break
    fault = 'has no' if number < frame else 'cannot decode'
    raise BrokenVideoError(f'{path} {fault} frame {frame}')


def read_video_at(path: str, offset: float) -> np.ndarray:
    """What a video shows ``offset`` seconds from its start.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        BrokenVideoError: It cannot be read, begins later or ends earlier.
    """
    index = packets_of(path)
    shown = np.sort(index.offsets)
    nothing = BrokenVideoError(f'{path} shows nothing {offset:.1f} seconds from its start')
    if offset < 0 or len(shown) and offset >= index.length:
        raise nothing
    if len(shown):
        at = max(0, int(np.searchsorted(shown, offset + _EARLY, side='right')) - 1)
        with opened(path) as file:
            found = _look_up(path, file, float(shown[at]))
            if found is not None:
                return file.pixels(found)
    last = None
    with suppress(BrokenVideoError):
        for file, _, time, frame in _frames_of(path):
            if last is not None and time > offset + _EARLY:
                break
            last = file.pixels(frame)
    if last is None:
        raise nothing
    return last


def sampled_frames(path: str, fps: float | None) -> list[int]:
    """Numbers of the frames that sampling takes of a video whose every frame can be decoded.

    Nothing is decoded. Empty where the file does not tell.
    """
    sampling = Sampling(fps)
    offsets = enumerate(np.sort(packets_of(path).offsets))
    return [number for number, offset in offsets if sampling.takes(offset)]


def video_length(path: str) -> float | None:
    """Seconds from the first to the end of the last frame of a video; None: it does not tell."""
    index = packets_of(path)
    return index.length if len(index.offsets) else None


def packets_of(path: str) -> _Packets:
    """The packets of a video. They are read once, and again when the file has changed."""
    status = os.stat(path)
    return _packets_of(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _packets_of(path: str, size: int, changed: int) -> _Packets:
    with opened(path) as file:
        avi = file.kind == 'avi'  # knows the order of decoding only
        rows = [
            (packet.dts if avi else packet.pts, packet.dts, packet.is_keyframe, place)
            for place, packet in enumerate(file.packets())
            if packet.size and not packet.is_discard
        ]
        rows = [(pts, np.nan if dts is None else dts, *rest) for pts, dts, *rest in rows]
        rows = [row for row in rows if row[0] is not None]
        begin = next((at for at, row in enumerate(rows) if row[2]), len(rows))
        if begin == len(rows):
            return _Packets(*(np.empty(0, kind) for kind in 'qbdq'), 0.0, False)
        times, orders, keys, places = map(np.array, zip(*rows[begin:], strict=True))
        clock, start = file.clock(), file.start
        start = int(times.min()) if start is None else start
        offsets = _offsets(times, orders, clock, start, file.tick)
    steps = np.diff(np.sort(offsets)[-32:])
    length = float(offsets.max()) + (float(np.median(steps)) if len(steps) else clock.step)
    one_clock = not np.any(np.diff(orders) < 0) and len(np.unique(times)) == len(times)
    return _Packets(times, keys, offsets, places, length, one_clock)


def _offsets(
    times: np.ndarray, orders: np.ndarray, clock: Clock, start: int, tick: float
) -> np.ndarray:
    """What the clock says to times of packets, each part of them in the order of its times."""
    seconds = (times - start) * tick
    shown = np.sort(seconds)
    if shown[0] >= 0 and not np.any(np.diff(orders) < 0) and np.all(np.diff(shown) > 0):
        return seconds
    offsets = np.empty(len(times))
    # Where the order of decoding goes back, the clock did.
    for part in np.split(np.arange(len(times)), np.flatnonzero(np.diff(orders) < 0) + 1):
        clock.restart()
        for at in part[np.argsort(times[part], kind='stable')].tolist():
            offsets[at] = clock.offset(float(seconds[at]))
    return offsets


def _look_up(path: str, file: VideoFile, offset: float, exact: bool = True) -> av.VideoFrame | None:
    """The frame of an offset, decoded from the last one before it that needs no other.

    What a decoder makes up for damaged parts depends on all it has seen. ``exact`` gives None
    then; otherwise the frame comes from decoding two minutes before it.
    """
    if file.has_index or (
        file.clock().is_first(offset)
        and os.path.getsize(path) > _LARGE
        and _has_one_clock(path, file)
    ):
        return _seek(file, offset, exact)
    index = packets_of(path)
    if file.clock().is_first(offset) and index.one_clock and len(index.times) > _NEAR:
        found = _seek(file, offset, True)
        if found is not None:
            return found
    near = np.flatnonzero(np.abs(index.offsets - offset) < file.tick / 8 + 1e-7)
    if not len(near):
        return None
    target, time = int(near[0]), int(index.times[near[0]])
    keys = np.flatnonzero(index.keys[: target + 1] & (index.times[: target + 1] <= time))
    found = None
    for back in _BACK:
        early = keys[index.offsets[keys] <= max(0.0, offset - back)]
        if not len(early):
            break
        key = int(early[-1])
        same = int((index.times[key:target] == time).sum())
        with opened(path, threads=back == 0) as again:
            packets = islice(again.packets(), int(index.places[key]), None)
            found, whole = _decode_to(again, packets, int(index.times[key]), time, same)
        if whole:
            return found
    return None if exact else found


def _has_one_clock(path: str, file: VideoFile) -> bool:
    """Whether the times of a large file grow with the place in it, as far as a look shows."""
    if file.kind == 'matroska':
        file.container.seek(0)  # reads the list of places, which often is at the end
        entries = [(entry.timestamp, entry.pos) for entry in file.stream.index_entries]
        places = [place for _, place in sorted(entries)]
        return len(entries) > 1 and places == sorted(places)
    if file.kind != 'mpegts':
        return False
    size, last = os.path.getsize(path), None
    for probe in range(_PROBES):
        try:
            file.container.seek(size * probe // _PROBES, unsupported_byte_offset=True)
            time = next((p.dts for p in file.packets() if p.dts is not None), None)
        except av.FFmpegError:
            return False
        if time is None or (last is not None and time < last):
            return False
        last = time
    return True


def _seek(file: VideoFile, offset: float, exact: bool) -> av.VideoFrame | None:
    if file.start is None:
        return None
    time = file.start + round(offset / file.tick)
    if abs(file.seconds(time) - offset) > file.tick / 8 + 1e-7:
        return None
    found = None
    # A transport stream is entered somewhere, and its first place of a time is asked for.
    for back in _BACK if file.kind != 'mpegts' else _BACK[1:]:
        start = max(file.start, time - round(back / file.tick))
        try:
            file.container.seek(start, stream=file.stream)
        except av.FFmpegError:
            return None
        packets, key, waiting = file.packets(), None, []
        for packet in packets:
            shown = packet.pts if packet.pts is not None else packet.dts
            if packet.is_keyframe and shown is not None and (key is None or shown <= start):
                key, waiting = shown, []
            waiting.append(packet)
            if shown is None or shown >= time:
                break
        if key is not None:
            found, whole = _decode_to(file, chain(waiting, packets), key, time)
            if whole:
                return found
    return None if exact else found


def _decode_to(
    file: VideoFile, packets: Iterator[av.Packet], key: int, time: int, same: int = 0
) -> tuple[av.VideoFrame | None, bool]:
    """The frame of a time, and whether nothing was damaged from its key frame on.

    ``same`` frames of that time come before it.
    """
    begun, whole, found, later = False, True, None, 0
    for frame in file.decode(packets):
        shown = None if frame is None else file.time_of(frame)
        if not begun and shown is not None and shown < key:
            continue  # needs what is before
        if not begun and (shown != key or not frame.key_frame):
            return None, False
        begun, whole = True, whole and frame is not None and not frame.is_corrupt
        if shown == time and found is None:
            found, same = (frame if same == 0 else None), same - 1
        later += found is not None or (shown is not None and shown > time)
        if later > _AFTER or (later > 1 and frame is not None and frame.key_frame):
            break
    return found, whole and found is not None
