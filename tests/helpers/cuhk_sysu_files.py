"""A folder in CUHK-SYSU's layout that is small enough for a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from helpers.tiny_frames import spread_people, write_frame

from mmps.evaluation.functional import SearchAnnotations
from mmps.formats.cuhk_sysu import (
    GALLERY_SIZES,
    Box,
    CUHKSYSUFiles,
    Entry,
    Search,
    write_cuhk_sysu,
)


def write_tiny_cuhk_sysu(
    root: str | Path,
    train_images: int = 4,
    test_images: int = 6,
    size: tuple[int, int] = (285, 64),
    num_ids: int = 5,
    gallery_sizes: Sequence[int] = GALLERY_SIZES,
    seed: int = 0,
    traps: bool = False,
) -> Path:
    """Write images of noise with one coloured rectangle per person, and the official files.

    Each identity appears in two images of its split, its first appearance in a test image being
    a query, and each image shows one unlabelled person besides. Numbers are stored as MATLAB does:
    boxes as bytes or words, wherever they fit. A gallery smaller than its name holds every
    image but the query's. The subset ``occlusion`` has the first query and one more, the second
    appearance of the second identity; ``resolution`` has the last query.

    Args:
        root: Folder to write to.
        train_images: Number of training images, at least 2.
        test_images: Number of test images, at least 4.
        size: (width, height) of the images.
        num_ids: Number of identities in each split, at least 4.
        gallery_sizes: Protocols to write.
        seed: Seed of pixels, places and galleries.
        traps: The first query's gallery starts with its own image; the second's repeats the
            positive image with the same box, the third's with another one, as a few official ones
            do. The fourth's has no entry. The first image of each split has a box without width, a
            box without height, and a labelled box once more.

    Returns:
        ``root`` as a path.

    Raises:
        ValueError: The numbers are too small.
    """
    if train_images < 2 or test_images < 4 or num_ids < 4:
        raise ValueError('at least 2 training images, 4 test images and 4 identities are needed')
    root, rng = Path(root), np.random.default_rng(seed)
    names = [f's{k + 1}.jpg' for k in range(train_images + test_images)]
    images = root / CUHKSYSUFiles.image_folder
    images.mkdir(parents=True, exist_ok=True)
    boxes: dict[str, list[Box]] = {}
    splits = []
    for part, first_id in ((names[:train_images], 0), (names[train_images:], num_ids)):
        ids = range(first_id, first_id + num_ids)
        shown: dict[int, list[Entry]] = {person_id: [] for person_id in ids}
        for name, people in zip(part, spread_people(ids, len(part), unlabelled=-1), strict=True):
            drawn = write_frame(images / name, people, size, rng)
            boxes[name] = [tuple(box) for box in drawn.astype(int).tolist()]
            for person_id, box in zip(people[1:], boxes[name][1:], strict=True):
                shown[person_id].append(Entry(name, box))
        splits.append(list(shown.values()))
        if traps:
            boxes[part[0]] += [(5, 5, 0, 40), (5, 5, 20, 0), boxes[part[0]][1]]
    pool = names[train_images:]
    protocols = _protocols(splits[1], boxes, pool, gallery_sizes, traps)
    write_cuhk_sysu(root, people=boxes, pool=pool, identities=splits[0], protocols=protocols)
    return root


def _protocols(
    identities: list[list[Entry]],
    boxes: Mapping[str, list[Box]],
    pool: list[str],
    gallery_sizes: Sequence[int],
    traps: bool,
) -> dict[int | str, list[Search]]:
    protocols: dict[int | str, list[Search]] = {}
    for size in gallery_sizes:
        searches = []
        for number, (query, positive) in enumerate(identities):
            others = [name for name in pool if name not in (query.image, positive.image)]
            chosen = np.random.default_rng(number).permutation(others)[: size - 1].tolist()
            gallery = [positive, *map(Entry, chosen)]
            if traps and number < 4:
                again = Entry(positive.image, boxes[positive.image][0])
                gallery = ([query, *gallery], [*gallery, positive], [*gallery, again], [])[number]
            searches.append(Search(f'p{number + 1}', query, gallery))
        protocols[size] = searches
    positive, query = identities[1]
    others = [Entry(name) for name in pool if name not in (query.image, positive.image)]
    further = Search('p2', query, [positive, *others])
    return {**protocols, 'occlusion': [searches[0], further], 'resolution': [searches[-1]]}


def write_test_set(root: str | Path, annotations: SearchAnnotations) -> Path:
    """Write any test set with galleries in the official layout, without images.

    Boxes lose their fractions, person ids become rows, cameras are lost. ``Train.mat`` is empty.

    Args:
        root: Folder to write to.
        annotations: The test set; queries of its galleries in order, or of a subset.

    Returns:
        ``root`` as a path.
    """
    root, names = Path(root), annotations.image_names
    people = np.split(annotations.bboxes, annotations.box_splits[1:-1])
    boxes = {name: _xywh(own) for name, own in zip(names, people, strict=True)}
    write_cuhk_sysu(root, people=boxes, pool=names, identities=[])
    queries = [
        Entry(names[image], box)
        for image, box in zip(
            annotations.query_images, _xywh(annotations.query_bboxes), strict=True
        )
    ]
    for protocol, galleries in annotations.galleries.items():
        entries = [Entry(names[image]) for image in galleries.images.tolist()]
        for row, box in zip(galleries.positives.tolist(), _xywh(galleries.bboxes), strict=True):
            entries[row] = Entry(entries[row].image, box)
        bounds = galleries.splits.tolist()
        searches = [
            Search(f'p{query + 1}', queries[query], entries[bounds[k] : bounds[k + 1]])
            for k, query in enumerate(galleries.queries.tolist())
        ]
        write_cuhk_sysu(root, protocols={protocol: searches})
    return root


def _xywh(xyxy: np.ndarray) -> list[Box]:
    corners = np.trunc(xyxy).astype(int)
    corners[:, 2:] -= corners[:, :2]
    return [tuple(row) for row in corners.tolist()]
