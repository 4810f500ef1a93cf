"""Tracks in the form of the MOT challenges: one folder for each video."""

from __future__ import annotations

import configparser
import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmps.formats.coco import PERSON
from mmps.formats.scene_index import LARGEST_ID

from .annotated_images import (
    AnnotatedBox,
    AnnotatedImage,
    Annotations,
    Tally,
    read_number,
    read_text,
)

IGNORED = 'rows marked as not to be considered, left out'
OTHER_CLASSES = 'rows of other classes, left out'
THINNED = 'frames left out, because not every frame is taken'
WORLD = 'rows with places in the world instead of classes, all taken as people'

NO_CLASS = -1
PEDESTRIAN = 1
PEOPLE = (PERSON, 'pedestrian')
"""Labels that are people, in any case."""

_COLUMNS = 'frame, id, x, y, width, height, conf, class, visibility'
_WORLD_COLUMNS = 10
"""Of MOT15, whose last three columns are a place in the world."""


def read_mot(
    sequences: Sequence[Path],
    annotations: Annotations,
    *,
    shared_ids: bool = False,
    classes: Collection[int] | None = None,
    first_pixel: int = 0,
    first_frame: int | None = None,
    every: int = 1,
    test: Collection[Path] = (),
) -> None:
    """Read ``gt/gt.txt``, ``gt/labels.txt``, ``seqinfo.ini`` and the images of each sequence.

    Of a row of ``gt.txt``: frame, id, x, y, width, height, and, where there are such columns, conf
    (0: not to be considered) and class (-1: none given). Rows of ten columns, as in MOT15, have a
    place in the world there, and no class. A class is a line of ``labels.txt``, which CVAT writes.
    Of ``seqinfo.ini``, which may be missing like ``labels.txt``: ``imDir``, ``imExt`` and
    ``seqLength``. Each sequence is a camera.

    Args:
        sequences: Their folders.
        annotations: Filled with their images; its folder of images holds them all.
        shared_ids: Whether an id means the same person in every sequence. In the challenges it does
            not.
        classes: Classes that are people to find. None: those that ``labels.txt`` calls person or
            pedestrian; without that file 1, which is a pedestrian in the challenges.
        first_pixel: Coordinate of the leftmost and of the uppermost pixel; the challenges count
            from 1, most tools that write their form from 0.
        first_frame: Which frame of ``gt.txt`` the first picture is. None: the numbers of pictures
            are those of the rows.
        every: Take the first frame of so many.
        test: Sequences for the test; empty: nothing is decided.
    """
    if every < 1:
        raise ValueError(f'every frame of {every} cannot be taken; give 1 or more')
    cameras = [sequence.name for sequence in sequences]
    twice = next((name for name in cameras if cameras.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f'two sequences are called {twice!r}; rename one, they name the cameras')
    for unknown in set(test) - set(sequences):
        raise ValueError(f'{unknown}: to test with, but not among the sequences')
    for sequence in sequences:
        split = None if not test else 'test' if sequence in test else 'train'
        frames = _frames(sequence, annotations.image_root, split)
        rows = _rows(sequence / 'gt' / 'gt.txt')
        shift = _shift(sequence, frames, rows, first_frame)
        people = _people_classes(sequence) if classes is None else classes
        for row in rows:
            box = row.box('' if shared_ids else f'{sequence.name}/', people, annotations.tally)
            if box is not None:
                x1, y1, x2, y2 = (value - first_pixel for value in box.bbox)
                box = AnnotatedBox((x1, y1, x2, y2), box.person, box.source)
                frames[row.frame - shift].boxes.append(box)
        taken = [frames[number] for number in sorted(frames)][::every]
        annotations.tally.add(THINNED, str(sequence), len(frames) - len(taken))
        annotations.images.update((image.name, image) for image in taken)


@dataclass(frozen=True)
class _Row:
    """A row of ``gt.txt`` with its frame, and its file and line."""

    frame: int
    values: list[str]
    source: str

    def box(self, prefix: str, classes: Collection[int], tally: Tally) -> AnnotatedBox | None:
        """The person of the row, called ``prefix`` and the id, or None where it does not count."""
        values, source = self.values, self.source
        if len(values) > 6 and _number(values[6], 'conf', source) == 0:
            tally.add(IGNORED, source)
            return None
        if len(values) >= _WORLD_COLUMNS:
            tally.add(WORLD, source)
        elif len(values) > 7 and _whole(values[7], 'class', source) not in (NO_CLASS, *classes):
            tally.add(OTHER_CLASSES, source)
            return None
        person = _whole(values[1], 'id', source)
        names = ('x', 'y', 'width', 'height')
        x, y, width, height = map(_number, values[2:6], names, [source] * 4)
        if width < 0 or height < 0:
            raise ValueError(f'{source}: a box of {width:g} x {height:g}; a row is {_COLUMNS}')
        name = None if person < 0 else f'{prefix}{person}'
        return AnnotatedBox((x, y, x + width, y + height), name, source)


def _rows(path: Path) -> list[_Row]:
    rows = []
    text = read_text(path)
    try:
        for number, values in enumerate(csv.reader(io.StringIO(text), strict=True), 1):
            while values and not values[-1].strip():
                values.pop()  # a comma at the end of a line begins no column
            if values:
                source = f'{path}, line {number}'
                if len(values) < 6:
                    raise ValueError(f'{source}: {len(values)} values; a row is {_COLUMNS}')
                rows.append(_Row(_whole(values[0], 'frame', source), values, source))
    except csv.Error as error:
        raise ValueError(f'{path}: not rows of numbers ({error})') from None
    return rows


def _number(text: str, name: str, source: str) -> float:
    return read_number(text, LARGEST_ID, f'{source}: {name}', f'a number; a row is {_COLUMNS}')


def _whole(text: str, name: str, source: str) -> int:
    value = _number(text, name, source)
    if not value.is_integer():
        raise ValueError(f'{source}: {name} {text!r} is not a whole number')
    return int(value)


def _shift(
    sequence: Path, frames: Collection[int], rows: Sequence[_Row], first_frame: int | None
) -> int:
    """What has to be taken from the frame of a row to get the number of its picture."""
    first = min(frames)
    shift = 0 if first_frame is None else first_frame - first
    if not rows:
        return shift
    counted = [row.frame for row in rows]
    numbered = (
        f'its pictures are numbered from {first} to {max(frames)} and its rows from '
        f'{min(counted)} to {max(counted)}'
    )
    for row in rows:
        if row.frame - shift not in frames:
            raise ValueError(
                f'{row.source}: there is no image of frame {row.frame} in {sequence}; {numbered}; '
                'say which frame the first picture is with --first-frame'
            )
    # Rows of this form count from 1, so that such pictures belong to the rows after their own,
    # unless the rows count from 0 as well and nobody is in the first picture.
    if first_frame is None and first == 0 and min(counted) > 0:
        raise ValueError(
            f'{sequence}: {numbered}, so that boxes may lie on the picture after their own; say '
            'which frame the first picture is, with --first-frame 1 (or 0, if nobody is in it)'
        )
    return shift


def _people_classes(sequence: Path) -> Collection[int]:
    """The classes that are people, by the labels of the sequence."""
    path = sequence / 'gt' / 'labels.txt'
    if not path.is_file():
        return (PEDESTRIAN,)
    labels = [line.strip().strip('"\'').strip() for line in read_text(path).splitlines()]
    people = [number for number, label in enumerate(labels, 1) if label.lower() in PEOPLE]
    if not people:
        raise ValueError(
            f'{path}: none of the labels {", ".join(filter(None, labels)) or "(there are none)"} '
            f'is called {" or ".join(PEOPLE)}; name the lines of the people with --classes'
        )
    return people


def _frames(sequence: Path, image_root: Path, split: str | None) -> dict[int, AnnotatedImage]:
    """The images of a sequence by frame number."""
    info = _sequence_info(sequence / 'seqinfo.ini')
    folder, suffix = sequence / info.get('imdir', 'img1'), info.get('imext', '').lower()
    try:
        relative = folder.resolve().relative_to(image_root.resolve()).as_posix()
    except ValueError:
        raise ValueError(f'{sequence} is not in the folder of images, {image_root}') from None
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: this folder of images is missing')
    frames: dict[int, AnnotatedImage] = {}
    for file in sorted(folder.iterdir()):
        if file.stem.isdecimal() and suffix in ('', file.suffix.lower()):
            number = int(file.stem)
            if number in frames:
                raise ValueError(f'{file}: frame {number} has another image beside this one')
            name = f'{relative}/{file.name}'
            frames[number] = AnnotatedImage(name, str(file), sequence.name, split)
    length = info.get('seqlength', str(len(frames)))
    if not frames or length != str(len(frames)):
        raise ValueError(
            f'{folder}: {len(frames)} numbered images such as 000001.jpg, {length} expected; '
            'unpack the sequence again, or correct seqinfo.ini'
        )
    return frames


def _sequence_info(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        return dict(parser['Sequence'])
    except (configparser.Error, KeyError) as error:
        raise ValueError(f'{path}: not a file with a section [Sequence] ({error})') from None
