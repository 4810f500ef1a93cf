"""Training and test sets that share no person, from images that nobody has split yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy.sparse import csr_array

STARTS = 20
"""Splits that are tried, each from another person."""


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
    shown = _shown(people, ids)
    company = (shown.T @ shown).tolil()
    company.setdiag(0)
    first = [ids.index(person) for person in sorted(set(tested))]
    splits = [_grow(company.tocsr(), first, wanted, rng) for _ in range(STARTS)]
    images = round(test_share * len(people))

    def cost(columns: list[int]) -> tuple[bool, float]:
        there, elsewhere = _sides(shown, columns)
        tested, drawn = int((there > elsewhere).sum()), int((there == elsewhere).sum())
        tested = max(tested, min(tested + drawn, images))
        return not 0 < tested < len(people), float(np.minimum(there, elsewhere).sum())

    chosen = min(splits, key=cost)
    there, elsewhere = _sides(shown, chosen)
    is_test = there > elsewhere
    undecided = rng.permutation(np.flatnonzero(there == elsewhere))
    missing = images - int(is_test.sum())
    is_test[undecided[: max(missing, 0)]] = True
    return {ids[column] for column in chosen}, is_test.tolist()


def _shown(people: Sequence[Collection[int]], ids: list[int]) -> csr_array:
    """(I, N) 1 where an image shows a person."""
    column = {person: number for number, person in enumerate(ids)}
    pairs = [(row, column[person]) for row, image in enumerate(people) for person in set(image)]
    rows, columns = np.array(pairs).T
    return csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(people), len(ids)))


def _grow(company: csr_array, first: list[int], wanted: int, rng: np.random.Generator) -> list[int]:
    """Columns of the people to test with, ``first`` among them.

    Args:
        company: (N, N) in how many images each two people are seen together.
        first: Columns to begin with.
        wanted: How many.
        rng: Decides between equals.
    """
    total = np.maximum(company.sum(1), 1)
    lots = rng.permutation(len(total))
    shared = np.zeros(len(total))
    free = np.ones(len(total), bool)
    chosen: list[int] = []
    while len(chosen) < wanted:
        part = np.where(free, shared / total, -1)
        best = np.flatnonzero(part == part.max())
        drawn = int(best[np.argmin(lots[best])])
        person = first[len(chosen)] if len(chosen) < len(first) else drawn
        chosen.append(person)
        free[person] = False
        shared += company[[person]].toarray().ravel()
    return chosen


def _sides(shown: csr_array, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(I,) and (I,) how many people of each image are to be tested, and how many are not."""
    tested = np.zeros(shown.shape[1])
    tested[columns] = 1
    there = shown @ tested
    return there, shown.sum(1) - there
