"""Where each query is searched, and who should be found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .annotations import SearchAnnotations, SearchGalleries, gather_slices, splits_of

EVERYWHERE = 'all'
"""Gallery of every test image, for test sets that list galleries of a fixed size."""


@dataclass(frozen=True)
class Positives:
    """The appearances that count as right answers.

    Attributes:
        splits: (S+1,) int64. Rows ``splits[s]:splits[s+1]`` below belong to search s.
        images: (P,) int64, no image twice for one search.
        bboxes: (P, 4) float32 xyxy.
        counts: (S,) int64 denominators of recall. More than the rows of a search where an explicit
            gallery repeats an image.
    """

    splits: np.ndarray
    images: np.ndarray
    bboxes: np.ndarray
    counts: np.ndarray


class Gallery(Protocol):
    """What the ranking needs to know about a retrieval protocol.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        positives: Right answers of each search.
    """

    queries: np.ndarray
    positives: Positives

    def searched(self, search: int) -> np.ndarray:
        """(I,) bool: the images that ``search`` looks through."""


@dataclass(frozen=True)
class Cameras:
    """Which images a query is searched in, going by their cameras.

    Attributes:
        of_images: (I,) int64 camera of each image.
        of_queries: (Q,) int64 camera of each query.
        others_only: Leave out the query's own camera.
        only: Keep this camera alone, or None.
    """

    of_images: np.ndarray
    of_queries: np.ndarray
    others_only: bool = False
    only: int | None = None

    def keep(self, images: np.ndarray | slice, queries: np.ndarray | int) -> np.ndarray:
        """(n,) bool for pairs of image and query."""
        cameras = self.of_images[images]
        kept = np.ones(len(cameras), bool)
        if self.others_only:
            kept &= cameras != self.of_queries[queries]
        if self.only is not None:
            kept &= cameras == self.only
        return kept


def make_gallery(
    annotations: SearchAnnotations,
    *,
    gallery_size: int | str = 100,
    cross_camera: bool = False,
    camera: int | None = None,
) -> Gallery:
    """Choose the retrieval protocol.

    Args:
        annotations: Ground truth.
        gallery_size: Which explicit protocol to use, by size or name, or :data:`EVERYWHERE`;
            without effect on a test set that has none.
        cross_camera: Search only images of cameras other than the query's.
        camera: Search only images of this camera.

    Raises:
        ValueError: No query, no protocol of that size or name, or a camera is unknown.
    """
    if not annotations.num_queries:
        raise ValueError('query_images: this test set has no query, so there is nothing to search')
    unknown = np.flatnonzero(annotations.cameras < 0)
    if len(unknown) and (cross_camera or camera is not None):
        name = annotations.image_names[unknown[0]]
        option = 'cross_camera' if cross_camera else 'camera_pairs'
        raise ValueError(f'{option}: the camera of {name!r} is unknown; leave {option} off')
    of_queries = annotations.cameras[annotations.query_images]
    cameras = Cameras(annotations.cameras, of_queries, cross_camera, camera)
    listed = annotations.galleries
    if not listed:
        return EveryImage(annotations, cameras)
    if gallery_size in listed:
        return ListedImages(annotations, cameras, listed[gallery_size])
    sizes = [size for size in listed if isinstance(size, int)]
    if gallery_size == EVERYWHERE and sizes:
        return ListedPeople(annotations, cameras, listed[max(sizes)])
    raise ValueError(
        f'gallery_sizes: there is no gallery {gallery_size!r}; this test set has {list(listed)}'
    )


class EveryImage:
    """Search every image but the query's own (PRW's protocol).

    Every other image that holds the query's person id is one positive. Where the id occurs twice in
    an image only its first annotated box counts.
    """

    def __init__(self, annotations: SearchAnnotations, cameras: Cameras) -> None:
        self.queries = np.arange(annotations.num_queries)
        self._own, self._cameras = annotations.query_images, cameras
        self.positives = self._find_positives(annotations)

    def searched(self, search: int) -> np.ndarray:
        """See :class:`Gallery`."""
        images = self._cameras.keep(slice(None), search)
        images[self._own[search]] = False
        return images

    def _find_positives(self, annotations: SearchAnnotations) -> Positives:
        image = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
        person = annotations.person_ids
        labelled = np.flatnonzero(person >= 0)
        # unique sorts by person, then image, and keeps the first box of each pair
        key = person[labelled] * annotations.num_images + image[labelled]
        first = labelled[np.unique(key, return_index=True)[1]]
        people, group = np.unique(annotations.query_person_ids, return_inverse=True)
        first = first[np.isin(person[first], people)]
        by_person = splits_of(np.searchsorted(people, person[first]), len(people))
        query, rows = gather_slices(by_person, group.reshape(-1))
        boxes = first[rows]
        keep = image[boxes] != self._own[query]
        keep &= self._cameras.keep(image[boxes], query)
        query, boxes = query[keep], boxes[keep]
        splits = splits_of(query, annotations.num_queries)
        return Positives(splits, image[boxes], annotations.bboxes[boxes], np.diff(splits))


class ListedImages:
    """Search the images listed for each query (CUHK-SYSU's protocol).

    Every entry with a box is one positive of recall's denominator. An image that a gallery repeats
    is searched once, with the box of its first entry. The query's own image stays if it is listed.
    """

    def __init__(
        self, annotations: SearchAnnotations, cameras: Cameras, listed: SearchGalleries
    ) -> None:
        # ascending, so that the similarities of a query are computed once
        self._order = np.argsort(listed.queries, kind='stable')
        self.queries = listed.queries[self._order]
        self._listed, self._cameras = listed, cameras
        self._own = annotations.query_images
        self._num_images = annotations.num_images
        self.positives = self._find_positives()

    def searched(self, search: int) -> np.ndarray:
        """See :class:`Gallery`."""
        images = np.zeros(self._num_images, bool)
        images[self._entries(search)] = True
        images &= self._cameras.keep(slice(None), self.queries[search])
        return images

    def _entries(self, search: int) -> np.ndarray:
        """Images listed for ``search``, in the file's order."""
        row = self._order[search]
        return self._listed.images[self._listed.splits[row] : self._listed.splits[row + 1]]

    def _find_positives(self) -> Positives:
        listed, searches = self._listed, len(self.queries)
        row = np.searchsorted(listed.splits, listed.positives, side='right') - 1
        search = np.argsort(self._order)[row]
        order = np.argsort(search, kind='stable')
        search, entry, row = search[order], listed.positives[order], row[order]
        image, bbox = listed.images[entry].astype(np.int64), listed.bboxes[order]
        keep = self._cameras.keep(image, self.queries[search])
        counts = np.bincount(search[keep], minlength=searches)
        keep &= self._first_entries(search, entry - listed.splits[row])
        splits = splits_of(search[keep], searches)
        return Positives(splits, image[keep], bbox[keep], counts)

    def _first_entries(self, search: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(P,) bool: whether ``place``, within its search, is the first to list its image."""
        first = np.empty(self._num_images, np.int64)
        result = np.empty(len(search), bool)
        splits = splits_of(search, len(self.queries))
        for one in np.flatnonzero(np.diff(splits)):
            images, rows = self._entries(one), slice(*splits[one : one + 2])
            first[images[::-1]] = np.arange(len(images))[::-1]  # the last to be written stays
            result[rows] = first[images[place[rows]]] == place[rows]
        return result


class ListedPeople(ListedImages):
    """Search every image for the people that the listed gallery of each query shows.

    The query's own image is left out unless it is listed.
    """

    def searched(self, search: int) -> np.ndarray:
        """See :class:`Gallery`."""
        query = self.queries[search]
        own = self._own[query]
        images = self._cameras.keep(slice(None), query)
        images[own] &= own in self._entries(search)
        return images
