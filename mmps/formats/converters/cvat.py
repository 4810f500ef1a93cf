"""CVAT's export "COCO 1.0", with the person id in an attribute of the boxes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from mmps.formats.coco import Category, person_categories
from mmps.formats.json_file import XYWH, Text, WholeNumber, read_json
from mmps.utils.errors import did_you_mean
from mmps.utils.image_folder import same_name

from .annotated_images import (
    ROTATED,
    AnnotatedBox,
    AnnotatedImage,
    Annotations,
    Box,
    Tally,
    turned_box,
)

CROWDS = 'crowd regions, left out'
OTHER_LABELS = 'boxes with another label than "person", left out'

_SPLITS = {'train': 'train', 'test': 'test', 'val': 'test', 'validation': 'test'}


class _Image(Struct):
    id: WholeNumber
    file_name: Text


class _Annotation(Struct):
    image_id: WholeNumber
    bbox: XYWH
    category_id: WholeNumber | None = None
    iscrowd: bool | None = None
    attributes: dict[str, Any] | None = None
    segmentation: Any = None


class _Document(Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[Category] | None = None


def read_cvat(
    paths: Sequence[Path], annotations: Annotations, *, attribute: str = 'person_id'
) -> None:
    """Read ``annotations/instances_*.json`` of one or more exports.

    ``instances_SUBSET.json`` of a folder EXPORT describes the images in ``EXPORT/images/SUBSET/``,
    which ``file_name`` does not mention; in other layouts they are in ``EXPORT/images/``. Subsets
    called train and test (or val, validation) are the two splits where both are there. The folder
    of images is ``EXPORT/images``, or one that several exports are in; a ``file_name`` may begin
    with folders that are not in it.

    The camera is the first folder within the subset; where there is none, the export, if there are
    several, or else the subset, unless its name is that of a split.

    The person is a text, a number or a choice: the value of ``attribute``.
    """
    tally = annotations.tally
    attributes: set[str] = set()
    roots = [os.path.abspath(export_folder(path)) for path in paths]
    for path, root in zip(paths, roots, strict=True):
        document = read_json(path, _Document)
        images = _read_images(path, document.images, root, roots, annotations)
        is_person = person_categories(path, document.categories)
        for number, entry in enumerate(document.annotations):
            source = f'{path}: annotations[{number}]'
            if entry.image_id not in images:
                raise ValueError(f'{source}.image_id: there is no such image')
            if is_person is not None and not is_person.get(entry.category_id, False):
                tally.add(OTHER_LABELS, source)
            elif entry.iscrowd:
                tally.add(CROWDS, source)
            else:
                values = entry.attributes or {}
                attributes.update(values)
                person = annotations.person_of(values.get(attribute), source)
                box = AnnotatedBox(_box(entry, source, tally), person, source)
                images[entry.image_id].boxes.append(box)
    if attribute not in attributes:
        raise ValueError(
            f'{", ".join(map(str, paths))}: no box has an attribute {attribute!r}, but '
            f'{", ".join(sorted(attributes)) or "none at all"}; add one to the label in CVAT, or '
            'name the one that holds the person with --person-attribute'
            f'{did_you_mean(attribute, attributes)}'
        )
    if {image.split for image in annotations.images.values()} < {'train', 'test'}:
        # A task may happen to be filed under one of the two, which says nothing about a split.
        for image in annotations.images.values():
            image.split = None


def export_folder(path: Path) -> Path:
    """EXPORT of ``EXPORT/annotations/instances_SUBSET.json``, also of a path that begins later."""
    return path.parent.parent if len(path.parts) > 2 else path.absolute().parent.parent


def export_images(paths: Sequence[Path]) -> Path:
    """The folder of images of the exports: ``EXPORT/images``, or what several of them are in."""
    folders = {os.path.abspath(export_folder(path) / 'images') for path in paths}
    if len(folders) == 1:
        return export_folder(paths[0]) / 'images'
    return Path(os.path.commonpath(folders))


def _read_images(
    path: Path,
    images: Sequence[_Image],
    root: str,
    roots: Sequence[str],
    annotations: Annotations,
) -> dict[int, AnnotatedImage]:
    """The images of a file by id; ``root`` is its export, ``roots`` are those of all files."""
    prefix, _, subset = path.stem.partition('_')
    subset = subset if prefix.lower() == 'instances' else ''
    split = _SPLITS.get(subset.lower())
    export_camera = None if split or subset.lower() in ('default', '') else subset
    common, name = os.path.commonpath(roots), os.path.basename(root)
    if len(set(roots)) > 1:
        export_camera = name if root == common else Path(root).relative_to(common).as_posix()
    by_id: dict[int, AnnotatedImage] = {}
    for number, entry in enumerate(images):
        source = f'{path}: images[{number}]'
        places = (f'images/{subset}', 'images', subset, '')
        ends = [annotations.folder.find_end(f'{root}/{p}/{entry.file_name}') for p in places]
        found = max(filter(None, ends), key=lambda name: name.count('/'), default=None)
        if found is None:
            raise FileNotFoundError(
                f'{source}.file_name: no image {entry.file_name!r} in {annotations.folder.root}; '
                f'{annotations.folder.explain(entry.file_name)}'
            )
        if entry.id in by_id:
            raise ValueError(f'{source}.id: the id {entry.id} occurs twice')
        if annotations.camera_pattern is None:
            listed = re.split(r'[/\\]', entry.file_name)
            inner = '/'.join(found.split('/')[-len(listed) :])
            first, _, rest = inner.partition('/')
            below = rest and subset and same_name(first) == same_name(subset)
            camera = annotations.camera_of(rest if below else inner) or export_camera
        else:
            camera = annotations.camera_of(found)
        by_id[entry.id] = annotations.add_image(found, source, camera, split)
    return by_id


def _box(entry: _Annotation, source: str, tally: Tally) -> Box:
    """Corners; CVAT gives a rotated box as it was before it was turned around its centre."""
    x, y, width, height = entry.bbox
    bbox = x, y, x + width, y + height
    degrees = (entry.attributes or {}).get('rotation')
    if isinstance(degrees, bool) or not isinstance(degrees, (int, float)) or not degrees % 360:
        return bbox
    # A polygon or an ellipse comes with its outline, and its box is that around the outline.
    if entry.segmentation:
        return bbox
    tally.add(ROTATED, source)
    return turned_box(bbox, degrees % 360, (x + width / 2, y + height / 2))
