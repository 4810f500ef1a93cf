"""A folder in PRW's layout that is small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.tiny_frames import spread_people, write_frame

from mmps.evaluation.functional import SearchAnnotations
from mmps.formats.mat import write_mat
from mmps.formats.prw import BOX_KEYS, write_prw


def write_tiny_prw(
    root: str | Path,
    train_frames: int = 4,
    test_frames: int = 4,
    size: tuple[int, int] = (160, 120),
    num_ids: int = 5,
    seed: int = 0,
    empty_frame: bool = False,
) -> Path:
    """Write frames of noise with one coloured rectangle per person, and PRW's official files.

    Each identity appears in at least two frames of its split, each frame shows one unlabelled
    person besides, cameras 1 to 6 take turns, and every test identity is a query once. Training
    ids have PRW's gap: 1, 2, ... and 932; test ids start at 484.

    Args:
        root: Folder to write to.
        train_frames: Number of training frames, at least 2.
        test_frames: Number of test frames, at least 2.
        size: (width, height) of the frames.
        num_ids: Number of identities in each split, at least 2.
        seed: Seed of pixels and places.
        empty_frame: Whether to add a frame without any person to each split.

    Returns:
        ``root`` as a path.

    Raises:
        ValueError: The numbers do not allow two appearances of each identity.
    """
    if min(train_frames, test_frames, num_ids) < 2:
        raise ValueError('at least two frames per split and two identities are needed')
    root, rng = Path(root), np.random.default_rng(seed)
    (root / 'frames').mkdir(parents=True, exist_ok=True)
    splits = {
        'train': ([*range(1, num_ids), 932], train_frames),
        'test': ([*range(484, 484 + num_ids)], test_frames),
    }
    serial = 0
    for split, (ids, frames) in splits.items():
        written, first = {}, {}
        appearing = spread_people(ids, frames, unlabelled=-2)
        for people in [*appearing, *([[]] if empty_frame else [])]:
            name = f'c{serial % 6 + 1}s1_{serial:06d}'
            boxes = write_frame(root / 'frames' / f'{name}.jpg', people, size, rng)
            # Two decimals, as PRW's own files give them.
            written[name] = np.column_stack([np.array(people, np.float64), boxes]).round(2)
            for row in written[name]:
                first.setdefault(row[0], (name, row))
            serial += 1
        queries = [place for person_id, place in first.items() if person_id > 0]
        write_prw(root, split, written, queries)
    return root


def write_test_set(root: str | Path, annotations: SearchAnnotations) -> Path:
    """Write any test set whose images are called as PRW's, without images.

    Coordinates are rounded to two decimals; the annotation files take turns in what they call
    their variable.

    Args:
        root: Folder to write to.
        annotations: The test set.

    Returns:
        ``root`` as a path.
    """
    root, names = Path(root), [Path(name).stem for name in annotations.image_names]
    ids = np.where(annotations.person_ids < 0, -2, annotations.person_ids)
    rows = np.column_stack([ids, _xywh(annotations.bboxes)])
    people = np.split(rows, annotations.box_splits[1:-1])
    queries = np.column_stack([annotations.query_person_ids, _xywh(annotations.query_bboxes)])
    asked = [
        (names[image], row) for image, row in zip(annotations.query_images, queries, strict=True)
    ]
    write_prw(root, 'test', dict(zip(names, people, strict=True)), asked)
    for number, name in enumerate(names):
        if key := number % len(BOX_KEYS):
            write_mat(root / 'annotations' / f'{name}.jpg.mat', **{BOX_KEYS[key]: people[number]})
    return root


def _xywh(xyxy: np.ndarray) -> np.ndarray:
    corner, size = xyxy[:, :2].astype(np.float64), (xyxy[:, 2:] - xyxy[:, :2]).astype(np.float64)
    return np.concatenate([corner, size], 1).round(2)
