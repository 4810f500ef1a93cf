"""Where each query is searched, and who should be found there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .annotations import SearchAnnotations, SearchGalleries, gather_slices, owners_of, splits_of

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
        gallery_size: Names an explicit protocol, or :data:`EVERYWHERE`: every image is searched for
            the people that the largest gallery of a query shows, but the query's own image only if
            it is listed. Without effect on a test set that has none.
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
    rule, listed = (cross_camera, camera), annotations.galleries
    if not listed:
        return Gallery(annotations, None, *rule)
    if gallery_size in listed:
        return Gallery(annotations, listed[gallery_size], *rule)
    sizes = [size for size in listed if isinstance(size, int)]
    if gallery_size == EVERYWHERE and sizes:
        return Gallery(annotations, listed[max(sizes)], *rule, every_image=True)
    raise ValueError(
        f'gallery_sizes: there is no gallery {gallery_size!r}; this test set has {list(listed)}'
    )


class Gallery:
    """A retrieval protocol.

    Without listed galleries every image but the query's own is searched (PRW's protocol). Every
    other image that holds the query's person id is one positive. Where the id occurs twice in an
    image only its first annotated box counts.

    With listed ones the images listed for each query are searched (CUHK-SYSU's protocol). Every
    entry with a box is one positive of recall's denominator. An image that a gallery repeats is
    searched once, with the box of its first entry. The query's own image stays if it is listed.

    Attributes:
        queries: (S,) int64 query of each search, ascending.
        positives: Right answers of each search.
    """

    def __init__(
        self,
        annotations: SearchAnnotations,
        listed: SearchGalleries | None,
        cross_camera: bool = False,
        camera: int | None = None,
        *,
        every_image: bool = False,
    ) -> None:
        self._own_images, self._cameras = annotations.query_images, annotations.cameras
        self._cross_camera, self._camera = cross_camera, camera
        self._listed, self._every_image = listed, every_image or listed is None
        if listed is None:
            self.queries = np.arange(annotations.num_queries)
            self.positives = self._labelled_people(annotations)
        else:
            # ascending, so that the similarities of a query are computed once
            self._order = np.argsort(listed.queries, kind='stable')
            self.queries = listed.queries[self._order]
            self.positives = self._listed_people(listed)

    def searched(self, search: int) -> np.ndarray:
        """(I,) bool: the images that ``search`` looks through."""
        query, images = self.queries[search], np.full(len(self._cameras), self._every_image)
        own = self._own_images[query]
        if self._listed is None:
            images[own] = False
        elif self._every_image:
            images[own] = own in self._entries(search)
        else:
            images[self._entries(search)] = True
        return self._by_camera(images, slice(None), query)

    def _by_camera(
        self, keep: np.ndarray, images: np.ndarray | slice, queries: np.ndarray | int
    ) -> np.ndarray:
        """(n,) bool: ``keep`` (n,), less the pairs of image and query that the rule leaves out."""
        if self._cross_camera:
            keep &= self._cameras[images] != self._cameras[self._own_images[queries]]
        if self._camera is not None:
            keep &= self._cameras[images] == self._camera
        return keep

    def _labelled_people(self, annotations: SearchAnnotations) -> Positives:
        image, person = owners_of(annotations.box_splits), annotations.person_ids
        labelled = np.flatnonzero(person >= 0)
        # unique sorts by person, then image, and keeps the first box of each pair
        key = person[labelled] * annotations.num_images + image[labelled]
        first = labelled[np.unique(key, return_index=True)[1]]
        people, group = np.unique(annotations.query_person_ids, return_inverse=True)
        first = first[np.isin(person[first], people)]
        by_person = splits_of(np.searchsorted(people, person[first]), len(people))
        query, rows = gather_slices(by_person, group.reshape(-1))
        boxes = first[rows]
        keep = image[boxes] != self._own_images[query]
        keep = self._by_camera(keep, image[boxes], query)
        query, boxes = query[keep], boxes[keep]
        splits = splits_of(query, annotations.num_queries)
        return Positives(splits, image[boxes], annotations.bboxes[boxes], np.diff(splits))

    def _entries(self, search: int) -> np.ndarray:
        """Images listed for ``search``, in the file's order."""
        row = self._order[search]
        return self._listed.images[self._listed.splits[row] : self._listed.splits[row + 1]]

    def _listed_people(self, listed: SearchGalleries) -> Positives:
        searches = len(self.queries)
        row = np.searchsorted(listed.splits, listed.positives, side='right') - 1
        search = np.argsort(self._order)[row]
        order = np.argsort(search, kind='stable')
        search, entry, row = search[order], listed.positives[order], row[order]
        image, bbox = listed.images[entry].astype(np.int64), listed.bboxes[order]
        keep = self._by_camera(np.ones(len(image), bool), image, self.queries[search])
        counts = np.bincount(search[keep], minlength=searches)
        keep &= self._first_entries(search, entry - listed.splits[row])
        splits = splits_of(search[keep], searches)
        return Positives(splits, image[keep], bbox[keep], counts)

    def _first_entries(self, search: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(P,) bool: whether ``place``, within its search, is the first to list its image."""
        first = np.empty(len(self._cameras), np.int64)
        result = np.empty(len(search), bool)
        splits = splits_of(search, len(self.queries))
        for one in np.flatnonzero(np.diff(splits)):
            images, rows = self._entries(one), slice(*splits[one : one + 2])
            first[images[::-1]] = np.arange(len(images))[::-1]  # the last to be written stays
            result[rows] = first[images[place[rows]]] == place[rows]
        return result
