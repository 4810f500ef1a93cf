"""Who is who in CUHK-SYSU: ids for the boxes of its images."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.mat.mat_file import read_variable

from .images import image_name, whole_boxes
from .searches import Searches

MAX_UNMATCHED = 0.01


class Identity(NamedTuple):
    """A labelled person: id, where it is written, and pairs of image name and (4,) xyxy."""

    person_id: int
    source: str
    shown: list[tuple[str, np.ndarray]]


def read_identities(path: Path) -> list[Identity]:
    """The training identities in ``Train.mat``; their ids are its rows, counted from 0.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not readable or of another form; the message names the row.
    """
    identities = []
    for row, cell in enumerate(read_variable(path, 'Train').ravel('F')):
        source = f'{path}: row {row} (counted from 0)'
        try:
            scenes = cell['scene'].item().ravel('F')
            shown = [
                (image_name(scene['imname']), whole_boxes(scene['idlocate'].reshape(1, 4))[0])
                for scene in scenes
            ]
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f'{source} is not of the form idname, nAppear, scene(imname, idlocate, ishard) '
                f'with boxes x, y, width, height: {error}'
            ) from None
        identities.append(Identity(row, source, shown))
    return identities


def searched_identities(searches: Searches, images: Sequence[str]) -> Iterator[Identity]:
    """Each query with its person in its gallery; ids are rows counted from 1."""
    galleries = searches.galleries
    bounds = np.searchsorted(galleries.positives, galleries.splits)
    shown_in = galleries.images[galleries.positives]
    for row, (name, bbox) in enumerate(
        zip(searches.query_images, searches.query_bboxes, strict=True)
    ):
        entries = range(bounds[row], bounds[row + 1])
        found = [(images[shown_in[entry]], galleries.bboxes[entry]) for entry in entries]
        source = f'{searches.path}: row {row} (counted from 0)'
        yield Identity(row + 1, source, [(name, bbox), *found])


def attach_ids(
    people: Mapping[str, np.ndarray],
    identities: Iterable[Identity],
    path: Path,
    merge: bool = False,
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Give annotated people the ids of the identities shown in exactly their boxes.

    Of several people with one box the first gets the id. The field's reference loader passes over
    an identity's box that nobody has, so a few of them are warned about only.

    Args:
        people: Image name -> (n, 4) xyxy.
        identities: The labelled people.
        path: The file they come from.
        merge: Whether identities that share a box become one, with the id of the first.

    Returns:
        Image name -> (n,) int64 ids, -1 for unlabelled people; the id of each identity.

    Raises:
        ValueError: More than one in a hundred boxes are nobody's.
    """
    ids = {name: np.full(len(bboxes), UNLABELLED) for name, bboxes in people.items()}
    given, unmatched, total = [], [], 0
    for person_id, source, shown in identities:
        total += len(shown)
        places = []
        for name, bbox in shown:
            rows = np.flatnonzero((people[name] == bbox).all(1)) if name in people else ()
            if len(rows):
                places.append((name, rows[0]))
            else:
                unmatched.append(f'{bbox.tolist()} in {name!r} of {source}')
        before = [int(ids[name][row]) for name, row in places if ids[name][row] != UNLABELLED]
        given.append(before[0] if merge and before else person_id)
        for name, row in places:
            ids[name][row] = given[-1]
    if unmatched:
        message = (
            f'{path}: {len(unmatched)} of {total} labelled boxes are no box (x1, y1, x2, y2) that '
            f'Images.mat gives for an image of this split, the first {unmatched[0]}'
        )
        if len(unmatched) > MAX_UNMATCHED * total:
            raise ValueError(f'{message}; are these files of one data set?')
        warnings.warn(f'{message}; these people stay unlabelled', stacklevel=2)
    return ids, given
