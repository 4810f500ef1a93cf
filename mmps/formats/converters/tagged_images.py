"""What an annotation tool exports: images with boxes, tagged with names instead of numbers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from mmps.formats.json_file import is_text, shown
from mmps.formats.scene_index import LARGEST_ID
from mmps.utils.image_files import read_header
from mmps.utils.image_folder import ImageFolder

from .tally import Tally

OUTSIDE = 'boxes outside the image, left out'
CLIPPED = 'boxes reaching beyond the image, clipped'
NO_AREA = 'boxes without area, left out'
REPEATED = 'boxes listed twice, the second left out'
ROTATED = 'rotated boxes, the upright box around them taken'

NOTHING = frozenset(
    ('', '#N/A', '#N/A N/A', '#NA', '#N/D', '#NV', '-NaN', '-nan', '<NA>', 'N/A', 'NA', 'NULL')
    + ('NaN', 'None', 'n/a', 'nan', 'null')
)
"""How pandas and spreadsheets write that there is no value."""


@dataclass(frozen=True)
class TaggedBox:
    """One annotated person.

    Attributes:
        bbox: Corners x1, y1, x2, y2 in pixels.
        person: Name or number of the person, None for an unlabelled one.
        source: File and position, for messages.
        is_query: Whether the person is to be searched for.
    """

    bbox: tuple[float, float, float, float]
    person: str | None
    source: str
    is_query: bool = False


@dataclass
class TaggedImage:
    """One image and the people in it.

    Attributes:
        name: File name relative to the folder of images.
        source: File and position, for messages.
        camera: Name or number of the camera, None where unknown.
        split: ``'train'``, ``'test'`` or None where nobody decided.
        boxes: The people.
        size: (width, height) in pixels, once measured.
    """

    name: str
    source: str
    camera: str | None = None
    split: str | None = None
    boxes: list[TaggedBox] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)


def camera_of_path(name: str, pattern: str | None = None) -> str | None:
    """Camera of an image, from its name.

    Args:
        name: File name relative to the folder of images.
        pattern: Regular expression to search for; what its first group matches is the camera.
            None: the first folder of the name.

    Raises:
        ValueError: The expression is none, has no group, or does not occur in the name.
    """
    if pattern is None:
        path = PurePosixPath(name)
        folders = () if path.is_absolute() else path.parts[:-1]
        return folders[0] if folders else None
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f'{pattern!r} is not a regular expression: {error}') from None
    if expression.groups < 1:
        raise ValueError(f'{pattern!r} has no group; put the camera into brackets: "cam([0-9]+)"')
    match = expression.search(name)
    if match is None or match[1] is None:
        raise ValueError(f'image {name!r}: {pattern!r} does not find a camera in this name')
    return match[1]


def person_of_value(value: Any, source: str, unlabelled: Collection[str]) -> str | None:
    """The person whom a value names; 7.0, as CVAT writes numbers, ``'7'`` and ``'07'`` are one.

    Args:
        value: Of any kind; null, blanks and :data:`NOTHING` are nobody.
        source: File and position, for messages.
        unlabelled: Values that stand for "nobody knows who".

    Raises:
        ValueError: The value is no name.
    """
    usable = isinstance(value, (str, int, float, type(None))) and not isinstance(value, bool)
    if not usable or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f'{source}: {shown(value)} does not name a person; use a text')
    person = '' if value is None else plain_name(str(value))
    if person in NOTHING or person in {plain_name(word) for word in unlabelled}:
        return None
    if not is_text(person):
        raise ValueError(f'{source}: the person {shown(person)} has characters that are no text')
    return person


def plain_name(text: str) -> str:
    """A name in the one form it is kept in: without blanks around it, letters composed (NFC), and a
    whole number without leading zeros or a fraction of zeros.
    """
    text = unicodedata.normalize('NFC', text.strip())
    number = re.fullmatch(r'([+-]?)0*([0-9]+)(\.0*)?', text)
    if number is None:
        return text
    return f'{"-" if number[1] == "-" and number[2] != "0" else ""}{number[2]}'


def turned_box(
    bbox: tuple[float, float, float, float], degrees: float, pivot: tuple[float, float]
) -> tuple[float, float, float, float]:
    """The upright box, xyxy, around the box ``bbox``, xyxy, turned clockwise around ``pivot``."""
    angle = math.radians(degrees)
    # A right angle has to give whole pixels.
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x1, y1, x2, y2 = bbox
    sides = [(x - pivot[0], y - pivot[1]) for x in (x1, x2) for y in (y1, y2)]
    xs = [pivot[0] + a * cos - b * sin for a, b in sides]
    ys = [pivot[1] + a * sin + b * cos for a, b in sides]
    return min(xs), min(ys), max(xs), max(ys)


def numbered(names: Iterable[str], start: int = 0) -> dict[str, int]:
    """A number for each name: its own, if all are numbers, else its rank from ``start`` on."""
    names = sorted(set(names))
    numbers = [int(name) for name in names if re.fullmatch(r'[0-9]{1,10}', name)]
    fits = len(set(numbers)) == len(names) and max(numbers, default=0) <= LARGEST_ID
    return dict(zip(names, numbers if fits else range(start, start + len(names)), strict=True))


def measure_images(image_root: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """(width, height) of each image as it is shown, that is, turned as its EXIF data ask for.

    Raises:
        FileNotFoundError: Images are missing; the message names the first and counts them.
        ValueError: A file is truncated or not an image.
    """
    folder = ImageFolder(image_root)
    missing = [name for name in names if folder.find(name) is None]
    if missing:
        raise FileNotFoundError(
            f'{folder.path(missing[0])}: this image is listed but missing ({len(missing)} of '
            f'{len(names)} are); {folder.explain(missing[0])}; name the folder that the names are '
            'relative to'
        )
    bar = tqdm(names, 'Measuring images', delay=2, leave=False)
    headers = [read_header(Path(folder.path(name))) for name in bar]
    return [(header.width, header.height) for header in headers]


def fit_boxes(images: Sequence[TaggedImage], image_root: Path, tally: Tally) -> None:
    """Measure the images that are not yet, and keep of every box what lies inside its image.

    Raises:
        FileNotFoundError: An image is missing.
        ValueError: A file is not an image, or the boxes are not in pixels.
    """
    boxes = [box.bbox for image in images for box in image.boxes]
    if boxes and max(max(bbox) for bbox in boxes) <= 1:
        source = next(image.boxes[0].source for image in images if image.boxes)
        raise ValueError(
            f'{source}: every coordinate of every box is at most 1; give pixels, not shares'
        )
    unmeasured = [image for image in images if image.size == (0, 0)]
    sizes = measure_images(image_root, [image.name for image in unmeasured])
    for image, size in zip(unmeasured, sizes, strict=True):
        image.size = size
    for image in images:
        width, height = image.size
        kept: dict[tuple, TaggedBox] = {}
        for box in image.boxes:
            x1, y1, x2, y2 = box.bbox
            inside = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
            if x1 >= x2 or y1 >= y2:
                tally.add(NO_AREA, box.source)
            elif inside[0] >= inside[2] or inside[1] >= inside[3]:
                tally.add(OUTSIDE, box.source)
            else:
                before = kept.get((inside, box.person))
                if before is not None:
                    tally.add(REPEATED, box.source)
                elif inside != box.bbox:
                    tally.add(CLIPPED, box.source)
                is_query = box.is_query or (before is not None and before.is_query)
                source = before.source if before else box.source
                kept[inside, box.person] = TaggedBox(inside, box.person, source, is_query)
        image.boxes = list(kept.values())
