"""Time reading videos, and single frames of them, beside OpenCV's reader."""

import argparse
import time
from pathlib import Path

import numpy as np

from mmps.benchmark.measurement import Measurement, add_options, alone, peak_memory
from mmps.sources import video_info
from mmps.utils.memory import keep_freed_memory

_CLIP = 20
"""Seconds that are encoded; a longer video repeats them."""

_READERS = ('mmps', 'opencv')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('video', help='a file; written as H.264 where there is none')
    parser.add_argument(
        '--minutes', type=float, default=10, help='length of the video that is written'
    )
    parser.add_argument('--rate', type=int, default=25, help='its frames per second')
    parser.add_argument('--size', default='1920x1080', help='its width x height')
    parser.add_argument('--fps', type=float, default=2, help='frames per second to take')
    add_options(parser, '--repeats')
    parser.add_argument('--seeks', type=int, default=100, help='single frames to read')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """The readers take turns, each time in a process of its own."""
    path = Path(arguments.video)
    if not path.is_file():
        width, _, height = arguments.size.partition('x')
        frames = round(arguments.minutes * 60 * arguments.rate)
        _write(path, frames, arguments.rate, int(width), int(height))
    found: dict[str, list[dict]] = {reader: [] for reader in _READERS}
    for _ in range(arguments.repeats):
        for reader in _READERS:
            found[reader].append(alone(_read, reader, str(path), arguments.fps))
    frames = video_info(str(path)).frames
    measured = [Measurement('frames', frames, '')]
    for reader, runs in found.items():
        rates = [frames / run['seconds'] for run in runs]
        busy = min(run['busy'] for run in runs)
        measured += [
            Measurement('best', max(rates), 'frames/s', reader),
            Measurement('least', min(rates), 'frames/s', reader),
            Measurement('CPU', 1000 * busy / frames, 'ms/frame', reader),
            Measurement('taken', runs[0]['taken'], '', reader),
            Measurement('memory for it', max(run['memory'] for run in runs), 'MiB', reader),
        ]
    if arguments.seeks:
        for reader in _READERS:
            seeks = alone(_seek, reader, str(path), arguments.seeks)
            measured += [
                Measurement('median', float(np.median(seeks['seconds'])), 's', f'{reader}, one'),
                Measurement('worst', max(seeks['seconds']), 's', f'{reader}, one'),
            ]
    return measured


def _write(path: Path, frames: int, rate: int, width: int, height: int) -> None:
    """A patterned scene that is shifted from frame to frame, again and again."""
    import av

    rng = np.random.default_rng(0)
    small = rng.integers(40, 216, (height // 24 + 1, width // 24 + 1, 3), np.uint8)
    large = np.kron(small, np.ones((24, 24, 1), np.uint8))
    noise = rng.integers(-12, 13, large.shape).astype(np.int8)
    large = (large.astype(np.int16) + noise).astype(np.uint8)
    clip = min(frames, _CLIP * rate)
    with av.open(str(path), 'w') as output:
        stream = output.add_stream('libx264', rate=rate, options={'preset': 'veryfast'})
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        packets = []
        for number in range(clip):
            shifted = np.roll(large, 3 * number, axis=1)[:height, :width]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shifted), format='bgr24')
            packets += stream.encode(frame)
        packets += stream.encode()
        for first in range(0, frames, clip):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.stream, again.time_base = stream, packet.time_base
                shift = round(first / rate / packet.time_base)
                again.pts, again.dts = packet.pts + shift, packet.dts + shift
                again.is_keyframe = packet.is_keyframe
                output.mux(again)


def _read(reader: str, path: str, fps: float) -> dict:
    import cv2  # both readers have the same modules in memory

    from mmps.sources import Reading, read_sources

    keep_freed_memory()  # as indexing does
    loaded, start, busy = peak_memory(), time.perf_counter(), time.process_time()
    taken = 0
    if reader == 'mmps':
        taken = sum(1 for _ in read_sources([path], Reading(fps)))
    else:
        capture, due = cv2.VideoCapture(path, cv2.CAP_FFMPEG), 0
        while capture.grab():
            if capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 + 1e-3 >= due / fps:
                _, image = capture.retrieve()  # held until the next, as by whoever reads
                taken, due = taken + 1, due + 1
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return dict(taken=taken, seconds=seconds, busy=busy, memory=peak_memory() - loaded)


def _seek(reader: str, path: str, count: int) -> dict:
    import cv2

    from mmps.sources import read_frame

    info = video_info(path)
    seconds = []
    for number in np.random.default_rng(1).integers(0, info.frames, count).tolist():
        start = time.perf_counter()
        if reader == 'mmps':
            read_frame(path, number, number / info.fps)
        else:
            capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            capture.read()
        seconds.append(time.perf_counter() - start)
    return dict(seconds=seconds)
