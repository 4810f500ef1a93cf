"""Images, folders and videos as one stream of frames."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import av
import cv2
import numpy as np

from mmps.sources.files import absolute, find_files, is_address, is_video
from mmps.sources.frame import MAX_PIXELS, Frame, OnProblem, Problem
from mmps.sources.images import read_image
from mmps.sources.provenance import Origin, Provenance
from mmps.sources.videos import (
    BrokenVideoError,
    Sampling,
    VideoInfo,
    read_video,
    read_video_at,
    read_video_frame,
    sampled_frames,
    video_info,
    video_length,
)


def _ignore(problem: Problem) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True)
class Reading:
    """What to read of files, and how.

    Attributes:
        fps: Frames per second of videos; None: every frame.
        provenance: Rules for cameras and times.
        skip: (source, frame) that are not wanted. Such images are not opened; such frames of a
            video are passed over, and a video of which nothing else is left is not either.
        rank, ranks: Of ``ranks`` processes that read the same files each gets a share: images and
            sampled frames in turn.
        max_pixels: Larger images and videos are refused.
    """

    fps: float | None = None
    provenance: Provenance = Provenance()
    skip: Collection[tuple[str, int]] = field(default=frozenset(), repr=False)
    rank: int = 0
    ranks: int = 1
    max_pixels: int = MAX_PIXELS

    def skipping(self, skip: Collection[tuple[str, int]]) -> Reading:
        """The same, with other frames left out."""
        return replace(self, skip=skip)

    def mine(self, number: int) -> bool:
        """Whether it is this process that reads what has this number."""
        return number % self.ranks == self.rank


def read_sources(
    sources: Iterable[str | os.PathLike],
    reading: Reading = Reading(),
    on_problem: OnProblem = _ignore,
) -> Iterator[Frame]:
    """Read images, folders of them, and videos, one frame at a time.

    Whatever is wrong with a file is told, and the next one is read.

    Args:
        sources: Files and folders; see :func:`~mmps.sources.files.find_files`.
        reading: What to read of them.
        on_problem: Told of broken files and frames.
    """
    for number, path in enumerate(find_files(sources, on_problem)):
        try:
            if is_video(path):
                yield from _read_video(path, number, reading, on_problem)
            elif reading.mine(number) and (path, 0) not in reading.skip:
                image = read_image(path, reading.max_pixels)
                origin = reading.provenance.of(path)
                yield Frame(image, path, 0, None, origin.time, origin.camera, origin.metadata)
        except (OSError, ValueError, MemoryError, cv2.error, av.FFmpegError) as error:
            if reading.mine(number):
                reason = error.strerror if isinstance(error, OSError) else str(error)
                on_problem(Problem(path, reason or type(error).__name__))


def _read_video(path: str, file: int, reading: Reading, on_problem: OnProblem) -> Iterator[Frame]:
    if _is_done(path, file, video_info(path, reading.max_pixels), reading):
        return
    origin = _origin(path, reading.provenance)

    def wanted(frame: int, sample: int) -> bool:
        return reading.mine(file + sample) and (path, frame) not in reading.skip

    for frame, offset, image in read_video(path, reading.fps, wanted, reading.max_pixels):
        if image is None:
            on_problem(Problem(path, 'cannot be decoded', frame))
            continue
        time = None if origin.time is None else origin.time + offset
        yield Frame(image, path, frame, offset, time, origin.camera, origin.metadata)


def _origin(path: str, provenance: Provenance) -> Origin:
    """Where a video is from; the time of the file counts only where its length is known."""
    length = video_length(path) if provenance.file_times else 0.0
    if length is None:
        return replace(provenance, file_times=False).of(path, 0.0)
    return provenance.of(path, length)


def _is_done(path: str, file: int, info: VideoInfo, reading: Reading) -> bool:
    """Whether everything that a video should hold is to be skipped."""
    if not reading.skip:
        return False

    def all_skipped(frames: list[int]) -> bool:
        mine = [frame for sample, frame in enumerate(frames) if reading.mine(file + sample)]
        return bool(frames) and all((path, frame) in reading.skip for frame in mine)

    if all_skipped(Sampling(reading.fps).predicted(info)):
        return True
    # What a video says of its frames is an estimate; its packets are asked where it may matter.
    return (path, 0) in reading.skip and all_skipped(sampled_frames(path, reading.fps))


def count_frames(paths: Sequence[str], reading: Reading) -> int:
    """About how many frames :func:`read_sources` will give, for a progress bar."""
    total = 0
    for number, path in enumerate(paths):
        if not is_video(path):
            total += reading.mine(number) and (path, 0) not in reading.skip
            continue
        try:
            info = video_info(path, reading.max_pixels)
        except BrokenVideoError:
            continue
        frames = Sampling(reading.fps).predicted(info)
        mine = (frame for sample, frame in enumerate(frames) if reading.mine(number + sample))
        total += sum((path, frame) not in reading.skip for frame in mine)
    return total


def read_frame(
    source: str | os.PathLike, frame: int = 0, offset: float | None = None
) -> np.ndarray:
    """One image, or one frame of a video, again.

    Args:
        source: As in :class:`Frame`, and so are the others.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not what it was.
    """
    path = _existing(source)
    return read_video_frame(path, frame, offset) if is_video(path) else read_image(path)


def read_frame_at(source: str | os.PathLike, offset: float) -> np.ndarray:
    """What a video shows so many seconds from its start.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        OSError: The file cannot be read.
        ValueError: It shows nothing at that time, or is no video.
    """
    path = _existing(source)
    if not is_video(path):
        raise ValueError(f'{path} is not a video')
    return read_video_at(path, offset)


def _existing(source: str | os.PathLike) -> str:
    path = absolute(source)
    if is_address(path) or path.startswith('/dev/'):
        raise FileNotFoundError(f'{path} is a live source, of which no pictures are kept')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path} does not exist any more')
    return path
