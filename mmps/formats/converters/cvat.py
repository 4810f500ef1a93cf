"""CVAT's export "COCO 1.0", with the person id in an attribute of the boxes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mmps.formats.coco.scenes import person_categories
from mmps.formats.json_file import JsonObject, read_json

from .tagged_images import TaggedBox, TaggedImage, camera_of_path, find_image, person_of_value
from .tally import Tally

CROWDS = 'crowd regions, left out'
OTHER_LABELS = 'boxes with another label than "person", left out'

_DOCUMENT = '{"images": [...], "annotations": [...], "categories": [...]}'
_IMAGE = '{"id": 1, "file_name": "camera_1/0001.jpg"}'
_ANNOTATION = '{"image_id": 1, "bbox": [x, y, width, height], "attributes": {"person_id": "7"}}'
_SPLITS = {'instances_train': 'train', 'instances_test': 'test'}


def read_cvat(
    paths: Sequence[Path],
    image_root: Path,
    *,
    tally: Tally,
    attribute: str = 'person_id',
    unlabelled: Collection[str] = ('', '-1', '-2'),
    camera_pattern: str | None = None,
) -> list[TaggedImage]:
    """Read ``annotations/instances_*.json`` of one or more exports.

    Of each file: ``images[].id`` and ``.file_name``; ``annotations[].image_id``, ``.category_id``,
    ``.bbox``, ``.iscrowd`` and ``.attributes[attribute]``; ``categories[].id`` and ``.name``. Files
    called ``instances_train.json`` and ``instances_test.json`` are the two splits.

    Args:
        paths: The files.
        image_root: Folder of images; a ``file_name`` may begin with folders that are not in it.
        tally: Counts what is not read.
        attribute: Name of the attribute that holds the person: a text, a number or a choice.
        unlabelled: Values that stand for "nobody knows who".
        camera_pattern: See :func:`~.tagged_images.camera_of_path`.

    Raises:
        FileNotFoundError: A file or an image is missing.
        ValueError: A file is not such an export, or no box has the attribute.
    """
    images: dict[str, TaggedImage] = {}
    attributes: set[str] = set()
    for path in paths:
        document = JsonObject.check(read_json(path), path, '', _DOCUMENT)
        by_id = _read_images(document, image_root, images, camera_pattern)
        is_person = person_categories(document)
        for entry in document.objects('annotations', _ANNOTATION):
            image = by_id.get(entry.integer('image_id'))
            if image is None:
                raise ValueError(f'{entry.at("image_id")}: there is no such image')
            if is_person is not None and not is_person.get(entry.integer('category_id'), False):
                tally.add(OTHER_LABELS, entry.where)
            elif entry.flag('iscrowd', False):
                tally.add(CROWDS, entry.where)
            else:
                values = entry.content.get('attributes')
                values = values if isinstance(values, dict) else {}
                attributes.update(values)
                person = person_of_value(values.get(attribute), entry.where, unlabelled)
                image.boxes.append(TaggedBox(entry.box('bbox'), person, entry.where))
    if attribute not in attributes:
        raise ValueError(
            f'{", ".join(map(str, paths))}: no box has an attribute {attribute!r}, but '
            f'{", ".join(sorted(attributes)) or "none at all"}; add one to the label in CVAT, or '
            'name the one that holds the person'
        )
    return list(images.values())


def _read_images(
    document: JsonObject,
    image_root: Path,
    images: dict[str, TaggedImage],
    camera_pattern: str | None,
) -> dict[int, TaggedImage]:
    by_id: dict[int, TaggedImage] = {}
    for entry in document.objects('images', _IMAGE):
        number, path = entry.integer('id'), entry.text('file_name')
        name = find_image(image_root, path)
        if name is None:
            raise FileNotFoundError(f'{entry.at("file_name")}: no image {path!r} in {image_root}')
        if number in by_id or name in images:
            raise ValueError(f'{entry.where}: image {name!r} or its id {number} occurs twice')
        camera, split = (
            camera_of_path(name, camera_pattern),
            _SPLITS.get(document.path.stem.lower()),
        )
        by_id[number] = images[name] = TaggedImage(name, entry.where, camera, split)
    return by_id
