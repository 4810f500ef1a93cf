"""Videos of every container and codec that PyAV writes, whose frames say which one they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import av
import numpy as np
from helpers.numbered_frames import numbered_frame

from mmps.sources import Frame

CLOSE = 8.0
"""Mean difference in grey levels that encoding leaves; another frame differs by more."""


def scene(number: int, size: tuple[int, int] = (160, 96)) -> np.ndarray:
    """(h, w, 3) uint8 BGR: the number in bars above and below, a coloured person who walks."""
    width, height = size
    picture = numbered_frame(number, size).copy()
    picture = (picture // 255 * 160 + 40).astype(np.uint8)
    third = height // 3
    picture[third : 2 * third] = (170, 100, 40)
    x = (8 + 3 * number) % (width - width // 4)
    picture[third : 2 * third, x : x + width // 5] = (40, 30, 220)
    return picture


def error(image: np.ndarray, number: int) -> float:
    """Mean difference between a picture that was read and what it should be."""
    wanted = scene(number, image.shape[1::-1])
    return float(np.abs(image.astype(int) - wanted).mean())


def errors(frames: Sequence[Frame]) -> list[float]:
    """The same of frames by their numbers."""
    return [error(frame.image, frame.frame) for frame in frames]


class Unseekable(io.RawIOBase):
    """Where a recorder writes that cannot go back, such as a pipe."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)

    def writable(self) -> bool:
        return True


def write(
    path: Path,
    codec: str = 'libx264',
    pix_fmts: Sequence[str] = ('yuv420p',) * 40,
    sizes: Sequence[tuple[int, int]] = (),
    times: Sequence[float] = (),
    rate: int = 10,
    options: dict[str, str] | None = None,
    container: str | None = None,
    container_options: dict[str, str] | None = None,
    rotation: int | None = None,
    sound: float = 0.0,
    to: Unseekable | None = None,
) -> Path:
    """Write a video.

    Args:
        path: Its suffix is the container's.
        codec, options: Of FFmpeg, for the encoder.
        pix_fmts: Of each frame. Where they or the sizes change, another encoder goes on.
        sizes: Of each frame.
        times: Of each frame in seconds; by default ``rate`` per second.
        container, container_options: Of FFmpeg.
        rotation: Degrees counterclockwise by which players turn it.
        sound: Seconds of silence beside it.
        to: Written to in place of the file, which is made of it.
    """
    sizes = sizes or ((160, 96),) * len(pix_fmts)
    base = Fraction(1, 1000) if times else Fraction(1, rate)
    stamps = [round(time * 1000) for time in times] or range(len(pix_fmts))
    kinds = list(zip(pix_fmts, sizes, strict=True))
    groups = [(kind, list(group)) for kind, group in groupby(range(len(kinds)), kinds.__getitem__)]
    with av.open(to or str(path), 'w', format=container, options=container_options or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        (stream.pix_fmt, (stream.width, stream.height)), _ = groups[0]
        stream.codec_context.time_base = base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        silence = out.add_stream('aac', rate=8000, layout='mono') if sound else None
        packets = []
        for (pix_fmt, size), numbers in groups:
            encoder = stream.codec_context
            if packets:
                encoder = av.CodecContext.create(codec, 'w')
                encoder.width, encoder.height = size
                encoder.pix_fmt, encoder.time_base = pix_fmt, base
                encoder.framerate, encoder.options = rate, options or {}
            for number in [*numbers, None]:
                frame = None
                if number is not None:
                    frame = av.VideoFrame.from_ndarray(scene(number, size), format='bgr24')
                    frame = frame.reformat(format=pix_fmt)
                    frame.pts, frame.time_base = stamps[number], base
                packets += encoder.encode(frame)
        for at in range(0, int(sound * 8000), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), 'fltp', 'mono')
            frame.rate, frame.pts = 8000, at
            packets += silence.encode(frame)
        for packet in packets:
            if packet.stream is not silence or silence is None:
                packet.stream = stream
            out.mux(packet)
    if to is not None:
        path.write_bytes(to.content)
    return path


def damaged(path: Path, start: float, share: float, kind: str = 'zero') -> Path:
    """A copy of a file in which a share of its bytes, from a share of them on, is lost."""
    content = bytearray(path.read_bytes())
    first, count = int(start * len(content)), max(1, int(share * len(content)))
    if kind == 'drop':
        del content[first : first + count]
    else:
        noise = np.random.default_rng(0).integers(0, 256, count, np.uint8).tobytes()
        content[first : first + count] = bytes(count) if kind == 'zero' else noise
    broken = path.with_name(f'{kind}_{path.name}')
    broken.write_bytes(content)
    return broken
