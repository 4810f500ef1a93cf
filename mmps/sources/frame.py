"""What sources give: frames, and what was wrong with those they could not give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

MAX_PIXELS = 89_478_485
"""Default limit of the size of an image: a quarter of a GiB, from where on Pillow, too, suspects a
decompression bomb."""

_THINNEST = 100
"""No scene is so many times as long as it is wide; resized, nothing would be left of its width."""


def check_size(width: int, height: int, max_pixels: int = MAX_PIXELS) -> None:
    """Raise `ValueError` for what is too large or too thin to be a scene."""
    if width * height > max_pixels:
        raise ValueError(f'{width} x {height} pixels, more than the limit of {max_pixels}')
    if max(width, height) > _THINNEST * min(width, height):
        raise ValueError(f'{width} x {height} pixels are too thin for a scene')


@dataclass(frozen=True, eq=False)
class Frame:
    """One image, or one frame of a video.

    Attributes:
        image: (h, w, 3) uint8 BGR.
        source: Absolute path of the file.
        frame: Number of the frame in a video, from 0; 0 for an image.
        offset: Seconds from the start of the video; None for an image.
        time: Seconds since the epoch (UTC) when it was taken, if known.
        camera: Name of the camera, if known.
        metadata: Whatever else the file's name tells, or the user.
    """

    image: np.ndarray
    source: str
    frame: int = 0
    offset: float | None = None
    time: float | None = None
    camera: str | None = None
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Why a file, or a part of it, gave no frames.

    Attributes:
        source: The path.
        message: What is wrong with it.
        frame: Number of the frame that it is about; None: the whole file or folder.
    """

    source: str
    message: str
    frame: int | None = None

    def __str__(self) -> str:
        place = '' if self.frame is None else f', frame {self.frame}'
        return f'{printable(self.source)}{place}: {self.message}'


OnProblem = Callable[[Problem], None]


def printable(path: str) -> str:
    """A path on one line, whatever characters its name has."""
    return path if path.isprintable() else repr(path)
