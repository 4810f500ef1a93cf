"""Problems of the image files of one split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.utils.image_decoding import decode_upright
from mmps.utils.image_files import ImageHeader, read_header
from mmps.utils.image_folder import ImageFolder

from .problem import Problem
from .split import Split

USUAL_SHARE = 0.9
"""Share of a camera's images that have one size, from which on the others are remarkable."""

ROUNDING = 1.0
"""Pixels that a box may reach out of its image without being reported: corners are rounded."""


@dataclass(frozen=True)
class ImageFiles:
    """The image files of a split.

    Attributes:
        sizes: (I, 2) float64 width and height as displayed; NaN where unknown.
        problems: What was found.
    """

    sizes: np.ndarray
    problems: list[Problem]


def find_missing_files(split: Split, folder: Path) -> Problem:
    """Images that are listed but not there; asks for one listing of each folder."""
    images = ImageFolder(folder)
    names = [frame.name for frame in split.index.frames]
    missing = [images.path(name) for name in names if images.find(name) is None]
    return Problem.of('image file missing', split.name, missing)


def check_images(split: Split, folder: Path, *, decode: bool) -> ImageFiles:
    """Open every image file that is there.

    Args:
        split: The split.
        folder: What the names of its frames are relative to.
        decode: Decode the pixels as well, which takes minutes for thousands of scenes.
    """
    images = ImageFolder(folder)
    paths = [Path(images.path(frame.name)) for frame in split.index.frames]
    found = _open_all(paths, decode, split.name)
    sizes = np.full((len(paths), 2), np.nan)
    damaged, turned = [], []
    for place, header in enumerate(found):
        if isinstance(header, str):
            damaged.append(header)
        elif header is not None:
            sizes[place] = header.width, header.height
            if header.turned:
                turned.append(str(paths[place]))
    problems = [
        Problem.of('image damaged', split.name, damaged),
        Problem.of('image turned by EXIF', split.name, turned),
        *_boxes_outside(split, sizes),
        _unusual_sizes(split, sizes),
    ]
    return ImageFiles(sizes, problems)


def _open_all(paths: list[Path], decode: bool, name: str) -> list[ImageHeader | str | None]:
    """For each path its header, what is wrong with it, or None where there is no file."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(_decode if decode else _open, paths)
        return list(tqdm(found, f'Opening {name} images', len(paths), delay=2, leave=False))


def _open(path: Path) -> ImageHeader | str | None:
    try:
        return read_header(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        return str(error)


def _decode(path: Path) -> ImageHeader | str | None:
    header = _open(path)
    if isinstance(header, ImageHeader):
        try:
            decode_upright(path.read_bytes())
        except ValueError as error:
            return f'{path}: {error}'
    return header


def _boxes_outside(split: Split, sizes: np.ndarray) -> Iterator[Problem]:
    size = sizes[split.images]
    lower, upper = split.bboxes[:, :2], split.bboxes[:, 2:]
    outside = ((lower >= size) | (upper <= 0)).any(1)
    beyond = ((upper > size + ROUNDING) | (lower < -ROUNDING)).any(1) & ~outside
    for kind, found in (
        ('box outside the image', outside),
        ('box reaching out of the image', beyond),
    ):
        cases = (
            f'{split.place(box)} in {size[box, 0]:g} x {size[box, 1]:g} pixels'
            for box in np.flatnonzero(found)
        )
        yield Problem.of(kind, split.name, cases)


def _unusual_sizes(split: Split, sizes: np.ndarray) -> Problem:
    """Images unlike the rest of their camera, where nearly all the rest has one size."""
    cases = []
    known = ~np.isnan(sizes).any(1) & (split.cameras != UNLABELLED)
    for camera in np.unique(split.cameras[known]):
        images = np.flatnonzero(known & (split.cameras == camera))
        kinds, which, counts = np.unique(
            sizes[images], axis=0, return_inverse=True, return_counts=True
        )
        usual = int(counts.argmax())
        if len(kinds) > 1 and counts[usual] >= USUAL_SHARE * len(images):
            wide, high = kinds[usual]
            cases += [
                f'{split.index.frames[image].name}: {sizes[image, 0]:g} x {sizes[image, 1]:g}, '
                f'camera {camera} has {wide:g} x {high:g}'
                for image in images[which.ravel() != usual]
            ]
    return Problem.of('image of another size', split.name, cases)
