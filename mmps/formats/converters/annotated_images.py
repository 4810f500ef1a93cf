"""What every reader of annotations fills in: images with boxes, which people and cameras name."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from mmps.formats.scene_index import LARGEST_ID
from mmps.utils.image_files import read_header
from mmps.utils.image_folder import ImageFolder

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

Box = tuple[float, float, float, float]
"""Corners x1, y1, x2, y2 in pixels."""


class Tally:
    """Counts what a conversion left out or decided by itself, with the first example of each.

    Example:
        >>> tally = Tally()
        >>> tally.add('boxes without area, left out', 'boxes.csv, line 7')
        >>> tally.add('boxes without area, left out', 'boxes.csv, line 9')
        >>> tally.lines()
        ['2 boxes without area, left out (first: boxes.csv, line 7)']
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, remark: str, example: str, count: int = 1) -> None:
        """Count one more, or ``count`` more, of what ``remark`` describes in the plural."""
        if count:
            self._counts[remark] += count
            self._first.setdefault(remark, example)

    def count(self, remark: str) -> int:
        return self._counts[remark]

    def lines(self) -> list[str]:
        return [
            f'{n} {remark} (first: {self._first[remark]})' for remark, n in self._counts.items()
        ]


@dataclass(frozen=True)
class AnnotatedBox:
    """One annotated person, None for an unlabelled one; ``source`` is file and position."""

    bbox: Box
    person: str | None
    source: str
    is_query: bool = False


@dataclass
class AnnotatedImage:
    """One image and the people in it.

    Attributes:
        name: File name relative to the folder of images.
        source: File and position, for messages.
        camera: Name or number of the camera, None where unknown.
        split: ``'train'``, ``'test'`` or None where nobody decided.
        size: (width, height) in pixels, once measured.
    """

    name: str
    source: str
    camera: str | None = None
    split: str | None = None
    boxes: list[AnnotatedBox] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)


@dataclass
class Annotations:
    """What a reader of annotations is given and fills in.

    Attributes:
        image_root: Folder of images. None, of a table only: names are taken as they are.
        unlabelled: Values, beside none at all, that stand for "nobody knows who".
        camera_pattern: Regular expression to search for in the name of an image; what its first
            group matches is the camera. None: the first folder of the name.
        tally: Counts what is not read.
        images: By name, in the order of the file.
    """

    image_root: Path | None
    unlabelled: Collection[str] = ('-1', '-2')
    camera_pattern: str | None = None
    tally: Tally = field(default_factory=Tally)
    images: dict[str, AnnotatedImage] = field(default_factory=dict)

    @functools.cached_property
    def folder(self) -> ImageFolder:
        return ImageFolder(self.image_root)

    def add_image(
        self, name: str, source: str, camera: str | None, split: str | None = None
    ) -> AnnotatedImage:
        """Add an image that was not there before."""
        image = AnnotatedImage(name, source, camera, split)
        if (before := self.images.setdefault(name, image)) is not image:
            raise ValueError(
                f'{source}: image {name!r} occurs twice, as {before.source} names it as well; give '
                'the folder that holds the images of both'
            )
        return image

    def camera_of(self, name: str) -> str | None:
        """Camera of an image, from its name relative to the folder of images."""
        pattern = self.camera_pattern
        if pattern is None:
            path = PurePosixPath(name)
            return path.parts[0] if len(path.parts) > 1 and not path.is_absolute() else None
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise ValueError(f'{pattern!r} is not a regular expression: {error}') from None
        if expression.groups < 1:
            raise ValueError(
                f'{pattern!r} has no group; put the camera into brackets: "cam([0-9]+)"'
            )
        match = expression.search(name)
        if match is None or match[1] is None:
            raise ValueError(f'image {name!r}: {pattern!r} does not find a camera in this name')
        return match[1]

    def person_of(self, value: Any, source: str) -> str | None:
        """The person whom a value names; 7.0, as CVAT writes numbers, ``'7'`` and ``'07'`` are one.
        Null, blanks and :data:`NOTHING` are nobody.
        """
        if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
            raise ValueError(f'{source}: {value!r:.60} does not name a person; use a text')
        person = '' if value is None else plain_name(str(value))
        return None if person in NOTHING or person in map(plain_name, self.unlabelled) else person


def read_text(path: Path) -> str:
    """The content of a file in UTF-8, without a byte order mark."""
    try:
        return path.read_bytes().decode('utf-8-sig')
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: this file of annotations is missing') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: byte {error.start} is not UTF-8; save it as UTF-8') from None


def read_number(text: str, largest: float, place: str, what: str = 'a number') -> float:
    """The number that a text in a table is; an error that says where and what is expected."""
    try:
        value = float(text) if '_' not in text else math.nan
    except ValueError:
        value = math.nan
    if not abs(value) <= largest:
        raise ValueError(f'{place} {text!r} is not {what}')
    return value


def plain_name(text: str) -> str:
    """A name in the one form it is kept in: without blanks around it, letters composed (NFC), and a
    whole number without leading zeros or a fraction of zeros.
    """
    text = unicodedata.normalize('NFC', text.strip())
    number = re.fullmatch(r'([+-]?)0*([0-9]+)(\.0*)?', text)
    if number is None:
        return text
    return f'{"-" if number[1] == "-" and number[2] != "0" else ""}{number[2]}'


def numbered(names: Iterable[str], start: int = 0) -> dict[str, int]:
    """A number for each name: its own, if all are numbers, else its rank from ``start`` on."""
    names = sorted(set(names))
    numbers = [int(name) for name in names if re.fullmatch(r'[0-9]{1,10}', name)]
    fits = len(set(numbers)) == len(names) and max(numbers, default=0) <= LARGEST_ID
    return dict(zip(names, numbers if fits else range(start, start + len(names)), strict=True))


def turned_box(bbox: Box, degrees: float, pivot: tuple[float, float]) -> Box:
    """The upright box around ``bbox`` turned clockwise around ``pivot``."""
    angle = math.radians(degrees)
    # A right angle has to give whole pixels.
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    sides = [(x - pivot[0], y - pivot[1]) for x in bbox[::2] for y in bbox[1::2]]
    xs = [pivot[0] + a * cos - b * sin for a, b in sides]
    ys = [pivot[1] + a * sin + b * cos for a, b in sides]
    return min(xs), min(ys), max(xs), max(ys)


def measure_images(folder: ImageFolder, names: Sequence[str]) -> list[tuple[int, int]]:
    """(width, height) of each image as it is shown, that is, turned as its EXIF data ask for."""
    files = folder.find_all(names, '; name the folder that the names are relative to')
    bar = tqdm(files, 'Measuring images', delay=2, leave=False)
    headers = [read_header(Path(folder.root, file)) for file in bar]
    return [(header.width, header.height) for header in headers]


def fit_boxes(annotations: Annotations) -> None:
    """Measure the images that are not yet, and keep of every box what lies inside its image."""
    images = annotations.images.values()
    boxes = [box for image in images for box in image.boxes]
    if boxes and max(max(box.bbox) for box in boxes) <= 1:
        raise ValueError(
            f'{boxes[0].source}: every coordinate of every box is at most 1; give pixels, not '
            'shares'
        )
    unmeasured = [image for image in images if image.size == (0, 0)]
    sizes = measure_images(annotations.folder, [image.name for image in unmeasured])
    for image, size in zip(unmeasured, sizes, strict=True):
        image.size = size
    for image in images:
        image.boxes = _fitted(image, annotations.tally)


def _fitted(image: AnnotatedImage, tally: Tally) -> list[AnnotatedBox]:
    width, height = image.size
    kept: dict[tuple[Box, str | None], AnnotatedBox] = {}
    for box in image.boxes:
        x1, y1, x2, y2 = box.bbox
        inside = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
        key = inside, box.person
        if x1 >= x2 or y1 >= y2:
            tally.add(NO_AREA, box.source)
        elif inside[0] >= inside[2] or inside[1] >= inside[3]:
            tally.add(OUTSIDE, box.source)
        elif key in kept:
            tally.add(REPEATED, box.source)
            kept[key] = replace(kept[key], is_query=box.is_query or kept[key].is_query)
        else:
            tally.add(CLIPPED, box.source, inside != box.bbox)
            kept[key] = replace(box, bbox=inside)
    return list(kept.values())
