"""What goes into a gallery and what comes out of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from numbers import Real

import numpy as np

Value = str | int | float | bool
"""What the user may attach to a frame, under a name."""


class AsWritten(str):
    """A value to look for as somebody wrote it, not knowing whether it is stored as a text.

    In a filter it finds that text, the number that is written so (``'2'``: 2 and 2.0; ``'1e3'``:
    1000) and for ``'true'`` and ``'false'`` the truth value.
    """


@dataclass(frozen=True)
class ModelTag:
    """Which model made embeddings.

    Attributes:
        fingerprint: Hex digest of whatever determines the embeddings; models with the same one may
            search each other's galleries.
        embed_dim: D, the length of an embedding.
        name: For people, e.g. the names of config and checkpoint.
    """

    fingerprint: str
    embed_dim: int
    name: str


@dataclass(frozen=True)
class IndexedFrame:
    """One image, or one frame of a video, with the people found in it.

    Attributes:
        source: Path or address of the image or video.
        size: Width and height in pixels.
        bboxes: (n, 4) float32 xyxy in original pixels; n may be 0.
        scores: (n,) float32 detection scores.
        embeddings: (n, D) float32 of unit norm.
        frame: Number of the frame in a video, 0 for an image.
        offset: Seconds from the start of the video; None for an image.
        time: Seconds since the epoch (UTC) when it was taken, if known.
        camera: Name of the camera, if known.
        metadata: Whatever else is known.
    """

    source: str
    size: tuple[int, int]
    bboxes: np.ndarray
    scores: np.ndarray
    embeddings: np.ndarray
    frame: int = 0
    offset: float | None = None
    time: float | None = None
    camera: str | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Where:
    """A filter: what holds for all of the people that pass. None restricts nothing.

    Attributes:
        cameras: Taken by one of these.
        sources: Found in one of these.
        since: Taken at this time or later, seconds since the epoch (UTC).
        until: Taken before this time. Whoever's time is unknown passes neither of the two.
        metadata: Has all of these entries, with values of the same type; a number or truth value
            also finds the text that writes it as JSON does (2: ``'2'``), :class:`AsWritten`
            whatever is written so.
    """

    cameras: Collection[str] | None = None
    sources: Collection[str] | None = None
    since: float | None = None
    until: float | None = None
    metadata: Mapping[str, Value] | None = None

    def __post_init__(self) -> None:
        for name in ('cameras', 'sources'):
            names = getattr(self, name)
            if isinstance(names, str):
                raise TypeError(f'{name} is a collection of names, not one: [{names!r}]')
            for one in names or ():
                if not isinstance(one, str):
                    raise TypeError(f'{name}: {one!r} is no string, so nothing can be called that')
        for name in ('since', 'until'):
            moment = getattr(self, name)
            if not isinstance(moment, Real | None):
                raise TypeError(
                    f'{name}={moment!r}: seconds since 1970-01-01 UTC are needed, as '
                    "mmps.sources.parse_time('2026-03-01T14:30') or datetime.timestamp() give them"
                )


@dataclass(frozen=True)
class Hit:
    """One person in a gallery, as a search found them.

    Attributes:
        id: The person's number in the gallery: the same wherever the same frame is indexed.
        similarity: Inner product of the embeddings, -1..1; NaN where nothing was searched for.
        bbox: x1, y1, x2, y2 in original pixels.
        score: Detection score.
        source: As in :class:`IndexedFrame`, and so are the others.
    """

    id: int
    similarity: float
    bbox: tuple[float, float, float, float]
    score: float
    source: str
    frame: int
    offset: float | None
    time: float | None
    camera: str | None
    size: tuple[int, int]
    metadata: dict[str, Value]


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery holds.

    Attributes:
        address: Where it is.
        model: Which model made it.
        people: Number of detections.
        timed: Number of detections whose time is known.
        frames: Number of images and frames of videos, those without people included.
        video_frames: How many of these are of videos.
        sources: Number of images and videos.
        cameras: Names of the cameras, sorted.
        first, last: Earliest and latest time, seconds since the epoch; None if no time is known.
        bytes: Size on disk or in memory; None where the engine does not tell.
    """

    address: str
    model: ModelTag
    people: int
    timed: int
    frames: int
    video_frames: int
    sources: int
    cameras: tuple[str, ...]
    first: float | None
    last: float | None
    bytes: int | None
