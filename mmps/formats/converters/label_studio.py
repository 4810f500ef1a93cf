"""Label Studio's own JSON export, which keeps what its COCO export drops: values per region."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from mmps.formats.coco.scenes import PERSON
from mmps.formats.json_file import JsonObject, as_number, read_json, shown
from mmps.utils.image_folder import ImageFolder

from .label_studio_addresses import TaskImages
from .tagged_images import (
    ROTATED,
    TaggedBox,
    TaggedImage,
    camera_of_path,
    measure_images,
    person_of_value,
    turned_box,
)
from .tally import Tally

NOT_ANNOTATED = 'tasks without a finished annotation, left out'
SEVERAL = 'tasks annotated several times, ground truth or else the last one taken'
OUTLINES = 'polygons and ellipses, the upright box around them taken'
OTHER_LABELS = 'regions with another label than "person", left out'
OTHER_SIZES = (
    'regions whose export states another image size than the file has, that of the file taken'
)
OTHER_REGIONS = 'regions of type {}, which are no boxes, left out'

MOST_PERCENT = 1000
_TASK = '{"data": {"image": "..."}, "annotations": [...]}'
_ANNOTATION = '{"result": [...]}'
_RESULT = '{"id": "...", "type": "rectanglelabels", "from_name": "...", "value": {...}}'
_LABELS = 'labels'
_SHAPES = ('rectangle', 'ellipse', 'polygon')
_SAYS_MORE = frozenset(
    ('choices', 'datetime', _LABELS, 'number', 'pairwise', 'ranker', 'rating', 'relation')
    + ('taxonomy', 'textarea')
)
"""Types of results that are no regions, but say something about one or about the whole image."""

Box = tuple[float, float, float, float]
Size = tuple[int, int]


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
    ``original_height``, ``image_rotation`` and ``value``. Rectangles, ellipses and polygons, with
    labels of their own or without, become boxes; other results with their ``id`` say more about
    them. Regions of other types are counted.

    Coordinates are per cent of the image, and become pixels of the file, whatever size is stated.

    Where labels are not the people, those called "person", in any case, are people, or the only
    one there is.

    Args:
        path: The file.
        image_root: Folder of images. The name of an image is the longest end of its path or address
            that is in it; see :class:`~.label_studio_addresses.TaskImages`.
        person_from: ``name`` of the control that says who it is: the labels themselves, or choices,
            a text area or a number per region.
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
    folder = ImageFolder(image_root)
    addresses = TaskImages(folder)
    images: dict[str, TaggedImage] = {}
    regions: list[tuple[TaggedImage, list[JsonObject]]] = []
    for number, task in enumerate(tasks):
        entry = JsonObject.check(task, path, f'[{number}]', _TASK)
        chosen = _annotation(entry, tally)
        if chosen is None:
            continue
        name = _image_name(entry, image_key, folder, addresses)
        if name in images:
            raise ValueError(f'{entry.where}: image {name!r} is in {images[name].source} as well')
        images[name] = TaggedImage(name, entry.where, camera_of_path(name, camera_pattern))
        regions.append((images[name], chosen.objects('result', _RESULT)))
    is_person = _person_labels(path, [r for _, results in regions for r in results], person_from)
    sizes = measure_images(image_root, list(images))
    for (image, results), image.size in zip(regions, sizes, strict=True):
        people = _people(results, person_from, unlabelled)
        labels = _labels(results, person_from)
        for result in results:
            bbox = _box(result, image.size, labels, is_person, tally)
            if bbox is not None:
                person = people.get(result.text('id'))
                image.boxes.append(TaggedBox(bbox, person, result.where))
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


def _image_name(task: JsonObject, key: str, folder: ImageFolder, addresses: TaskImages) -> str:
    data = JsonObject.check(
        task.content.get('data'), task.path, f'{task.position}.data', '{"image": "..."}'
    )
    address = data.text(key)
    name = addresses.find(address)
    if name is None:
        raise FileNotFoundError(
            f'{data.at(key)}: no image of {address!r} in {folder.root}; {folder.explain(address)}'
        )
    return name


def _kind(result: JsonObject) -> str:
    return result.text('type', '').lower()


def _content(result: JsonObject) -> list[Any]:
    """What a result says: the values of its labels, choices, texts or numbers."""
    kind = _kind(result)
    value = _value(result).content
    content = value.get('text' if kind == 'textarea' else kind)
    if content is None:
        content = value.get(_LABELS) if kind.endswith(_LABELS) else None
    return content if isinstance(content, list) else [content]


def _people(
    results: list[JsonObject], person_from: str, unlabelled: Collection[str]
) -> dict[str, str | None]:
    """The person of each region, by the region's id."""
    people: dict[str, str | None] = {}
    for result in results:
        if result.text('from_name', '') != person_from:
            continue
        region, values = result.text('id'), _content(result)
        if len(values) > 1 or region in people:
            raise ValueError(f'{result.where}: {shown(values)} names several people for one box')
        people[region] = person_of_value(values[0] if values else None, result.where, unlabelled)
    return people


def _labels(results: Iterable[JsonObject], person_from: str) -> dict[str, set[str]]:
    """The labels of each region, by its id, but for those that are people."""
    labels: dict[str, set[str]] = {}
    for result in results:
        if _kind(result).endswith(_LABELS) and result.text('from_name', '') != person_from:
            texts = {text for text in _content(result) if isinstance(text, str)}
            labels.setdefault(result.text('id'), set()).update(texts)
    return labels


def _person_labels(
    path: Path, results: Collection[JsonObject], person_from: str
) -> Mapping[str, bool]:
    """Label -> whether it is that of people."""
    controls = {r.text('from_name') for r in results if r.has('from_name')}
    if person_from not in controls:
        raise ValueError(
            f'{path}: no control is called {person_from!r}; there are '
            f'{", ".join(sorted(controls)) or "none"}'
        )
    labels = set[str]().union(*_labels(results, person_from).values())
    people = {label: label.strip().lower() == PERSON for label in labels}
    named_by_label = any(
        r.text('from_name', '') == person_from and _kind(r).endswith(_LABELS) for r in results
    )
    if named_by_label or any(people.values()):
        return people
    if len(people) > 1:
        raise ValueError(
            f'{path}: none of the labels {", ".join(sorted(people))} is called "person"; rename '
            'the label of the people'
        )
    return dict.fromkeys(people, True)


def _value(result: JsonObject) -> JsonObject:
    return JsonObject.check(
        result.content.get('value'), result.path, f'{result.position}.value', '{"x": 50.8}'
    )


def _box(
    result: JsonObject,
    size: Size,
    labels: Mapping[str, Collection[str]],
    is_person: Mapping[str, bool],
    tally: Tally,
) -> Box | None:
    """The box, xyxy in pixels, of a result that is a person's region; None for any other."""
    kind = _kind(result)
    if kind in _SAYS_MORE or not kind:
        return None
    shape = kind.removesuffix(_LABELS)
    if shape not in _SHAPES:
        tally.add(OTHER_REGIONS.format(kind), result.where)
        return None
    here = labels.get(result.text('id'), ())
    if here and not any(is_person[label] for label in here):
        tally.add(OTHER_LABELS, result.where)
        return None
    if result.number('image_rotation', 0.0):
        raise ValueError(
            f'{result.at("image_rotation")}: the image was turned while it was annotated; turn the '
            'file instead and annotate it again'
        )
    stated = tuple(result.integer(f'original_{side}', None) for side in ('width', 'height'))
    if None not in stated and stated != size:
        tally.add(OTHER_SIZES, result.where)
    value = _value(result)
    if shape != 'rectangle':
        tally.add(OUTLINES, result.where)
    if shape == 'polygon':
        return _around_polygon(value, size)
    if shape == 'ellipse':
        return _around_ellipse(value, size)
    return _around_rectangle(value, size, result, tally)


def _around_rectangle(value: JsonObject, size: Size, result: JsonObject, tally: Tally) -> Box:
    """A rotated one is turned clockwise around its upper left corner, in pixels."""
    x, width = (_share(value, key) * size[0] for key in ('x', 'width'))
    y, height = (_share(value, key) * size[1] for key in ('y', 'height'))
    degrees = value.number('rotation', 0.0) % 360
    if not degrees:
        return x, y, x + width, y + height
    tally.add(ROTATED, result.where)
    return turned_box((x, y, x + width, y + height), degrees, (x, y))


def _around_ellipse(value: JsonObject, size: Size) -> Box:
    """An ellipse has a centre, two radii, and is turned clockwise around its centre, in pixels."""
    x, across = (_share(value, key) * size[0] for key in ('x', 'radiusX'))
    y, down = (_share(value, key) * size[1] for key in ('y', 'radiusY'))
    angle = math.radians(value.number('rotation', 0.0))
    cos, sin = math.cos(angle), math.sin(angle)
    half_width, half_height = (
        math.hypot(across * cos, down * sin),
        math.hypot(across * sin, down * cos),
    )
    return x - half_width, y - half_height, x + half_width, y + half_height


def _around_polygon(value: JsonObject, size: Size) -> Box:
    points = value.values('points')
    xs, ys = [], []
    for number, point in enumerate(points):
        where = value.at(f'points[{number}]')
        if not isinstance(point, list) or len(point) != 2:
            raise ValueError(f'{where}: {shown(point)} is not [x, y] in per cent')
        xs.append(_checked_share(as_number(point[0], f'{where}[0]'), f'{where}[0]') * size[0])
        ys.append(_checked_share(as_number(point[1], f'{where}[1]'), f'{where}[1]') * size[1])
    if not points:
        raise ValueError(f'{value.at("points")}: a polygon without a corner')
    return min(xs), min(ys), max(xs), max(ys)


def _share(value: JsonObject, key: str) -> float:
    return _checked_share(value.number(key), value.at(key))


def _checked_share(percent: float, where: str) -> float:
    """A share of a side of the image; boxes may reach a little beyond it."""
    if abs(percent) > MOST_PERCENT:
        raise ValueError(f'{where}: {percent:g} is not a share of the image in per cent')
    return percent / 100
