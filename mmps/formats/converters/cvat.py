"""CVAT's export "COCO 1.0", with the person id in an attribute of the boxes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct

from mmps.formats.coco import Category, person_categories
from mmps.formats.json_file import XYWH, Text, WholeNumber, read_json
from mmps.utils.image_folder import ImageFolder, same_name

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

    Args:
        paths: The files.
        annotations: Filled with their images.
        attribute: Name of the attribute that holds the person: a text, a number or a choice.

    Raises:
        FileNotFoundError: A file or an image is missing.
        ValueError: A file is not such an export, or no box has the attribute.
    """
    tally = annotations.tally
    attributes: set[str] = set()
    exports = _exports(paths, annotations.image_root)
    for path, export in zip(paths, exports, strict=True):
        document = read_json(path, _Document)
        images = _read_images(path, document.images, export, annotations)
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
            'name the one that holds the person'
        )
    if {export.split for export in exports} < {'train', 'test'}:
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


@dataclass(frozen=True)
class _Export:
    """Where the images of one file are.

    Attributes:
        folders: Below the folder of images, the likely ones first.
        subset: As the name of the file says; empty if it does not.
        camera: Of images that are in no folder of their own.
    """

    folders: list[str]
    subset: str
    camera: str | None

    @property
    def split(self) -> str | None:
        return _SPLITS.get(self.subset.lower())

    def find(self, path: str, folder: ImageFolder) -> tuple[str, str] | None:
        """The file that is listed as ``path``, and its name within the subset."""
        name = inner = None
        if not path.startswith('/') and '..' not in PurePosixPath(path).parts:
            for place in self.folders:
                name = folder.find(f'{place}/{path}'.lstrip('/'))
                if name is not None:
                    name = PurePosixPath(name).as_posix()
                    depth = len([part for part in place.split('/') if part not in ('', '.')])
                    inner = '/'.join(name.split('/')[depth:])
                    break
        if name is None:
            name = inner = folder.find_end(path)
        if name is None:
            return None
        first, _, rest = inner.partition('/')
        below = rest and self.subset and same_name(first) == same_name(self.subset)
        return name, rest if below else inner


def _exports(paths: Sequence[Path], image_root: Path) -> list[_Export]:
    roots = [os.path.abspath(export_folder(path)) for path in paths]
    common = os.path.commonpath(roots)
    exports = []
    for path, root in zip(paths, roots, strict=True):
        prefix, _, subset = path.stem.partition('_')
        subset = subset if prefix.lower() == 'instances' else ''
        own = Path(os.path.relpath(os.path.join(root, 'images'), os.path.abspath(image_root)))
        name = os.path.basename(root)
        folders = [] if '..' in own.parts else [f'{own.as_posix()}/{subset}', own.as_posix()]
        folders += [f'{name}/images/{subset}', f'{name}/images', f'{name}/{subset}', name]
        camera = None if subset.lower() in (*_SPLITS, 'default', '') else subset
        if len(set(roots)) > 1:
            camera = name if root == common else Path(os.path.relpath(root, common)).as_posix()
        exports.append(_Export([*folders, subset, ''], subset, camera))
    return exports


def _read_images(
    path: Path, images: Sequence[_Image], export: _Export, annotations: Annotations
) -> dict[int, AnnotatedImage]:
    by_id: dict[int, AnnotatedImage] = {}
    folder = annotations.folder
    for number, entry in enumerate(images):
        source = f'{path}: images[{number}]'
        found = export.find(entry.file_name, folder)
        if found is None:
            raise FileNotFoundError(
                f'{source}.file_name: no image {entry.file_name!r} in {folder.root}; '
                f'{folder.explain(entry.file_name)}'
            )
        name, inner = found
        if entry.id in by_id:
            raise ValueError(f'{source}.id: the id {entry.id} occurs twice')
        if annotations.camera_pattern is None:
            camera = annotations.camera_of(inner) or export.camera
        else:
            camera = annotations.camera_of(name)
        by_id[entry.id] = annotations.add_image(name, source, camera, export.split)
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
