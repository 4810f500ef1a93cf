"""Pictures of a gallery's people and scenes, by id: no path comes from a browser."""

import re
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import cv2
import numpy as np

from mmps.apis.results import scene_of
from mmps.retrieval import FramePlace, Gallery, Hit
from mmps.retrieval.rows import frame_id
from mmps.sources import (
    format_offset,
    format_time,
    parse_time,
    printable,
    read_frame,
    read_frame_at,
)
from mmps.visualization.draw import ACCENT, CELL_HEIGHT, CELL_WIDTH, crop_in_context, outline
from mmps.web.kept import Kept

LONGEST_SIDE = 1600
"""Pixels of a picture that is shown."""

_SURROUNDINGS = 0.6
"""Shares of a box's width and height that a cut keeps on each side."""

_LARGEST_CUT = 400
"""Pixels of a cut's longer side."""


def cut_out(image: np.ndarray, bbox: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A person (4,) xyxy with their surroundings, small enough to be kept, and the box in it."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in bbox)
    dx, dy = _SURROUNDINGS * (x2 - x1), _SURROUNDINGS * (y2 - y1)
    # OIM's boxes may be lines of one pixel.
    left, top = int(np.clip(x1 - dx, 0, width - 1)), int(np.clip(y1 - dy, 0, height - 1))
    right, bottom = (
        max(begin + 1, int(min(side, np.ceil(end))))
        for begin, side, end in ((left, width, x2 + dx), (top, height, y2 + dy))
    )
    cut, bbox = image[top:bottom, left:right], np.array([x1 - left, y1 - top, x2 - left, y2 - top])
    small = fitting(cut, _LARGEST_CUT)
    scale = np.array([small.shape[1] / cut.shape[1], small.shape[0] / cut.shape[0]] * 2)
    return small.copy(), (bbox * scale).astype(np.float32)


def to_jpeg(image: np.ndarray, longest_side: int) -> bytes:
    """A JPEG file of an image (h, w, 3) BGR, reduced to fit."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 88]
    return cv2.imencode('.jpg', fitting(image, longest_side), options)[1].tobytes()


def fitting(image: np.ndarray, longest_side: int) -> np.ndarray:
    """An image (h, w, 3), reduced where its longer side has more pixels."""
    scale = longest_side / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


_DECODERS = 4
_CACHE_BYTES = 64 * 2**20
_LISTING_SECONDS = 60
_THUMBNAIL = 480
_OFFSET = re.compile(r'(\d+:){0,2}\d{1,5}(\.\d+)?')


class GoneError(Exception):
    """What a gallery knows is not there any more, or something else is in its place."""


class Scenes:
    """Pictures of what is in a gallery, as JPEG files.

    Only its own sources are opened, by the id of a person or frame in it.
    """

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._decoders = threading.BoundedSemaphore(_DECODERS)
        self._cache: Kept[bytes] = Kept(_CACHE_BYTES, size=len)
        self._listing: tuple[float, dict[int, FramePlace]] = (-float('inf'), {})

    def crop(self, hit_id: int) -> bytes:
        """A person, cut out and outlined.

        Raises:
            KeyError: Nobody has this id.
            GoneError: The file is not there any more.
        """

        def draw(scene: np.ndarray, hit: Hit) -> bytes:
            size = (2 * CELL_WIDTH, 2 * CELL_HEIGHT)
            picture, box = crop_in_context(scene, np.array(hit.bbox), *size)
            outline(picture, box, ACCENT, 3)
            return to_jpeg(picture, LONGEST_SIDE)

        return self._drawn('crop', hit_id, draw)

    def thumbnail(self, hit_id: int) -> bytes:
        """The scene of a person, small, with the person outlined. Raises as :meth:`crop`."""

        def draw(scene: np.ndarray, hit: Hit) -> bytes:
            scale = min(1.0, _THUMBNAIL / scene.shape[1])
            size = round(scale * scene.shape[1]), max(1, round(scale * scene.shape[0]))
            small = cv2.resize(scene, size, interpolation=cv2.INTER_AREA)  # a copy in any case
            outline(small, np.array(hit.bbox) * scale, ACCENT, 3)
            return to_jpeg(small, LONGEST_SIDE)

        return self._drawn('thumbnail', hit_id, draw)

    def scene(self, hit_id: int, shift: float = 0.0) -> bytes:
        """The scene of a person, or what a video shows some seconds earlier or later.

        Only videos have other frames than the person's, some seconds of ``shift`` away.

        Raises:
            KeyError: Nobody has this id.
            GoneError: The file is not there any more, or the video has no such time.
        """
        if shift == 0:
            return self._drawn('scene', hit_id, lambda scene, hit: to_jpeg(scene, LONGEST_SIDE))
        (hit,) = self._gallery.hits_of([hit_id])
        if hit.offset is None:
            raise GoneError(f'{hit_name(hit)} is not in a video')
        with self._decoders:
            try:
                return to_jpeg(read_frame_at(hit.source, hit.offset + shift), LONGEST_SIDE)
            except (OSError, ValueError) as error:
                raise GoneError(str(error)) from error

    def source(self, hit_id: int) -> Path:
        """The file that a person is in. Raises as :meth:`crop`."""
        (hit,) = self._gallery.hits_of([hit_id])
        path = Path(hit.source)
        if not path.is_file():
            raise GoneError(f'{hit_name(hit)} is not there any more')
        return path

    def pixels(self, hit: Hit, blur_others: bool = False) -> np.ndarray | None:
        """See :func:`scene_of`."""
        with self._decoders:
            return scene_of(hit, self._gallery, blur_others)

    def frames(self, name: str, start: int, count: int) -> tuple[list[tuple[int, str, str]], int]:
        """Some of the gallery's images and frames of videos, in the order of their names.

        Paths contain ``name``, in upper or lower case; ``start`` of them are passed over.

        Returns:
            Id, name and time of each, and how many there are altogether.
        """
        found = self._named(name)
        page = found[start : start + count]
        return [(key, source_name(p.source), _when(p)) for key, p in page], len(found)

    def first_at(self, name: str, moment: str) -> int:
        """How many of the frames with such a name to pass over to come to a time.

        Args:
            name: As for :meth:`frames`.
            moment: A time in a video, ``0:01:30``, ``1:30`` or ``90``; or one of the calendar;
                empty: the beginning.

        Raises:
            ValueError: It is no time, or none of them is as late.
        """
        if not moment.strip():
            return 0
        moment = moment.strip()
        found = _OFFSET.fullmatch(moment)
        if found:
            parts = reversed(moment.split(':'))
            wanted = sum(float(part) * 60**power for power, part in enumerate(parts))
        else:
            wanted = parse_time(moment)
        for number, (_, place) in enumerate(self._named(name)):
            value = place.offset if found else place.time
            if value is not None and value >= wanted - 1e-3:
                return number
        raise ValueError(f'no scene with such a name is as late as {moment}')

    def _named(self, name: str) -> list[tuple[int, FramePlace]]:
        wanted = name.casefold()
        return [
            (key, place)
            for key, place in self._frames().items()
            if wanted in Path(place.source).name.casefold()
        ]

    def frame(self, key: int) -> tuple[np.ndarray, list[Hit], str]:
        """A scene (h, w, 3) uint8 BGR by the id of its frame, the people in it, and its name.

        Raises:
            KeyError: There is no such frame.
            GoneError: The file is not there any more, or another one is.
        """
        place = self._frames()[key]
        name = _place_name(place.source, place.offset)
        hits = self._gallery.people_in(place.source, place.frame)
        with self._decoders:
            try:
                scene = read_frame(place.source, place.frame, place.offset)
            except (OSError, ValueError) as error:
                raise GoneError(f'{name}: {error}') from error
        if hits and scene.shape[1::-1] != tuple(hits[0].size):
            raise GoneError(f'{name} has been replaced by another picture')
        return scene, hits, name

    def frame_thumbnail(self, key: int) -> bytes:
        """A scene by the id of its frame, small. Raises as :meth:`frame`."""
        place = self._frames()[key]
        if (place.source, place.frame) not in self._gallery.known(place.source):
            raise KeyError(key)
        return self._made(('frame', key), lambda: to_jpeg(self.frame(key)[0], _THUMBNAIL // 2))

    def _frames(self) -> dict[int, FramePlace]:
        read, frames = self._listing
        if time.monotonic() - read > _LISTING_SECONDS:
            places = sorted(self._gallery.frames(), key=lambda place: place[:2])
            frames = {frame_id(place.source, place.frame): place for place in places}
            self._listing = (time.monotonic(), frames)
        return frames

    def _drawn(self, kind: str, hit_id: int, draw: Callable[[np.ndarray, Hit], bytes]) -> bytes:
        (hit,) = self._gallery.hits_of([hit_id])  # whoever was deleted is not shown any more

        def make() -> bytes:
            scene = self.pixels(hit)
            if scene is None:
                raise GoneError(f'{hit_name(hit)} is not there any more')
            return draw(scene, hit)

        return self._made((kind, hit_id), make)

    def _made(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """A file from memory, or made and kept there."""
        content = self._cache.get(key)
        if content is None:
            content = make()
            self._cache.keep(content, key)
        return content


def hit_name(hit: Hit) -> str:
    """What to call the picture that a hit is in."""
    return _place_name(hit.source, hit.offset)


def source_name(source: str) -> str:
    """What to call an image or video."""
    return printable(Path(source).name)


def _place_name(source: str, offset: float | None) -> str:
    name = source_name(source)
    return name if offset is None else f'{name} {format_offset(offset)}'


def _when(place: FramePlace) -> str:
    parts = [
        '' if place.offset is None else format_offset(place.offset),
        '' if place.time is None else format_time(place.time, offset=False),
    ]
    return '\n'.join(filter(None, parts))
