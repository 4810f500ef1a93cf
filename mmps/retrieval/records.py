"""What goes into a gallery and what comes out of it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from mmps.evaluation.functional.similarities import UNIT
from mmps.sources.provenance import check_time
from mmps.utils.errors import UserError

COLOURS = (
    *('black', 'white', 'grey', 'red', 'orange', 'yellow'),
    *('green', 'blue', 'purple', 'pink', 'brown'),
)
"""The eleven basic colour terms of English (Berlin and Kay, Basic Color Terms, 1969)."""
_WORN = re.compile(f'(,(upper|lower) ({"|".join(COLOURS)}))+,|')
Value = str | int | float | bool
"""What the user may attach to a frame, under a name."""


class GalleryError(UserError):
    """A gallery that cannot do what it was asked for; the message names the cause and the fix."""


class ModelMismatchError(GalleryError):
    """The embeddings of a gallery were made by another model."""


class DamagedGalleryError(GalleryError):
    """What is stored is not what was written; the message names the damaged part."""


class MissingGalleryError(GalleryError):
    """There is none at the address."""

    def __init__(self, address: str) -> None:
        super().__init__(f'{address}: there is no gallery; index something into it first')


class AsWritten(str):
    """A value to look for as somebody wrote it, not knowing whether it is stored as a text.

    In a filter it finds that text, the number that is written so (``'2'``: 2 and 2.0; ``'1e3'``:
    1000) and for ``'true'`` and ``'false'`` the truth value.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> gallery = tiny_gallery()  # whose floors are the numbers 0, 1 and 2
        >>> [gallery.count(Where(metadata=dict(floor=value))) for value in ('2', AsWritten('2'))]
        [0, 4]
    """


@dataclass(frozen=True)
class ModelTag:
    """Which model made embeddings.

    Example:
        >>> from mmps.retrieval import Gallery
        >>> gallery = Gallery.open('memory:', ModelTag('f00d', embed_dim=2, name='tiny'))
        >>> gallery.model.as_dict()
        {'fingerprint': 'f00d', 'embed_dim': 2, 'name': 'tiny'}

    Attributes:
        fingerprint: Hex digest of whatever determines the embeddings; models with the same one may
            search each other's galleries.
        embed_dim: D, the length of an embedding.
        name: For people, e.g. the names of config and checkpoint.
        scene_dim: Length of the embedding of a whole image; 0: it makes none.
    """

    fingerprint: str
    embed_dim: int
    name: str
    scene_dim: int = 0

    def as_dict(self) -> dict[str, str | int]:
        """For files; as it was before there were scenes where there are none."""
        return {key: value for key, value in asdict(self).items() if key != 'scene_dim' or value}


@dataclass(frozen=True)
class IndexedFrame:
    """One image, or one frame of a video, with the people found in it.

    Example:
        >>> from mmps.retrieval import Gallery
        >>> gallery = Gallery.open('memory:', ModelTag('f00d', embed_dim=2, name='tiny'))
        >>> boxes, looks = np.float32([[10, 20, 60, 170]]), np.float32([[1, 0]])
        >>> people = dict(bboxes=boxes, scores=np.float32([0.9]), embeddings=looks)
        >>> gallery.append([IndexedFrame('door.mp4', (640, 480), **people, frame=50, offset=2.0)])
        >>> gallery.known()
        {('door.mp4', 50)}

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
        tracklets: (n,) int64 the tracklet of each person, 0 for none; None: they are joined later,
            see :meth:`mmps.retrieval.Gallery.group`.
        quality: (n,) float32, how good a picture each is of the person, 0..1; None: unknown.
        colours: n texts of :func:`mmps.retrieval.clothing_colours`; None: unknown.
        scene: (S,) float32 embedding of the whole image, where the model of the gallery makes one.
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
    tracklets: np.ndarray | None = None
    quality: np.ndarray | None = None
    colours: Sequence[str] | None = None
    scene: np.ndarray | None = None


@dataclass(frozen=True)
class Where:
    """A filter: what holds for all of the people that pass. None restricts nothing.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> gallery = tiny_gallery()
        >>> len(gallery), gallery.count(Where(cameras=['door'], upper=['red']))
        (12, 2)

    Attributes:
        cameras: Taken by one of these.
        sources: Found in one of these.
        since: Taken at this time or later, seconds since the epoch (UTC).
        until: Taken before this time. Whoever's time is unknown passes neither of the two.
        metadata: Has all of these entries, with values of the same type; a number or truth value
            also finds the text that writes it as JSON does (2: ``'2'``), :class:`AsWritten`
            whatever is written so.
        upper, lower: Wears one of these :data:`~mmps.retrieval.COLOURS` above, or below, the waist,
            as far as the picture tells. Whose colours are unknown does not pass.
    """

    cameras: Collection[str] | None = None
    sources: Collection[str] | None = None
    since: float | None = None
    until: float | None = None
    metadata: Mapping[str, Value] | None = None
    upper: Collection[str] | None = None
    lower: Collection[str] | None = None

    def __post_init__(self) -> None:
        for name in ('cameras', 'sources', 'upper', 'lower'):
            names = getattr(self, name)
            if isinstance(names, str):
                raise TypeError(f'{name} is a collection of names, not one: [{names!r}]')
            for one in names or ():
                if not isinstance(one, str):
                    raise TypeError(f'{name}: {one!r} is no string, so nothing can be called that')
                if name in ('upper', 'lower') and one not in COLOURS:
                    raise ValueError(f'{name}: {one!r} is none of {", ".join(COLOURS)}')
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

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> (hits,) = tiny_gallery().search(np.float32([0, 1]), top_k=3)
        >>> [(hit.source, hit.offset, round(hit.similarity, 3)) for hit in hits]
        [('door.mp4', 0.0, 1.0), ('door.mp4', 1.0, 1.0), ('hall.mp4', 0.0, 0.995)]

    Attributes:
        id: The person's number in the gallery: the same wherever the same frame is indexed.
        similarity: Inner product of the embeddings, -1..1, times the factor of the scene where
            scenes weigh; NaN where nothing was searched for.
        bbox: x1, y1, x2, y2 in original pixels.
        score: Detection score.
        source: As in :class:`IndexedFrame`, and so are the others.
        tracklet: The tracklet that the person belongs to; 0: none.
        upper, lower: Colours worn above and below the waist; empty where they are unknown.
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
    tracklet: int = 0
    upper: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()


@dataclass(frozen=True)
class Appearance:
    """One person in one source, from when to when: a tracklet, as a search found it.

    A tracklet is what was found of one person in consecutive frames of a video or stream, or in
    images of one camera with times. Whoever belongs to none appears in one frame.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> (found,) = tiny_gallery().appearances(np.float32([0, 1]), top_k=2)
        >>> [(one.camera, one.first, one.last, round(one.similarity, 3)) for one in found]
        [('door', 0.0, 1.0, 1.0), ('hall', 60.0, 61.0, 0.995)]

    Attributes:
        id: Of the tracklet: the same wherever the same frames are indexed.
        similarity: That of ``hit``; NaN where nothing was searched for.
        hit: The detection that looks most like the query.
        best: The detection to show: large, sharp, sure, and with nobody in front. Its similarity is
            NaN where it is another one than ``hit``.
        source: Path or address of the image or video; of several images, that of the first.
        camera: Name of the camera, if known.
        first, last: First and last time, seconds since the epoch (UTC), if known.
        start, end: The same as seconds from the start of the video; None for images.
        frames: In how many frames the person was found.
        embedding: (D,) float32 of unit norm, the mean over these.
    """

    id: int
    similarity: float
    hit: Hit
    best: Hit
    source: str
    camera: str | None
    first: float | None
    last: float | None
    start: float | None
    end: float | None
    frames: int
    embedding: np.ndarray = field(repr=False, compare=False)


class FramePlace(NamedTuple):
    """An image, or a frame of a video, that is in a gallery; see :class:`IndexedFrame`.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> sorted(tiny_gallery().frames())[0]
        FramePlace(source='door.mp4', frame=0, offset=0.0, time=0.0)
    """

    source: str
    frame: int
    offset: float | None
    time: float | None


@dataclass(frozen=True)
class GalleryInfo:
    """What a gallery holds.

    Example:
        >>> from mmps.testing.search import tiny_gallery
        >>> info = tiny_gallery().info()
        >>> info.people, info.appearances, info.frames, info.cameras
        (12, 6, 6, ('door', 'hall', 'yard'))

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
        appearances: Number of tracklets; who is in none counts for one.
        coloured: Number of detections whose clothes' colours are known.
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
    appearances: int = 0
    coloured: int = 0


def checked_frame(frame: IndexedFrame, model: ModelTag) -> IndexedFrame:
    """The frame with arrays of the right types, for a gallery of a model.

    Raises:
        ValueError: Something does not fit; the message names the frame and the part of it.
    """
    name = f'{frame.source!r}, frame {frame.frame}'
    if not isinstance(frame.source, str) or not frame.source:
        raise ValueError(f'{name}: source has to be a name')
    _check_text(name, frame.source)
    check_description(name, frame.camera, frame.time, frame.metadata)
    if model.scene_dim and frame.scene is None:
        raise ValueError(
            f'{name}: the gallery keeps an embedding of each scene, and this frame has none; index '
            'it with the network that made the gallery, in PyTorch'
        )
    count = len(frame.scores)
    kinds = {
        'bboxes': (np.float32, (count, 4)),
        'scores': (np.float32, (count,)),
        'embeddings': (np.float32, (count, model.embed_dim)),
        'tracklets': (np.int64, (count,)),
        'quality': (np.float32, (count,)),
        'colours': (object, (count,)),
    }
    if model.scene_dim:
        kinds['scene'] = np.float32, (model.scene_dim,)
    arrays = {'scene': None}
    for part, (dtype, shape) in kinds.items():
        given = getattr(frame, part)
        if given is None or (not count and not np.size(given)):
            given = np.full(shape, '' if dtype is object else 0)
        arrays[part] = array = np.asarray(given, dtype)
        if array.shape != shape:
            raise ValueError(f'{name}: {part} has shape {array.shape}, not {shape}')
        if dtype is np.float32 and not np.isfinite(array).all():
            raise ValueError(f'{name}: {part} is not finite')
    for text in arrays['colours']:
        if not isinstance(text, str) or not _WORN.fullmatch(text):
            raise ValueError(f'{name}: colours: {text!r} is none of clothing_colours()')
    norms = np.linalg.norm(arrays['embeddings'], axis=1)
    if (np.abs(norms - 1) > UNIT).any():
        worst = norms[np.abs(norms - 1).argmax()]
        raise ValueError(f'{name}: embeddings must have unit norm, one has {worst:.4g}')
    _check_number(name, 'offset', frame.offset)
    return replace(frame, **arrays)


def check_description(
    name: str,
    camera: str | None = None,
    time: float | None = None,
    metadata: Mapping[str, Value | None] = MappingProxyType({}),
) -> None:
    """Raise ValueError where one of them does not fit; ``name`` tells whose they are."""
    if camera is not None:
        _check_text(name, camera)
    _check_number(name, 'time', time)
    if time is not None:
        try:
            check_time(time)
        except ValueError as error:
            raise ValueError(f'{name}: time: {error}') from error
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
            raise ValueError(
                f'{name}: metadata {key!r}: {value!r} is not a name with a string, number or truth '
                'value'
            )
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f'{name}: metadata {key!r} is not finite')


def _check_number(name: str, part: str, value: float | None) -> None:
    """Raise ValueError if a number is not finite."""
    if value is not None and not np.isfinite(value):
        raise ValueError(f'{name}: {part} is not finite; None stands for unknown')


def _check_text(name: str, text: str) -> None:
    """Raise ValueError if a text is not Unicode, as a file's name may be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f'{name}: {text!r} is not Unicode; rename it') from None
