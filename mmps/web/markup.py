"""HTML of the page's own parts: what the templates beside this file need of Python."""

import base64
import mimetypes
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmps.retrieval import Appearance, GalleryInfo, Hit
from mmps.sources import format_offset, format_time
from mmps.visualization.draw import (
    CELL_HEIGHT,
    CELL_WIDTH,
    crop_in_context,
    place_in_context,
    place_labels,
)
from mmps.web.scenes import hit_name, source_name, to_jpeg
from mmps.web.session import Exemplar, Picture

_CELL = CELL_WIDTH, CELL_HEIGHT

_THIN = '\u202f'
"""A narrow space, between thousands."""

_NARROWEST = 320
"""Pixels of a picture's width for which the numbers are placed; in a wider one they take less."""

_NUMBER_PADDING, _NUMBER_DIGIT, _NUMBER_HEIGHT = 12, 8, 19
"""Pixels that a number takes on the page."""


def _data(content: bytes, name: str) -> str:
    """Content as an address, so that no file has to be served; the kind is that of the name."""
    kind = mimetypes.guess_type(f'x{name}')[0]
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def count(number: int, one: str, many: str = '') -> str:
    """A number of things, by default with an s, with thousands set apart."""
    return f'{number:,} {one if number == 1 else many or f"{one}s"}'.replace(',', _THIN)


def _holds(info: GalleryInfo) -> str:
    """What a gallery holds, in a line."""
    images = info.frames - info.video_frames
    places = [
        count(images, 'image') if images or not info.video_frames else '',
        count(info.video_frames, 'video frame') if info.video_frames else '',
    ]
    times = 'no times known'
    if info.timed:
        first, last = info.first or 0.0, info.last or 0.0
        digits = 16 if last - first >= 3600 else 19
        times = span(format_time(first)[:digits], format_time(last)[:digits])
        if info.timed != info.people:
            times = f'{count(info.timed, "sighting")} with a time, {times}'
    parts = [
        f'{count(info.people, "sighting")} in {" and ".join(filter(None, places))}',
        count(len(info.cameras), 'camera') if info.cameras else '',
        times,
        'scenes do not weigh here' if info.model.scene_dim else '',
    ]
    return '\N{NO-BREAK SPACE}· '.join(filter(None, parts))


def span(begin: str, end: str) -> str:
    """From one time to another; of the calendar, the day once."""
    if begin == end:
        return begin
    return f'{begin} to\N{NO-BREAK SPACE}{end[11:] if end[:11] == begin[:11] else end}'


def moment_of(one: Appearance) -> str:
    """When somebody appears, for people: from when to when; empty where nobody knows."""
    if one.first is None or one.last is None:
        return ''
    return span(*(format_time(each, offset=False) for each in (one.first, one.last)))


def _facts(hit: Hit, appearance: Appearance | None = None) -> list[str]:
    moment = '' if appearance is None else moment_of(appearance)
    if not moment and hit.time is not None:
        moment = format_time(hit.time, offset=False)
    camera = '' if hit.camera is None else f'cam {hit.camera}'
    return [fact for fact in (camera, moment) if fact]


def _box(bbox: Sequence[float], size: tuple[int, int]) -> str:
    """CSS of a box xyxy, as shares of the image's width and height."""
    x1, y1, x2, y2 = 100 * np.array(bbox, np.float64) / np.tile(size, 2)
    return f'left:{x1:.2f}%;top:{y1:.2f}%;width:{x2 - x1:.2f}%;height:{y2 - y1:.2f}%'


def _around(bbox: Sequence[float], size: tuple[int, int]) -> str:
    """CSS of what is around a box xyxy, by which only the box is printed."""
    x1, y1, x2, y2 = np.array(bbox, np.float64) / np.tile(size, 2)
    return f'--alone:{" ".join(f"{max(0.0, edge):.2%}" for edge in (y1, 1 - x2, 1 - y2, x1))}'


def _alone(hit: Hit, whole_scene: bool) -> str:
    """The same of a hit in its scene or cut out."""
    if whole_scene:
        return _around(hit.bbox, hit.size)
    return _around(place_in_context(hit.size, hit.bbox, *_CELL)[2], _CELL)


def _cut(exemplar: Exemplar) -> tuple[bytes, str]:
    """The picture of an exemplar that can be shown, and what is around the person in it."""
    crop, box = crop_in_context(exemplar.cut, exemplar.bbox, *_CELL)
    return to_jpeg(crop, CELL_HEIGHT), _around(box, _CELL)


def _area(bbox: Sequence[float]) -> float:
    return float((bbox[2] - bbox[0]) * (bbox[3] - bbox[1]))


def _large_first(people: Sequence[Hit]) -> list[Hit]:
    return sorted(people, key=lambda one: -_area(one.bbox))


def _numbered(picture: Picture) -> Iterator[tuple[int, np.ndarray, float, str, int]]:
    """People of a picture: number, box, score, place of the number, height above others."""
    people = picture.people
    scale = _NARROWEST / picture.size[0]
    sizes = [
        (_NUMBER_PADDING + _NUMBER_DIGIT * len(str(number)), _NUMBER_HEIGHT)
        for number in range(1, len(people) + 1)
    ]
    labels = place_labels(people.bboxes * scale, sizes, (_NARROWEST, picture.size[1] * scale))
    places = [label.place for label in labels]
    # of overlapping people the smaller ones can be clicked, too
    heights = np.argsort(np.argsort([-_area(bbox) for bbox in people.bboxes], kind='stable'))
    yield from zip(range(len(people)), people.bboxes, people.scores, places, heights, strict=True)


environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
environment.globals |= dict(CELL=_CELL, SHOWN=30)
environment.filters |= dict(
    alone=_alone,
    box=_box,
    count=count,
    cut=_cut,
    data=_data,
    facts=_facts,
    holds=_holds,
    large_first=_large_first,
    moment=moment_of,
    name=hit_name,
    numbered=_numbered,
    offset=format_offset,
    source=source_name,
    time=format_time,
)
parts = environment.get_template('page.html').module
"""The parts of the page, functions (macros) that return HTML."""
