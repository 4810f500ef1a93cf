"""Label Studio's own JSON export, which keeps what its COCO export drops: values per region."""

from __future__ import annotations

import base64
import binascii
import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, unquote_plus

from msgspec import UNSET, Meta, Struct, UnsetType

from mmps.formats.coco import PERSON
from mmps.formats.json_file import Text, convert_json, read_json
from mmps.utils.errors import did_you_mean
from mmps.utils.image_folder import ImageFolder

from .annotated_images import (
    ROTATED,
    AnnotatedBox,
    AnnotatedImage,
    Annotations,
    Box,
    Tally,
    measure_images,
    turned_box,
)

NOT_ANNOTATED = 'tasks without a finished annotation, left out'
SEVERAL = 'tasks annotated several times, ground truth or else the last one taken'
OUTLINES = 'polygons and ellipses, the upright box around them taken'
OTHER_LABELS = 'regions with another label than "person", left out'
OTHER_SIZES = (
    'regions whose export states another image size than the file has, that of the file taken'
)
OTHER_REGIONS = 'regions of type {}, which are no boxes, left out'

Size = tuple[int, int]
_Percent = Annotated[float, Meta(ge=-1000, le=1000)]
"""Of a side of the image; regions may reach beyond it."""


class _Rectangle(Struct):
    x: _Percent
    y: _Percent
    width: _Percent
    height: _Percent
    rotation: float | None = None

    def around(self, size: Size) -> Box:
        """It is turned clockwise around its upper left corner, in pixels."""
        x, width = (share / 100 * size[0] for share in (self.x, self.width))
        y, height = (share / 100 * size[1] for share in (self.y, self.height))
        return turned_box((x, y, x + width, y + height), self.turned, (x, y))

    @property
    def turned(self) -> float:
        return (self.rotation or 0.0) % 360


class _Ellipse(Struct):
    x: _Percent
    y: _Percent
    radiusX: _Percent
    radiusY: _Percent
    rotation: float | None = None

    def around(self, size: Size) -> Box:
        """It has a centre, and is turned clockwise around it, in pixels."""
        x, across = (share / 100 * size[0] for share in (self.x, self.radiusX))
        y, down = (share / 100 * size[1] for share in (self.y, self.radiusY))
        angle = math.radians(self.rotation or 0.0)
        cos, sin = math.cos(angle), math.sin(angle)
        half_width = math.hypot(across * cos, down * sin)
        half_height = math.hypot(across * sin, down * cos)
        return x - half_width, y - half_height, x + half_width, y + half_height


class _Polygon(Struct):
    points: Annotated[list[tuple[_Percent, _Percent]], Meta(min_length=1)]

    def around(self, size: Size) -> Box:
        xs = [x / 100 * size[0] for x, _ in self.points]
        ys = [y / 100 * size[1] for _, y in self.points]
        return min(xs), min(ys), max(xs), max(ys)


_SHAPES = {'rectangle': _Rectangle, 'ellipse': _Ellipse, 'polygon': _Polygon}
_LABELS = 'labels'
_SAYS_MORE = frozenset(
    ('', 'choices', 'datetime', _LABELS, 'number', 'pairwise', 'ranker', 'rating', 'relation')
    + ('taxonomy', 'textarea')
)
"""Types of results that are no regions, but say something about one or about the whole image."""


class _Result(Struct):
    id: str = ''
    type: str = ''
    from_name: str = ''
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: float | None = None
    value: dict[str, Any] = {}
    source: str = ''

    def __post_init__(self) -> None:
        self.type = self.type.lower()

    @property
    def content(self) -> list[Any]:
        """What it says: the values of its labels, choices, texts or numbers."""
        content = self.value.get('text' if self.type == 'textarea' else self.type)
        if content is None and self.type.endswith(_LABELS):
            content = self.value.get(_LABELS)
        return content if isinstance(content, list) else [content]


class _Annotation(Struct):
    result: list[_Result]
    was_cancelled: bool | None = None
    ground_truth: bool | None = None


class _Task(Struct):
    data: dict[str, Any] = {}
    annotations: list[_Annotation] | UnsetType = UNSET


def read_label_studio(
    path: Path, annotations: Annotations, person_from: str, *, image_key: str = 'image'
) -> None:
    """Read an export of the kind "JSON".

    Rectangles, ellipses and polygons, with labels of their own or without, become boxes; other
    results with their ``id`` say more about them. Regions of other types are counted. Coordinates
    are per cent of the image, and become pixels of the file, whatever size is stated.

    Where labels are not the people, those called "person", in any case, are people, or the only
    one there is. The file of an image is the longest end of its path or address that is in the
    folder of images; see :class:`TaskImages`.

    Args:
        path: The file.
        annotations: Filled with the images of its tasks.
        person_from: ``name`` of the control that says who it is: the labels themselves, or choices,
            a text area or a number per region.
        image_key: Key of the image in a task's ``data``.
    """
    tasks = read_json(path, list[_Task] | dict[str, Any])
    if isinstance(tasks, dict):
        raise ValueError(f'{path}: an object is not a list of tasks; export as "JSON"')
    files = TaskImages(annotations.folder)
    images: list[tuple[AnnotatedImage, list[_Result]]] = []
    for number, task in enumerate(tasks):
        where = f'{path}: [{number}]'
        results = _results(task, where, annotations.tally)
        if results is not None:
            address = convert_json(
                task.data.get(image_key), Text, path, f'[{number}].data.{image_key}'
            )
            name = files.find(address)
            if name is None:
                raise FileNotFoundError(
                    f'{where}.data.{image_key}: no image of {address!r} in '
                    f'{annotations.folder.root}; {annotations.folder.explain(address)}'
                )
            camera = annotations.camera_of(name)
            images.append((annotations.add_image(name, where, camera), results))
    is_person = _person_labels(path, [r for _, results in images for r in results], person_from)
    sizes = measure_images(annotations.folder, list(annotations.images))
    for (image, results), size in zip(images, sizes, strict=True):
        image.size = size
        people = _people(results, person_from, annotations)
        labels = _labels(results, person_from)
        for result in results:
            shape = _SHAPES.get(result.type.removesuffix(_LABELS))
            if result.type in _SAYS_MORE:
                continue
            here = labels.get(result.id, ())
            if shape is None:
                annotations.tally.add(OTHER_REGIONS.format(result.type), result.source)
            elif here and not any(is_person[label] for label in here):
                annotations.tally.add(OTHER_LABELS, result.source)
            else:
                bbox = _box(path, result, shape, size, annotations.tally)
                person = people.get(result.id)
                image.boxes.append(AnnotatedBox(bbox, person, result.source))


def _results(task: _Task, where: str, tally: Tally) -> list[_Result] | None:
    """What the annotation of a task that counts says; None if there is none."""
    if task.annotations is UNSET:
        raise ValueError(
            f'{where}.annotations: missing; export as "JSON", not as "JSON-MIN", from Label Studio '
            '1.0 or newer'
        )
    done = [n for n, entry in enumerate(task.annotations) if not entry.was_cancelled]
    if not done:
        tally.add(NOT_ANNOTATED, where)
        return None
    if len(done) > 1:
        tally.add(SEVERAL, where)
    chosen = next((n for n in done if task.annotations[n].ground_truth), done[-1])
    results = task.annotations[chosen].result
    for number, result in enumerate(results):
        result.source = f'{where}.annotations[{chosen}].result[{number}]'
    return results


def _people(
    results: Sequence[_Result], person_from: str, annotations: Annotations
) -> dict[str, str | None]:
    """The person of each region, by the region's id."""
    people: dict[str, str | None] = {}
    for result in results:
        if result.from_name == person_from:
            values = result.content
            if len(values) > 1 or result.id in people:
                raise ValueError(
                    f'{result.source}: {values!r:.60} names several people for one box'
                )
            value = values[0] if values else None
            people[result.id] = annotations.person_of(value, result.source)
    return people


def _labels(results: Sequence[_Result], person_from: str) -> dict[str, set[str]]:
    """The labels of each region, by its id, but for those that are people."""
    labels: dict[str, set[str]] = {}
    for result in results:
        if result.type.endswith(_LABELS) and result.from_name != person_from:
            texts = {text for text in result.content if isinstance(text, str)}
            labels.setdefault(result.id, set()).update(texts)
    return labels


def _person_labels(path: Path, results: Sequence[_Result], person_from: str) -> Mapping[str, bool]:
    """Label -> whether it is that of people."""
    controls = {result.from_name for result in results} - {''}
    if person_from not in controls:
        raise ValueError(
            f'{path}: no control is called {person_from!r}; there are '
            f'{", ".join(sorted(controls)) or "none"}{did_you_mean(person_from, controls)}'
        )
    labels = set[str]().union(*_labels(results, person_from).values())
    people = {label: label.strip().lower() == PERSON for label in labels}
    named_by_label = any(r.from_name == person_from and r.type.endswith(_LABELS) for r in results)
    if named_by_label or any(people.values()):
        return people
    if len(people) > 1:
        raise ValueError(
            f'{path}: none of the labels {", ".join(sorted(people))} is called "person"; rename '
            'the label of the people'
        )
    return dict.fromkeys(people, True)


def _box(
    path: Path,
    result: _Result,
    kind: type[_Rectangle | _Ellipse | _Polygon],
    size: Size,
    tally: Tally,
) -> Box:
    """The box in pixels of a person's region."""
    if not result.id:
        raise ValueError(f'{result.source}.id: missing')
    if result.image_rotation:
        raise ValueError(
            f'{result.source}.image_rotation: the image was turned while it was annotated; turn '
            'the file instead and annotate it again'
        )
    stated = result.original_width, result.original_height
    if None not in stated and stated != size:
        tally.add(OTHER_SIZES, result.source)
    place = result.source.removeprefix(f'{path}: ')
    region = convert_json(result.value, kind, path, f'{place}.value')
    if not isinstance(region, _Rectangle):
        tally.add(OUTLINES, result.source)
    elif region.turned:
        tally.add(ROTATED, result.source)
    return region.around(size)


_UPLOAD = re.compile(r'(^|(?<=[/\\]))[0-9a-f]{8}-(?=[^/\\]*$)')
_WEB = re.compile(r'https?://', re.IGNORECASE)


class TaskImages:
    """The files that the addresses in tasks mean.

    Label Studio writes ``/data/upload/1/0123abcd-NAME`` (without escapes, and without the
    characters of a name that Django leaves out) and ``/data/local-files/?d=PATH`` (escaped), and
    passes on what it was given: addresses of the web (escaped, with queries of their servers), of
    cloud storage (not escaped), and paths, also of Windows. Whoever writes task files by hand
    escapes or not. So an address is read in each way, and the longest end of a path that is a file
    counts; of several equally long ones that of the likelier way. The eight digits that an upload
    puts before a name may be missing in the folder.
    """

    def __init__(self, folder: ImageFolder) -> None:
        self._folder = folder

    def find(self, address: str) -> str | None:
        """The file that an address means, or None."""
        best: str | None = None
        for path in _readings(address):
            for candidate in dict.fromkeys((path, _UPLOAD.sub('', path))):
                name = self._folder.find_end(candidate)
                if name is not None and (best is None or name.count('/') > best.count('/')):
                    best = name
        # Or the one file whose name would be this one after an upload.
        name = re.split(r'[/\\]', address)[-1]
        if best is None and _UPLOAD.match(name):
            files = self._uploaded.get(_UPLOAD.sub('', name), [])
            return files[0] if len(files) == 1 else None
        return best

    @functools.cached_property
    def _uploaded(self) -> dict[str, list[str]]:
        """The files by what Django's get_valid_filename makes of their names."""
        uploaded: dict[str, list[str]] = {}
        for file in self._folder.files():
            kept = re.sub(r'[^-\w.]', '', file.rpartition('/')[2].strip().replace(' ', '_'))
            uploaded.setdefault(kept, []).append(file)
        return uploaded


def _readings(address: str) -> Iterator[str]:
    """What an address may mean, the likeliest first."""
    path, mark, query = address.partition('?')
    values = re.split(r'(?:^|&)([^=&]*)=', query)[1:] if mark else []
    named = dict(zip(values[::2], values[1::2], strict=True))
    texts: list[str] = []
    if 'd' in named and path.rstrip('/').endswith('local-files'):
        # A name may hold "&" and "#" itself, if whoever wrote the address escaped nothing.
        rest = re.split(r'(?:^|&)d=', query, maxsplit=1)[1]
        texts = [rest, named['d'], named['d'].partition('#')[0]]
    elif _WEB.match(address):
        texts = [path.partition('#')[0], path]
    for text in texts:
        yield from _decoded(text)
    # Nothing is escaped in an upload, a path or the address of a file in cloud storage.
    yield from (address, path)
    for text in (path, path.partition('#')[0], address, *named.values()):
        yield from _decoded(text)
    if 'fileuri' in named:
        try:
            yield base64.urlsafe_b64decode(unquote(named['fileuri']) + '==').decode()
        except (binascii.Error, ValueError):
            return


def _decoded(text: str) -> Iterator[str]:
    """A text without its escapes, as it stands, and without those that were escaped twice."""
    yield from (unquote(text), text, unquote_plus(text), unquote(unquote(text)))
