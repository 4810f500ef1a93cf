"""A folder in PRW's layout that is small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.tiny_frames import spread_people, write_frame
from scipy.io import savemat

from mmps.evaluation.functional import SearchAnnotations
from mmps.formats.prw import BOX_KEYS


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
    for folder in ('frames', 'annotations'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    splits = {
        'train': ([*range(1, num_ids), 932], train_frames),
        'test': ([*range(484, 484 + num_ids)], test_frames),
    }
    serial, queries = 0, []
    for split, (ids, frames) in splits.items():
        names, shown = [], set()
        appearing = spread_people(ids, frames, unlabelled=-2)
        for people in [*appearing, *([[]] if empty_frame else [])]:
            name = f'c{serial % 6 + 1}s1_{serial:06d}'
            boxes = _write_frame(root, name, people, size, rng)
            for person_id, *box in boxes:
                if split == 'test' and person_id > 0 and person_id not in shown:
                    queries.append(f'{person_id:.0f} {" ".join(f"{v:.2f}" for v in box)} {name}')
                    shown.add(person_id)
            names.append(name)
            serial += 1
        savemat(root / f'frame_{split}.mat', {f'img_index_{split}': _cells(names)})
    savemat(root / 'ID_train.mat', {'ID_train': np.array([splits['train'][0]], np.float64)})
    savemat(root / 'ID_test.mat', {'ID_test2': np.array([splits['test'][0]], np.float64)})
    (root / 'query_info.txt').write_bytes(''.join(f'{line}\r\n' for line in queries).encode())
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
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    ids = np.where(annotations.person_ids < 0, -2, annotations.person_ids)
    rows = np.column_stack([ids, _xywh(annotations.bboxes)])
    people = np.split(rows, annotations.box_splits[1:-1])
    for number, (name, own) in enumerate(zip(names, people, strict=True)):
        savemat(root / 'annotations' / f'{name}.jpg.mat', {BOX_KEYS[number % len(BOX_KEYS)]: own})
    savemat(root / 'frame_test.mat', {'img_index_test': _cells(names)})
    lines = [
        f'{person} {" ".join(f"{v:.2f}" for v in box)} {names[image]}\r\n'
        for person, box, image in zip(
            annotations.query_person_ids,
            _xywh(annotations.query_bboxes),
            annotations.query_images,
            strict=True,
        )
    ]
    (root / 'query_info.txt').write_bytes(''.join(lines).encode())
    return root


def _xywh(xyxy: np.ndarray) -> np.ndarray:
    corner, size = xyxy[:, :2].astype(np.float64), (xyxy[:, 2:] - xyxy[:, :2]).astype(np.float64)
    return np.concatenate([corner, size], 1).round(2)


def _write_frame(
    root: Path, name: str, people: list[int], size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Write image and annotation of one frame; returns its (n, 5) rows of id, x, y, w, h."""
    boxes = write_frame(root / 'frames' / f'{name}.jpg', people, size, rng)
    # Two decimals, as query_info.txt gives them, or a query's box would not be its frame's.
    rows = np.column_stack([np.array(people, np.float64), boxes]).round(2)
    savemat(root / 'annotations' / f'{name}.jpg.mat', {'box_new': rows})
    return rows


def _cells(names: list[str]) -> np.ndarray:
    cells = np.empty((len(names), 1), object)
    cells[:, 0] = names
    return cells
