"""Label Studio's own JSON export, which keeps what its COCO export drops: values per region."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from mmps.formats.json_file import JsonObject, read_json, shown

from .tagged_images import TaggedBox, TaggedImage, camera_of_path, find_image, person_of_value
from .tally import Tally

NOT_ANNOTATED = 'tasks without a finished annotation, left out'
SEVERAL = 'tasks annotated several times, ground truth or else the last one taken'
ROTATED = 'rotated boxes, the upright box around them taken'

MOST_PERCENT = 1000
_TASK = '{"data": {"image": "..."}, "annotations": [...]}'
_ANNOTATION = '{"result": [...]}'
_RESULT = '{"id": "...", "type": "rectanglelabels", "from_name": "...", "value": {...}}'
_BOXES = ('rectanglelabels', 'rectangle')
_UPLOAD = re.compile(r'^[0-9a-f]{8}-')


def read_label_studio(
    path: Path,
    image_root: Path,
    person_from: str,
    *,
    tally: Tally,
    image_key: str = 'image',
    unlabelled: Collection[str] = ('', '-1', '-2'),
    camera_pattern: str | None = None,
) -> list[TaggedImage]:
    """Read an export of the kind "JSON".

    Of each task: ``data[image_key]`` and ``annotations[]`` with ``.result[]``, ``.was_cancelled``
    and ``.ground_truth``. Of each result: ``id``, ``type``, ``from_name``, ``original_width``,
    ``original_height``, ``image_rotation`` and ``value``. A box is a result of type
    ``rectanglelabels`` or ``rectangle``; other results with its ``id`` say more about it.

    Args:
        path: The file.
        image_root: Folder of images. The name of an image is the longest end of its path or address
            that is in it; the eight digits that an upload puts before a name may be missing.
        person_from: ``name`` of the control that says who it is: the rectangle labels themselves,
            or choices, a text area or a number per region.
        tally: Counts what is not read.
        image_key: Key of the image in a task's ``data``.
        unlabelled: Values that stand for "nobody knows who".
        camera_pattern: See :func:`~.tagged_images.camera_of_path`.

    Raises:
        FileNotFoundError: The file or an image is missing.
        ValueError: The file is not such an export, or the control does not occur.
    """
    tasks = read_json(path)
    if not isinstance(tasks, list):
        raise ValueError(f'{path}: {shown(tasks)} is not a list of tasks; export as "JSON"')
    controls: set[str] = set()
    images: dict[str, TaggedImage] = {}
    for number, task in enumerate(tasks):
        entry = JsonObject.check(task, path, f'[{number}]', _TASK)
        chosen = _annotation(entry, tally)
        if chosen is None:
            continue
        name = _image_name(entry, image_key, image_root)
        if name in images:
            raise ValueError(f'{entry.where}: image {name!r} is in {images[name].source} as well')
        image = TaggedImage(name, entry.where, camera_of_path(name, camera_pattern))
        results = chosen.objects('result', _RESULT)
        controls.update(r.text('from_name') for r in results if r.has('from_name'))
        people = _people(results, person_from, unlabelled)
        image.boxes = [
            TaggedBox(_box(result, tally), people.get(result.text('id')), result.where)
            for result in results
            if result.text('type', '') in _BOXES
        ]
        images[name] = image
    if person_from not in controls:
        raise ValueError(
            f'{path}: no control is called {person_from!r}; there are '
            f'{", ".join(sorted(controls)) or "none"}'
        )
    return list(images.values())


def _annotation(task: JsonObject, tally: Tally) -> JsonObject | None:
    """The annotation of a task that counts."""
    if not task.has('annotations'):
        raise ValueError(
            f'{task.at("annotations")}: missing; export as "JSON", not as "JSON-MIN", from Label '
            'Studio 1.0 or newer'
        )
    done = [
        entry
        for entry in task.objects('annotations', _ANNOTATION)
        if not entry.flag('was_cancelled', False)
    ]
    if not done:
        tally.add(NOT_ANNOTATED, task.where)
        return None
    if len(done) > 1:
        tally.add(SEVERAL, task.where)
    return next((entry for entry in done if entry.flag('ground_truth', False)), done[-1])


def _image_name(task: JsonObject, key: str, image_root: Path) -> str:
    data = JsonObject.check(
        task.content.get('data'), task.path, f'{task.position}.data', '{"image": "..."}'
    )
    address = data.text(key)
    parts = urlsplit(address)
    path = unquote(parse_qs(parts.query).get('d', [parts.path])[0])
    folder, _, file = path.rpartition('/')
    for candidate in (path, f'{folder}/{_UPLOAD.sub("", file)}'):
        name = find_image(image_root, candidate)
        if name is not None:
            return name
    raise FileNotFoundError(f'{data.at(key)}: no image of {address!r} in {image_root}')


def _people(
    results: list[JsonObject], person_from: str, unlabelled: Collection[str]
) -> dict[str, str | None]:
    """The person of each region, by the region's id."""
    people: dict[str, str | None] = {}
    for result in results:
        if result.text('from_name', '') != person_from:
            continue
        region, value = result.text('id'), _value(result)
        content = value.content.get(result.text('type'))
        if result.text('type') == 'textarea':
            content = value.content.get('text')
        values = content if isinstance(content, list) else [content]
        if len(values) > 1 or region in people:
            raise ValueError(f'{result.where}: {shown(content)} names several people for one box')
        people[region] = person_of_value(values[0] if values else None, result.where, unlabelled)
    return people


def _value(result: JsonObject) -> JsonObject:
    return JsonObject.check(
        result.content.get('value'), result.path, f'{result.position}.value', '{"x": 50.8}'
    )


def _box(result: JsonObject, tally: Tally) -> tuple[float, float, float, float]:
    """Corners in pixels; the export has shares of the image's sides in per cent.

    A rotated box is turned clockwise around its upper left corner, in pixels.
    """
    if result.number('image_rotation', 0.0):
        raise ValueError(
            f'{result.at("image_rotation")}: the image was turned while it was annotated; turn the '
            'file instead and annotate it again'
        )
    sides = [result.integer('original_width'), result.integer('original_height')]
    value = _value(result)
    x, width = (_share(value, key) * sides[0] for key in ('x', 'width'))
    y, height = (_share(value, key) * sides[1] for key in ('y', 'height'))
    angle = math.radians(value.number('rotation', 0.0))
    if angle:
        tally.add(ROTATED, result.where)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    xs = [x + a * cos - b * sin for a, b in corners]
    ys = [y + a * sin + b * cos for a, b in corners]
    return min(xs), min(ys), max(xs), max(ys)


def _share(value: JsonObject, key: str) -> float:
    """A share of a side of the image; boxes may reach a little beyond it."""
    percent = value.number(key)
    if abs(percent) > MOST_PERCENT:
        raise ValueError(f'{value.at(key)}: {percent:g} is not a share of the image in per cent')
    return percent / 100
