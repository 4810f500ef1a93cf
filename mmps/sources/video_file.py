"""An open video: its packets, its frames, their pixels and times, and what is wrong with it."""

from __future__ import annotations

import math
import re
import statistics
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import av
import cv2
import numpy as np
from av.stream import Discard, Disposition
from av.video.reformatter import Interpolation, VideoReformatter

from mmps.sources.images import MAX_PIXELS, check_size
from mmps.utils.threads import usable_cores

_DECLARES_LENGTH = ('avi', 'matroska', 'flv', 'asf')
"""Containers whose length is stated at their beginning; others' are estimates of FFmpeg's."""

_REORDERED = 32
"""Frames that a decoder holds back at most."""

_READ_ERRORS = 100
"""Errors in a row after which the rest of a container is given up."""

_TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


class BrokenVideoError(ValueError):
    """A video that cannot be read, or not to its end."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself.

    Attributes:
        frames: Number of frames; an estimate in some containers, 0 where it is not known.
        fps: Frames per second, the mean where they vary; 0 where it is not known.
        width, height: In pixels, upright.
    """

    frames: int
    fps: float
    width: int
    height: int

    @property
    def duration(self) -> float:
        """In seconds; 0 where it is not known."""
        return self.frames / self.fps if self.fps else 0.0


class Clock:
    """Seconds since the first frame, which grow from frame to frame whatever the timestamps do.

    A clock that goes back continues one frame after the last one. What comes from then on lies a
    quarter of a tick beside the container's own grid, which :meth:`is_first` sees. A ``tick`` is
    the seconds that a unit of the timestamps lasts, ``step`` those from frame to frame until some
    have come.
    """

    def __init__(self, tick: float, step: float) -> None:
        self._tick = tick
        self._steps = deque([step], maxlen=31)
        self._last: float | None = None
        self._shift = 0.0
        self._restarting = 0

    @property
    def step(self) -> float:
        """Seconds from frame to frame, of late."""
        return statistics.median(self._steps)

    def restart(self) -> None:
        """The clock has gone back; one of the next frames is the first that shows it."""
        self._restarting = _REORDERED

    def offset(self, seconds: float | None) -> float:
        """The offset of the next frame, whose timestamp says ``seconds``; None: it has none."""
        self._restarting -= self._restarting > 0
        if self._last is None:
            self._shift = max(0.0, -(seconds or 0.0))
            now = (seconds or 0.0) + self._shift
        elif seconds is None:
            now = self._last + self.step
        else:
            now = seconds + self._shift
            if now > self._last:
                self._steps.append(now - self._last)
            elif self._restarting:
                self._restarting = 0
                ticks = round((self._last + self.step - seconds) / self._tick)
                self._shift = ticks * self._tick + self._beside
                now = max(seconds + self._shift, self._last + self._beside)
            else:  # a second frame of one time, or behind lost ones a frame that comes late
                now = self._last + self.step / 8
        self._last = now
        return now

    @property
    def _beside(self) -> float:
        return min(self._tick, 1e-3) / 4

    def is_first(self, offset: float) -> bool:
        """Whether a frame of this offset comes before the clock went back for the first time."""
        return abs(offset - round(offset / self._tick) * self._tick) < self._beside / 2


class VideoFile:
    """A video that is open; made by :func:`opened`.

    Attributes:
        container: PyAV's, with ``stream`` the one that is read.
        info: What it says about itself.
        codec: Name of its codec.
        patience: Errors in a row after which the rest is given up.
        lost, missing: Frames that could not be decoded so far, and that a transport lost.
        damaged: Frames so far of which the decoder made up a part, and the number of the first.
    """

    def __init__(
        self, container: av.container.InputContainer, max_pixels: int, threads: bool
    ) -> None:
        self.container = container
        self.stream = _video_stream(container)
        context = self.stream.codec_context
        if context is None:
            raise BrokenVideoError(
                f'no decoder for its codec ({_described(container, self.stream)}); convert it, '
                'e.g. with ffmpeg -i FILE -c:v libx264 NEW.mp4'
            )
        self.codec = context.codec.canonical_name
        context.thread_type = 'AUTO'
        # FFmpeg's own choice is one more, and each takes memory.
        context.thread_count = min(usable_cores() or 1, 16) if threads else 1
        options = {'max_pixels': str(max_pixels)}
        if context.codec.intra_only:
            # In place of damaged parts there would be what was left in memory.
            options['err_detect'] = 'crccheck+explode'
        context.options = options
        try:
            check_size(max(context.width, 1), max(context.height, 1), max_pixels)
        except ValueError as error:
            raise BrokenVideoError(str(error)) from error
        self.kind = container.format.name.partition(',')[0]
        self.tick = float(self.stream.time_base or 1 / 90000)
        rate = self.stream.guessed_rate
        self.rate = float(rate) if rate and 0 < rate < 1000 else 0.0
        self.info = VideoInfo(self._frames(), self.rate, context.width, context.height)
        self.start = self.stream.start_time
        self.lost = self.missing = 0
        self.damaged = [0, math.inf]
        self.number = self._packets = 0
        self._first_lost = math.inf
        self._reached = 0.0
        self.patience = _READ_ERRORS
        self._key_seen = False
        self._reformatter = VideoReformatter()
        # Packets of other streams are wanted only where they tell that the file is whole.
        for other in container.streams:
            if other is not self.stream and self.kind not in _DECLARES_LENGTH:
                other.discard = Discard.all

    def clock(self) -> Clock:
        """A clock for the frames from the first one on."""
        return Clock(self.tick, 1 / (self.rate or 25.0))

    @property
    def has_index(self) -> bool:
        """Whether the container lists all its frames, so that its clock cannot go back."""
        listed = len(self.stream.index_entries)
        return self.kind == 'mov' and 0 < self.stream.frames <= listed

    def _frames(self) -> int:
        if self.stream.frames > 0:
            return min(self.stream.frames, 2**31)
        seconds = _seconds(self.stream.metadata.get('DURATION', ''))
        if not seconds and self.stream.duration:
            seconds = float(self.stream.duration * self.stream.time_base)
        if not seconds and self.container.duration:
            seconds = self.container.duration / av.time_base
        return min(round(max(0.0, seconds) * self.rate), 2**31)

    def seconds(self, timestamp: int | None) -> float | None:
        """Seconds from the start to a timestamp."""
        if timestamp is None:
            return None
        if self.start is None:
            self.start = timestamp
        return (timestamp - self.start) * self.tick

    def packets(self) -> Iterator[av.Packet]:
        """The packets of the stream, in the order in which they are decoded.

        The last one is empty and flushes the decoder. A place that cannot be read is passed over.
        """
        failed = 0
        packets = self.container.demux()
        flush = None
        while failed < self.patience:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError:  # ends the generator, not the container
                failed += 1
                packets = self.container.demux()
                continue
            if packet.size == 0 and packet.dts is None and packet.pts is None:
                if packet.stream is self.stream:
                    flush = packet
                continue
            failed = 0
            if packet.stream is self.stream:
                self._packets += not packet.is_discard
                yield packet
            if self.kind in _DECLARES_LENGTH and packet.time_base:
                for time in (packet.pts, packet.dts):
                    if time is not None:
                        end = float((time + (packet.duration or 0)) * packet.time_base)
                        self._reached = max(self._reached, end)
        self._miss(bool(failed))
        if flush is not None:
            yield flush

    def resume(self, number: int, place: int) -> Iterator[av.Packet]:
        """The packets behind the first ``place`` ones; the next shows frame ``number`` alone."""
        for _ in islice(self.packets(), place):
            pass
        self.number, self._key_seen = number, True
        return self.packets()

    def decode(
        self, packets: Iterable[av.Packet], clock: Clock | None = None
    ) -> Iterator[av.VideoFrame | None]:
        """The frames of packets in the order in which they are shown; None: one that is lost.

        What comes before the first frame that needs no other is part of an earlier recording. A
        ``clock`` is told when the timestamps go back.
        """
        gap = _Gap()
        for packet in packets:
            self._key_seen |= packet.is_keyframe
            self._miss(gap.after(packet))
            if gap.went_back and clock is not None:
                clock.restart()
            try:
                frames = packet.decode()
            except av.FFmpegError:
                frames = [None] if self._key_seen else []
            for frame in frames:
                if frame is None:
                    self.lost += 1
                    self._first_lost = min(self._first_lost, self.number)
                else:
                    if frame.is_corrupt:
                        self.damaged[0] += 1
                        self.damaged[1] = min(self.damaged[1], self.number)
                    self._miss(gap.at_change(frame, self.time_of(frame)))
                yield frame
                self.number += 1

    def _miss(self, count: int) -> None:
        self.missing += count
        if count:
            self._first_lost = min(self._first_lost, self.number)

    def time_of(self, frame: av.VideoFrame) -> int | None:
        """The timestamp of a frame, in units of the stream."""
        if self.kind == 'avi':  # knows the order of decoding only
            return frame.dts
        return frame.pts if frame.pts is not None else frame.dts

    def pixels(self, frame: av.VideoFrame, max_pixels: int = MAX_PIXELS) -> np.ndarray:
        """(h, w, 3) uint8 BGR of a frame, upright.

        Raises:
            ValueError: It is too large, or of a format that cannot be converted.
        """
        check_size(frame.width, frame.height, max_pixels)
        # Colours that are stored at half the size are repeated, whatever the depth.
        converted = self._reformatter.reformat(
            frame, format='bgr24', interpolation=Interpolation.POINT, threads=1
        )
        image = converted.to_ndarray()
        turn = _TURNS.get(frame.rotation % 360)
        return image if turn is None else cv2.rotate(image, turn)

    def fault(self) -> str | None:
        """What is wrong with a file that was read to its end; None: nothing."""
        shown = self.number - self.lost
        if self.number == 0 or shown <= 0:
            codec = {'av1': 'AV1', 'h264': 'H.264', 'hevc': 'HEVC'}.get(self.codec, self.codec)
            return f'holds no frame that can be decoded ({codec})'
        wanted = sum(not entry.is_discard for entry in self.stream.index_entries)
        if self.kind == 'mov' and self._packets < wanted:
            return self._broken_off(self.info.frames)
        declared = (self.container.duration or 0) / av.time_base
        if self.kind == 'avi' and self.rate:  # FFmpeg corrects its length by the size of the file
            declared = max(declared, self.stream.frames / self.rate)
        tolerance = 0.01 * declared + max(0.2, 2 / (self.rate or 25.0))
        if self.kind in _DECLARES_LENGTH and self._reached < declared - tolerance:
            return self._broken_off(self.info.frames, declared)
        count, first = self.damaged
        made_up = f'{count} of {self.number} frames are damaged, the first is frame {first}'
        if self.lost or self.missing:
            every = max(self.info.frames, self.number + self.missing)
            return (
                f'{self.lost + self.missing} of {every} frames cannot be decoded, at frame '
                f'{self._first_lost} first; the others are there'
                + (f' ({made_up})' if count else '')
            )
        return f'{made_up}; parts of them are made up by the decoder' if count else None

    def _broken_off(self, frames: int, declared: float = 0.0) -> str:
        shown = self.number - self.lost
        if frames > shown:
            return f'breaks off after {shown} of {frames} frames; what can be decoded is there'
        return (
            f'breaks off after {self._reached:.1f} of {declared:.1f} seconds; what can be decoded '
            'is there'
        )


class _Gap:
    """Sees frames that a transport lost, or a decoder where the kind of its frames changes.

    A recording that was joined to another one has a fault in its counters too, but goes on with a
    frame that needs no other, or without a gap.
    """

    def __init__(self) -> None:
        self.went_back = False
        self._last: int | None = None
        self._steps: deque[int] = deque(maxlen=31)
        self._suspicious = 0
        self._shown: tuple[tuple, int | None] | None = None

    def after(self, packet: av.Packet) -> int:
        """How many frames are missing before a packet."""
        self._suspicious = 4 if packet.is_corrupt else max(0, self._suspicious - 1)
        missing, self.went_back = 0, False
        if packet.dts is not None:
            step = packet.dts - self._last if self._last is not None else 0
            self.went_back = step < 0
            count = self._frames(step)
            if self._suspicious and not packet.is_keyframe and count > 1:
                missing = count - 1
            elif step > 0:
                self._steps.append(step)
            self._last = packet.dts
        return missing

    def at_change(self, frame: av.VideoFrame, time: int | None) -> int:
        """How many frames are missing before one whose size or format differs from the last."""
        before, kind = self._shown, (frame.width, frame.height, frame.format.name)
        self._shown = kind, time
        if before is None or before[0] == kind or None in (time, before[1]):
            return 0
        return max(0, self._frames(time - before[1]) - 1)

    def _frames(self, step: int) -> int:
        usual = statistics.median(self._steps) if self._steps else 0
        return round(step / usual) if usual else 0


@contextmanager
def opened(path: str, max_pixels: int = MAX_PIXELS, threads: bool = True) -> Iterator[VideoFile]:
    """Open a video.

    Args:
        path: The video.
        max_pixels: Larger frames are not decoded.
        threads: Decode several frames at a time. What stands for damaged parts then varies.

    Raises:
        BrokenVideoError: It is none, its frames are too large, or there is no decoder.
    """
    try:
        # A playlist must not make the reader open what it names.
        container = av.open(path, container_options={'protocol_whitelist': 'file'})
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (OSError, av.FFmpegError, UnicodeError) as error:
        raise BrokenVideoError('cannot be opened as an image or a video') from error
    with container:
        yield VideoFile(container, max_pixels, threads)


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    streams = container.streams.video
    for stream in streams:  # the cover of a piece of music is no video
        if not stream.disposition & Disposition.attached_pic:
            return stream
    if streams:
        return streams[0]
    raise BrokenVideoError('cannot be opened as an image or a video: it holds no pictures')


def _described(container: av.container.InputContainer, stream: av.VideoStream) -> str:
    """What FFmpeg calls a codec that it has no decoder for."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        text = container.dumps_format()
    finally:
        av.logging.set_level(level)
    found = re.search(rf'Stream #0:{stream.index}\b.*?Video: (.*?),', text)
    return found[1].replace('none (', '').partition(' / ')[0] if found else 'unknown'


def _seconds(text: str) -> float:
    """Seconds in what Matroska's statistics write, such as 00:00:04.000000000; 0: nothing."""
    try:
        hours, minutes, seconds = map(float, text.split(':'))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds
