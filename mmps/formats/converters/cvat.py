"""CVAT's export "COCO 1.0", with the person id in an attribute of the boxes."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmps.formats.coco.scenes import person_categories
from mmps.formats.json_file import JsonObject, as_number, read_json
from mmps.utils.image_folder import ImageFolder, same_name

from .tagged_images import (
    ROTATED,
    TaggedBox,
    TaggedImage,
    camera_of_path,
    person_of_value,
    turned_box,
)
from .tally import Tally

CROWDS = 'crowd regions, left out'
OTHER_LABELS = 'boxes with another label than "person", left out'

_DOCUMENT = '{"images": [...], "annotations": [...], "categories": [...]}'
_IMAGE = '{"id": 1, "file_name": "camera_1/0001.jpg"}'
_ANNOTATION = '{"image_id": 1, "bbox": [x, y, width, height], "attributes": {"person_id": "7"}}'
_PREFIX = 'instances_'
_SPLITS = {'train': 'train', 'test': 'test', 'val': 'test', 'validation': 'test'}
_NO_SUBSET = 'default'


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
    ``.bbox``, ``.iscrowd``, ``.attributes[attribute]`` and ``.attributes.rotation``;
    ``categories[].id`` and ``.name``.

    ``instances_SUBSET.json`` of a folder EXPORT describes the images in ``EXPORT/images/SUBSET/``,
    which ``file_name`` does not mention; in other layouts they are in ``EXPORT/images/``. Subsets
    called train and test (or val, validation) are the two splits where both are there.

    The camera is the first folder within the subset; where there is none, the export, if there are
    several, or else the subset, unless its name is that of a split.

    Args:
        paths: The files.
        image_root: Folder of images: ``EXPORT/images``, or one that several exports are in. A
            ``file_name`` may begin with folders that are not in it.
        tally: Counts what is not read.
        attribute: Name of the attribute that holds the person: a text, a number or a choice.
        unlabelled: Values that stand for "nobody knows who".
        camera_pattern: See :func:`~.tagged_images.camera_of_path`.

    Raises:
        FileNotFoundError: A file or an image is missing.
        ValueError: A file is not such an export, or no box has the attribute.
    """
    folder = ImageFolder(image_root)
    images: dict[str, TaggedImage] = {}
    attributes: set[str] = set()
    exports = _exports(paths, image_root)
    for path, export in zip(paths, exports, strict=True):
        document = JsonObject.check(read_json(path), path, '', _DOCUMENT)
        by_id = _read_images(document, export, folder, images, camera_pattern)
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
                image.boxes.append(TaggedBox(_box(entry, values, tally), person, entry.where))
    if attribute not in attributes:
        raise ValueError(
            f'{", ".join(map(str, paths))}: no box has an attribute {attribute!r}, but '
            f'{", ".join(sorted(attributes)) or "none at all"}; add one to the label in CVAT, or '
            'name the one that holds the person'
        )
    if {export.split for export in exports} < {'train', 'test'}:
        # A task may happen to be filed under one of the two, which says nothing about a split.
        for image in images.values():
            image.split = None
    return list(images.values())


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


def _exports(paths: Sequence[Path], image_root: Path) -> list[_Export]:
    roots = [os.path.abspath(export_folder(path)) for path in paths]
    common = os.path.commonpath(roots)
    several = len(set(roots)) > 1
    exports = []
    for path, root in zip(paths, roots, strict=True):
        stem = path.stem
        subset = stem[len(_PREFIX) :] if stem.lower().startswith(_PREFIX) else ''
        own = Path(os.path.relpath(os.path.join(root, 'images'), os.path.abspath(image_root)))
        name = os.path.basename(root)
        folders = [] if '..' in own.parts else [f'{own.as_posix()}/{subset}', own.as_posix()]
        folders += [f'{name}/images/{subset}', f'{name}/images', f'{name}/{subset}', name]
        folders += [subset, '']
        says_camera = subset.lower() not in (*_SPLITS, _NO_SUBSET, '')
        if several:
            camera = name if root == common else Path(os.path.relpath(root, common)).as_posix()
        else:
            camera = subset if says_camera else None
        exports.append(_Export(folders, subset, camera))
    return exports


def _read_images(
    document: JsonObject,
    export: _Export,
    folder: ImageFolder,
    images: dict[str, TaggedImage],
    camera_pattern: str | None,
) -> dict[int, TaggedImage]:
    by_id: dict[int, TaggedImage] = {}
    for entry in document.objects('images', _IMAGE):
        number, path = entry.integer('id'), entry.text('file_name')
        found = _find(path, export, folder)
        if found is None:
            raise FileNotFoundError(
                f'{entry.at("file_name")}: no image {path!r} in {folder.root}; '
                f'{folder.explain(path)}'
            )
        name, inner = found
        if number in by_id:
            raise ValueError(f'{entry.at("id")}: the id {number} occurs twice')
        if name in images:
            raise ValueError(
                f'{entry.at("file_name")}: image {name!r} occurs twice, as {images[name].source} '
                'names it as well; give the folder that holds the images of both'
            )
        camera = camera_of_path(name, camera_pattern) if camera_pattern else None
        if camera_pattern is None:
            camera = camera_of_path(inner) or export.camera
        by_id[number] = images[name] = TaggedImage(name, entry.where, camera, export.split)
    return by_id


def _find(path: str, export: _Export, folder: ImageFolder) -> tuple[str, str] | None:
    """The file, and its name within the subset."""
    relative = not path.startswith('/') and '..' not in PurePosixPath(path).parts
    for place in export.folders if relative else ():
        name = folder.find(f'{place}/{path}'.lstrip('/'))
        if name is not None:
            name = PurePosixPath(name).as_posix()
            depth = len([part for part in place.split('/') if part not in ('', '.')])
            return name, _below_subset('/'.join(name.split('/')[depth:]), export)
    name = folder.find_end(path)
    return None if name is None else (name, _below_subset(name, export))


def _below_subset(name: str, export: _Export) -> str:
    first, _, rest = name.partition('/')
    return rest if rest and export.subset and same_name(first) == same_name(export.subset) else name


def _box(entry: JsonObject, attributes: dict, tally: Tally) -> tuple[float, float, float, float]:
    """Corners; CVAT gives a rotated box as it was before it was turned around its centre."""
    bbox = entry.box('bbox')
    degrees = attributes.get('rotation')
    if isinstance(degrees, bool) or not isinstance(degrees, (int, float)):
        return bbox
    degrees = as_number(degrees, entry.at('attributes.rotation')) % 360
    # A polygon or an ellipse comes with its outline, and its box is that around the outline.
    if not degrees or entry.content.get('segmentation'):
        return bbox
    tally.add(ROTATED, entry.where)
    return turned_box(bbox, degrees, ((bbox[0] + bbox[2]) / 2, (bbox[1] + bbox[3]) / 2))
