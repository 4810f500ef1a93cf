"""Reading videos one frame after another, which is exact and fastest; and single frames of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from mmps.sources.frame import MAX_PIXELS, check_size

# What FFmpeg writes to the terminal about broken files is reported as problems, once.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

_EARLY = 1e-3
"""Seconds by which a frame may come before it is due: containers round times to milliseconds."""

_GIVE_UP = 250
"""Frames in a row that cannot be decoded: more than lie between two that need no other."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself.

    Attributes:
        frames: Number of frames; an estimate in some containers, 0 where it is not known.
        fps: Frames per second, the mean where they vary; 0 where it is not known.
        width, height: In pixels.
    """

    frames: int
    fps: float
    width: int
    height: int

    @property
    def duration(self) -> float:
        """In seconds; 0 where it is not known."""
        return self.frames / self.fps if self.fps else 0.0


class BrokenVideoError(ValueError):
    """A video that cannot be read, or not to its end."""


class Sampling:
    """Chooses so many frames per second: the first one from each due time on.

    Args:
        fps: Frames per second; None: every frame.
    """

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


# OpenCV 5 has it in a module of its own.
_set_log_level = cv2.setLogLevel if hasattr(cv2, 'setLogLevel') else cv2.utils.logging.setLogLevel


@contextmanager
def _opened(path: str, max_pixels: int) -> Iterator[tuple[cv2.VideoCapture, VideoInfo]]:
    level = _set_log_level(2)  # errors: of a file that is no video we speak ourselves
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    _set_log_level(level)
    try:
        if not capture.isOpened():
            raise BrokenVideoError('cannot be opened as an image or a video')
        properties = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS)
        frames, fps = (max(0.0, capture.get(key)) for key in properties)
        sides = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        width, height = (int(capture.get(key)) for key in sides)
        try:
            check_size(width, height, max_pixels)
        except ValueError as error:
            raise BrokenVideoError(str(error)) from error
        known = fps if np.isfinite(fps) and fps < 1000 else 0.0
        yield capture, VideoInfo(int(min(frames, 2**31)), known, width, height)
    finally:
        capture.release()


def video_info(path: str, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """What a video says about itself.

    Raises:
        BrokenVideoError: It cannot be opened, or its frames are too large.
    """
    with _opened(path, max_pixels) as (_, info):
        return info


def read_video(
    path: str,
    fps: float | None = None,
    wanted: Callable[[int, int], bool] = lambda frame, sample: True,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[int, float, np.ndarray | None]]:
    """Yield number, seconds from the start and pixels (h, w, 3) uint8 BGR of frames in their order.

    Args:
        path: The video.
        fps: Frames per second of the video's own time; None: every frame.
        wanted: Given the number of a frame and how many were sampled before it, says whether its
            pixels are needed. Frames that are not are passed over, which takes a fraction of the
            time.
        max_pixels: Videos with larger frames are refused.

    Yields:
        None in place of the pixels where they cannot be decoded.

    Raises:
        BrokenVideoError: It cannot be opened; or, after its last frame, it ended too early.
    """
    sampling = Sampling(fps)
    with _opened(path, max_pixels) as (capture, info):
        number = samples = failed = lost = 0
        while failed < _GIVE_UP:
            if capture.grab():
                lost, failed = lost + failed, 0
                offset = _offset(capture, number, info)
                if sampling.takes(offset):
                    if wanted(number, samples):
                        fine, image = capture.retrieve()
                        yield number, offset, image if fine else None
                    samples += 1
            elif number < info.frames:
                failed += 1  # a broken frame, or the end of a file that was cut short
            else:
                break
            number += 1
    _check_end(number - failed, lost, info)


def _check_end(read: int, lost: int, info: VideoInfo) -> None:
    """Raise an error where a video ended too early after ``read`` frames, or some were ``lost``."""
    if read == 0:
        raise BrokenVideoError('holds no frame that can be decoded')
    if read < info.frames * 0.99 - 1:  # some containers count roughly
        raise BrokenVideoError(
            f'breaks off after {read} of {info.frames} frames; what can be decoded is there'
        )
    if lost:
        raise BrokenVideoError(
            f'{lost} of {info.frames} frames cannot be decoded; the others are there'
        )


def read_video_frame(path: str, frame: int, offset: float | None = None) -> np.ndarray:
    """One frame of a video.

    It is looked for directly; where the times show that this leads to another frame, as in some
    files it does, everything before it is decoded.

    Args:
        path: The video.
        frame: Its number.
        offset: Its time in seconds from the start, as :func:`read_video` told it.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        BrokenVideoError: The video cannot be read, or not as far.
    """
    with _opened(path, MAX_PIXELS) as (capture, info):
        capture.set(cv2.CAP_PROP_POS_FRAMES, frame)
        fine, image = capture.read()
        found = _offset(capture, frame, info)
        expected = offset if offset is not None else (frame / info.fps if info.fps else 0.0)
        if fine and abs(found - expected) < 0.5 / (info.fps or 25.0):
            return image
    with _opened(path, MAX_PIXELS) as (capture, info):
        for _ in range(frame + 1):
            if not capture.grab():
                raise BrokenVideoError(f'{path} has no frame {frame}')
        fine, image = capture.retrieve()
    if not fine:
        raise BrokenVideoError(f'{path}: frame {frame} cannot be decoded')
    return image


def _offset(capture: cv2.VideoCapture, number: int, info: VideoInfo) -> float:
    seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    if number and not seconds and info.fps:  # streams without times
        return number / info.fps
    return max(0.0, seconds)
