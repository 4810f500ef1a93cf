"""Problems of the boxes and identities of one split, or of two together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED

from .problem import Problem
from .split import Split, as_rows


def find_annotation_problems(split: Split) -> Iterator[Problem]:
    """What boxes and identities alone show."""
    yield Problem.of('box without area', split.name, split.removed)
    yield _repeated_boxes(split)
    yield _identities_twice_in_an_image(split)
    yield from _rarely_seen_identities(split)
    frames = split.index.frames
    empty = np.flatnonzero(split.counts == 0)
    yield Problem.of('image without people', split.name, (frames[i].name for i in empty))


def _repeated_boxes(split: Split) -> Problem:
    rows = as_rows(split.images, split.bboxes)
    _, first = np.unique(rows, axis=0, return_index=True)
    repeated = np.setdiff1d(np.arange(len(rows)), first)
    return Problem.of('box listed twice', split.name, map(split.place, repeated))


def _identities_twice_in_an_image(split: Split) -> Problem:
    labelled = np.flatnonzero(split.labelled)
    pairs = np.stack([split.images[labelled], split.person_ids[labelled]], 1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    repeated = np.delete(labelled, first)
    cases = (f'{split.place(box)}: {split.person(split.person_ids[box])}' for box in repeated)
    return Problem.of('identity twice in an image', split.name, cases)


def _rarely_seen_identities(split: Split) -> Iterator[Problem]:
    ids, images = split.appearances().T
    people, counts = np.unique(ids, return_counts=True)
    once = people[counts == 1]
    place = dict(zip(ids.tolist(), images.tolist(), strict=True))
    frames = split.index.frames
    yield Problem.of(
        'identity in one image',
        split.name,
        (f'{split.person(person)}: {frames[place[person]].name}' for person in once.tolist()),
    )
    cameras = split.cameras[images]
    known = cameras != UNLABELLED
    pairs = np.unique(np.stack([ids[known], cameras[known]], 1), axis=0).reshape(-1, 2)
    people, seen_by = np.unique(pairs[:, 0], return_counts=True)
    if len(np.unique(pairs[:, 1])) < 2:
        return
    single = np.setdiff1d(people[seen_by == 1], once)  # one image has one camera, and is told above
    camera = dict(pairs.tolist())
    yield Problem.of(
        'identity seen by one camera',
        split.name,
        (f'{split.person(person)}: camera {camera[person]}' for person in single.tolist()),
    )


def find_shared_identities(train: Split, test: Split) -> Problem:
    """Numbers that stand for somebody in both splits, if the splits are numbered alike."""
    raw = train.index.raw_ids
    seen = np.unique(train.person_ids[train.labelled])
    trained = np.empty(0, np.int64) if raw is None else raw[seen]
    shared = np.intersect1d(trained, test.person_ids[test.labelled])
    return Problem.of('identity of both splits', test.name, (f'identity {i}' for i in shared))
