"""In which crops a person is searched: the retrieval protocols of re-identification on CUHK03."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmps.evaluation.functional.annotations import SearchGalleries

REPEATS = 10
_SEED = 0


@dataclass(frozen=True)
class TestCrops:
    """The crops of a test set, one person in each.

    Attributes:
        people: (n,) int64 person of each crop.
        cameras: (n,) int64 camera of each crop; the views of a camera pair are two cameras.
        views: (n,) int64 view of its camera pair, 1 or 2.
        bboxes: (n, 4) float32 xyxy box of the person in each crop.
    """

    __test__ = False  # or pytest takes the name for that of a test

    people: np.ndarray
    cameras: np.ndarray
    views: np.ndarray
    bboxes: np.ndarray


def all_but_junk(crops: TestCrops, queries: np.ndarray, gallery: np.ndarray) -> SearchGalleries:
    """Search each query in the gallery without the pictures of that person by the same camera.

    Args:
        crops: The test set.
        queries: (Q,) int64 crops to search for.
        gallery: (G,) int64 crops to search in.

    Returns:
        At most one search for each query; query q of it is ``queries[q]``.
    """
    people, cameras = crops.people, crops.cameras
    junk = (people[queries, None] == people[gallery]) & (cameras[queries, None] == cameras[gallery])
    search, entry = np.nonzero(~junk)
    return _searches(crops, queries, np.arange(len(queries)), search, gallery[entry])


def single_gallery_shot(crops: TestCrops, *, any_view: bool = False) -> SearchGalleries:
    """Search each crop ten times, each time in one random crop of each person.

    The draws are raw output of a seeded PCG64, which is the same on every platform and with every
    version of NumPy.

    Args:
        crops: The test set; every crop of it is a query.
        any_view: Draw the pictures of other people from both views instead of the view that is not
            the query's. The query's own person is always drawn from the other view.

    Returns:
        At most ten searches for each crop.
    """
    identities, person = np.unique(crops.people, return_inverse=True)
    group = 2 * person + crops.views - 1
    order = np.argsort(group, kind='stable')
    bounds = np.searchsorted(group[order], np.arange(2 * len(identities) + 1))
    first, last = bounds[:-1].reshape(-1, 2), bounds[1:].reshape(-1, 2)
    other_view = 2 - crops.views
    first_drawn, last_drawn = first[:, other_view].T, last[:, other_view].T
    if any_view:
        own = person[:, None] == np.arange(len(identities))
        first_drawn = np.where(own, first_drawn, first[:, 0])
        last_drawn = np.where(own, last_drawn, last[:, 1])
    sizes = last_drawn - first_drawn
    draws = np.random.PCG64(_SEED).random_raw(REPEATS * sizes.size).reshape(REPEATS, *sizes.shape)
    places = first_drawn + (draws % np.maximum(sizes, 1).astype(np.uint64)).astype(np.int64)
    repeat, query, identity = np.nonzero(np.broadcast_to(sizes > 0, places.shape))
    every = np.arange(len(person))
    return _searches(
        crops,
        every,
        np.tile(every, REPEATS),
        repeat * len(person) + query,
        order[places[repeat, query, identity]],
    )


def _searches(
    crops: TestCrops, queries: np.ndarray, asked: np.ndarray, search: np.ndarray, images: np.ndarray
) -> SearchGalleries:
    """Galleries of all searches that can succeed; the field leaves the others out of its means.

    Args:
        crops: The test set.
        queries: (Q,) crop of each query.
        asked: (S,) query of each search.
        search: (M,) search of each gallery entry, ascending.
        images: (M,) crop of each gallery entry.
    """
    right = crops.people[images] == crops.people[queries[asked]][search]
    possible = np.bincount(search[right], minlength=len(asked)) > 0
    kept = possible[search]
    search, images, right = search[kept], images[kept], right[kept]
    counts = np.bincount(search, minlength=len(asked))[possible]
    positives = np.flatnonzero(right)
    return SearchGalleries(
        splits=np.concatenate([[0], np.cumsum(counts)]),
        images=images,
        positives=positives,
        bboxes=crops.bboxes[images[positives]],
        queries=asked[possible],
    )
