"""Annotated images as a training and a test file in COCO style, which share no person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.formats.coco import SPLITS, UNKNOWN_CAMERA, write_coco
from mmps.formats.scene_index import Frame, Query, SceneIndex, first_per_camera

from .annotated_images import AnnotatedImage, Annotations, Tally, fit_boxes, numbered

MOVED = 'labelled people in an image of the other split, unlabelled there'
SHARED = 'people in both splits, as the annotations say'
SPLIT_MADE = 'images split by people, because the annotations do not say'
TRAINING_QUERIES = 'marked queries in training images, not used'
LONELY = 'queries of people who are in no other test image'
QUERIES_MADE = 'queries chosen, the first box of each person in each camera'

STARTS = 20
"""Splits that are tried, each from another person."""


def convert_own_data(
    annotations: Annotations, out: Path, *, test_share: float = 0.3, seed: int = 0
) -> tuple[dict[str, SceneIndex], dict[str, int]]:
    """Write ``train.json`` and ``test.json``.

    Images without a split are split by people, see :func:`split_by_identity`. Without a marked
    query the test set gets one for each person in each camera.

    Args:
        annotations: What was annotated; changed in place.
        out: Folder to write to.
        test_share, seed: Of :func:`split_by_identity`, where no split is given.

    Returns:
        What the files hold, by ``'train'`` and ``'test'``, with training ids as in the file; and
        the number of each camera that has a name.
    """
    images, tally = list(annotations.images.values()), annotations.tally
    if not images:
        raise ValueError('the annotations name no image')
    fit_boxes(annotations)
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
            continue
        ids = {person for frame in frames for person in frame.person_ids.tolist()} - {UNLABELLED}
        if not ids:
            raise ValueError(f'{images[0].source}: nobody in the training images is labelled')
        splits[split] = SceneIndex(frames, len(ids))
    # Written last, so that no error leaves a new file of one split beside an old one of the other.
    names = {
        key: sorted((number, name) for name, number in numbers.items() if str(number) != name)
        for key, numbers in (('people', people), ('cameras', cameras))
    }
    names = {key: pairs for key, pairs in names.items() if pairs}
    for split, index in splits.items():
        sizes = [image.size for image in images if image.split == split]
        path = out / f'{split}.json'
        write_coco(path, index, test_mode=split == 'test', sizes=sizes, names=names)
    return splits, cameras


def _decide_split(
    images: Sequence[AnnotatedImage],
    people: Mapping[str, int],
    test_share: float,
    seed: int,
    tally: Tally,
) -> dict[str, set[int]]:
    """Give each image a split, and tell whose ids count in which split."""
    everybody = set(people.values())
    known = [[people[b.person] for b in i.boxes if b.person is not None] for i in images]
    undecided = [image for image in images if image.split is None]
    decided = [image for image in images if image.split is not None]
    if undecided and decided:
        raise ValueError(
            f'{undecided[0].source}: no split, but {decided[0].source} has one; give every image '
            'one or none'
        )
    if decided:
        seen: dict[str, set[int]] = {split: set() for split in SPLITS}
        for image, ids in zip(images, known, strict=True):
            seen[image.split].update(ids)
        tally.add(SHARED, images[0].source, len(seen['train'] & seen['test']))
        return dict.fromkeys(SPLITS, everybody)
    queries = {people[b.person] for i in images for b in i.boxes if b.is_query and b.person}
    test_ids, is_test = split_by_identity(known, test_share, seed, queries)
    for image, tested in zip(images, is_test, strict=True):
        image.split = 'test' if tested else 'train'
    tally.add(SPLIT_MADE, images[0].name, len(images))
    return dict(train=everybody - test_ids, test=test_ids)


def _frame(
    image: AnnotatedImage,
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
    images: Sequence[AnnotatedImage],
    frames: Sequence[Frame],
    people: Mapping[str, int],
    tally: Tally,
) -> list[Query]:
    """The marked queries of the test images, or else one per person and camera."""
    marked = []
    for image, box in ((i, b) for i in images for b in i.boxes if b.is_query):
        if box.person is None:
            raise ValueError(f'{box.source}: a query of an unlabelled person; give the person')
        if image.split == 'test':
            bbox = np.array(box.bbox, np.float32)
            marked.append(Query(image.name, bbox, people[box.person], box.source))
        else:
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
        shown = (query.person_id in f.person_ids for f in frames if f.name != query.image_name)
        tally.add(LONELY, query.source, not any(shown))
    return marked


def split_by_identity(
    people: Sequence[Collection[int]],
    test_share: float,
    seed: int,
    tested: Collection[int] = (),
) -> tuple[set[int], list[bool]]:
    """Choose test people, and for each image whether it is a test image.

    People who are seen together go to the same side as far as possible: a test set starts with
    somebody drawn at random, and grows by whoever shares the largest part of their company with it.
    An image goes to the side that most of its people are on. Draws, and images of nobody known, are
    dealt out so that the test set gets its share of the images. Of several such splits the one is
    taken in which fewest people are in an image of the other side, of those that leave neither side
    without an image if there are any.

    Args:
        people: Ids of the labelled people in each image.
        test_share: Share of the people to test with, 0..1.
        seed: Of everything random.
        tested: People who have to be on the test side, e.g. because they are queries.

    Returns:
        Ids of the test people, and one bool for each image.

    Raises:
        ValueError: Fewer than two people, or a share that leaves one side empty.
    """
    ids = sorted({person for image in people for person in image})
    wanted = max(round(test_share * len(ids)), len(set(tested)))
    if not 0 < wanted < len(ids):
        raise ValueError(
            f'{len(ids)} labelled people cannot be split with a test share of {test_share}; both '
            'training and test need some'
        )
    rng = np.random.default_rng(seed)
    column = {person: number for number, person in enumerate(ids)}
    pairs = [(row, column[person]) for row, image in enumerate(people) for person in set(image)]
    # (I, N) 1 where an image shows a person, and (N, N) how often two people are seen together
    shown = csr_array((np.ones(len(pairs)), np.array(pairs).T), shape=(len(people), len(ids)))
    company = (shown.T @ shown).tolil()
    company.setdiag(0)
    company = company.tocsr()
    first = sorted(column[person] for person in set(tested))
    splits = [_grow(company, first, wanted, rng) for _ in range(STARTS)]
    images = round(test_share * len(people))

    def sides(columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """(I,) and (I,) how many people of each image are to be tested, and how many are not."""
        there = shown[:, columns].sum(1)
        return there, shown.sum(1) - there

    def cost(columns: list[int]) -> tuple[bool, float]:
        there, elsewhere = sides(columns)
        tested, drawn = int((there > elsewhere).sum()), int((there == elsewhere).sum())
        tested = max(tested, min(tested + drawn, images))
        return not 0 < tested < len(people), float(np.minimum(there, elsewhere).sum())

    chosen = min(splits, key=cost)
    there, elsewhere = sides(chosen)
    is_test = there > elsewhere
    undecided = rng.permutation(np.flatnonzero(there == elsewhere))
    is_test[undecided[: max(images - int(is_test.sum()), 0)]] = True
    return {ids[column] for column in chosen}, is_test.tolist()


def _grow(company: csr_array, first: list[int], wanted: int, rng: np.random.Generator) -> list[int]:
    """Columns of ``wanted`` people to test with, ``first`` among them."""
    total = np.maximum(company.sum(1), 1)
    lots = rng.permutation(len(total))  # decide between equals
    shared = np.zeros(len(total))
    free = np.ones(len(total), bool)
    chosen: list[int] = []
    while len(chosen) < wanted:
        part = np.where(free, shared / total, -1)
        best = np.flatnonzero(part == part.max())
        drawn = int(best[np.argmin(lots[best])])
        chosen.append(first[len(chosen)] if len(chosen) < len(first) else drawn)
        free[chosen[-1]] = False
        shared += company[[chosen[-1]]].toarray().ravel()
    return chosen
