"""Images that somebody annotated, as a training and a test file in COCO style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.coco.scenes import SPLITS, UNKNOWN_CAMERA
from mmps.formats.coco.writer import write_coco
from mmps.formats.scene_index import Frame, Query, SceneIndex, first_per_camera

from .identity_split import split_by_identity
from .tagged_images import TaggedImage, fit_boxes, numbered
from .tally import Tally

MOVED = 'labelled people in an image of the other split, unlabelled there'
SHARED = 'people in both splits, as the annotations say'
SPLIT_MADE = 'images split by people, because the annotations do not say'
TRAINING_QUERIES = 'marked queries in training images, not used'
LONELY = 'queries of people who are in no other test image'
QUERIES_MADE = 'queries chosen, the first box of each person in each camera'


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        splits: Index by ``'train'`` and ``'test'``; training ids as in the file.
        paths: The files.
        cameras: Number of each camera that had a name.
        tally: What was left out or decided.
    """

    splits: dict[str, SceneIndex]
    paths: dict[str, Path]
    cameras: dict[str, int]
    tally: Tally


def convert_own_data(
    images: Sequence[TaggedImage],
    image_root: Path,
    out: Path,
    *,
    tally: Tally,
    test_share: float = 0.3,
    seed: int = 0,
) -> Conversion:
    """Write ``train.json`` and ``test.json``.

    Images without a split are split by people, see :func:`~.identity_split.split_by_identity`.
    Without a marked query the test set gets one for each person in each camera.

    Args:
        images: What was annotated; changed in place.
        image_root: Folder that the names of the images are relative to.
        out: Folder to write to.
        tally: What was left out so far; goes on counting.
        test_share: Share of the people to test with, where no split is given.
        seed: Of that split.

    Raises:
        FileNotFoundError: An image is missing.
        ValueError: The annotations contradict themselves or cannot be split.
    """
    if not images:
        raise ValueError('the annotations name no image')
    fit_boxes(images, image_root, tally)
    people = numbered(box.person for i in images for box in i.boxes if box.person is not None)
    cameras = numbered((i.camera for i in images if i.camera is not None), start=1)
    own_people = _decide_split(images, people, test_share, seed, tally)
    splits: dict[str, SceneIndex] = {}
    for split in SPLITS:
        chosen = [image for image in images if image.split == split]
        frames = [_frame(image, people, cameras, own_people[split], tally) for image in chosen]
        if not frames:
            raise ValueError(
                f'{images[0].source}: neither this nor another image is for {split}; name the '
                'split of each image'
            )
        if split == 'test':
            splits[split] = SceneIndex(frames, 0, _queries(images, frames, people, tally))
        else:
            ids = np.unique(np.concatenate([frame.person_ids for frame in frames]))
            splits[split] = SceneIndex(frames, int((ids != UNLABELLED).sum()))
            if not splits[split].num_ids:
                raise ValueError(f'{images[0].source}: nobody in the training images is labelled')
    # written last, so that no error leaves a new file of one split beside an old one of the other
    names = {'people': _names(people), 'cameras': _names(cameras)}
    paths = {split: out / f'{split}.json' for split in SPLITS}
    for split, index in splits.items():
        write_coco(
            paths[split],
            index,
            test_mode=split == 'test',
            sizes=[image.size for image in images if image.split == split],
            names={key: pairs for key, pairs in names.items() if pairs},
        )
    return Conversion(splits, paths, cameras, tally)


def _names(numbers: Mapping[str, int]) -> list[tuple[int, str]]:
    """Numbers and the names they stand for; empty if the names were numbers themselves."""
    return sorted((n, name) for name, n in numbers.items() if str(n) != name)


def _decide_split(
    images: Sequence[TaggedImage],
    people: Mapping[str, int],
    test_share: float,
    seed: int,
    tally: Tally,
) -> dict[str, set[int]]:
    """Give each image a split, and tell whose ids count in which split."""
    everybody = set(people.values())
    known = [[people[b.person] for b in i.boxes if b.person is not None] for i in images]
    undecided = next((image for image in images if image.split is None), None)
    if undecided is None:
        seen: dict[str, set[int]] = {split: set() for split in SPLITS}
        for image, ids in zip(images, known, strict=True):
            seen[image.split].update(ids)
        tally.add(SHARED, images[0].source, len(seen['train'] & seen['test']))
        return dict.fromkeys(SPLITS, everybody)
    decided = next((image for image in images if image.split is not None), None)
    if decided is not None:
        raise ValueError(
            f'{undecided.source}: no split, but {decided.source} has one; give every image one or '
            'none'
        )
    queries = {people[b.person] for i in images for b in i.boxes if b.is_query and b.person}
    test_ids, is_test = split_by_identity(known, test_share, seed, queries)
    for image, tested in zip(images, is_test, strict=True):
        image.split = 'test' if tested else 'train'
    tally.add(SPLIT_MADE, images[0].name, len(images))
    return dict(train=everybody - test_ids, test=test_ids)


def _frame(
    image: TaggedImage,
    people: Mapping[str, int],
    cameras: Mapping[str, int],
    own_people: set[int],
    tally: Tally,
) -> Frame:
    ids = []
    for box in image.boxes:
        person = UNLABELLED if box.person is None else people[box.person]
        if person not in own_people and person != UNLABELLED:
            tally.add(MOVED, box.source)
            person = UNLABELLED
        ids.append(person)
    return Frame(
        name=image.name,
        bboxes=np.array([box.bbox for box in image.boxes], np.float32).reshape(-1, 4),
        person_ids=np.array(ids, np.int64),
        source=image.source,
        camera=UNKNOWN_CAMERA if image.camera is None else cameras[image.camera],
    )


def _queries(
    images: Sequence[TaggedImage], frames: Sequence[Frame], people: Mapping[str, int], tally: Tally
) -> list[Query]:
    """The marked queries of the test images, or else one per person and camera."""
    marked = []
    for image in images:
        for box in image.boxes:
            if box.is_query and box.person is None:
                raise ValueError(f'{box.source}: a query of an unlabelled person; give the person')
            if box.is_query and image.split == 'test':
                bbox = np.array(box.bbox, np.float32)
                marked.append(Query(image.name, bbox, people[box.person], box.source))
            elif box.is_query:
                tally.add(TRAINING_QUERIES, box.source)
    if not marked:
        made = first_per_camera(frames)
        if not made:
            raise ValueError(
                f'{images[0].source}: nobody is in two test images, so there is nobody to search '
                'for; label more people, or test with more of them'
            )
        tally.add(QUERIES_MADE, made[0].image_name, len(made))
        return made
    for query in marked:
        shown = [f for f in frames if f.name != query.image_name]
        if not any(query.person_id in frame.person_ids for frame in shown):
            tally.add(LONELY, query.source)
    return marked
