"""Where each query is searched, and who should be found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .annotations import SearchAnnotations, SearchGalleries
from .ragged import gather_slices, splits_of


@dataclass(frozen=True)
class Positives:
    """The appearances that count as right answers.

    Attributes:
        splits: (Q+1,) int64. Rows ``splits[q]:splits[q+1]`` below belong to query q.
        images: (P,) int64, no image twice for one query.
        bboxes: (P, 4) float32 xyxy.
        counts: (Q,) int64 denominators of recall. More than the rows of a query where an explicit
            gallery repeats an image.
    """

    splits: np.ndarray
    images: np.ndarray
    bboxes: np.ndarray
    counts: np.ndarray


class Gallery(Protocol):
    """What the ranking needs to know about a retrieval protocol."""

    positives: Positives

    def columns(self, query: int) -> np.ndarray:
        """Rows (n,) int64 of the detections among which ``query`` is searched, each once."""


def make_gallery(
    annotations: SearchAnnotations,
    splits: np.ndarray,
    *,
    gallery_size: int = 100,
    cross_camera: bool = False,
) -> Gallery:
    """Choose the retrieval protocol.

    Args:
        annotations: Ground truth.
        splits: (I+1,) int64 rows of the detections of each image.
        gallery_size: Which explicit gallery to use; without effect on a test set that has none.
        cross_camera: Search only images of cameras other than the query's.

    Raises:
        ValueError: No gallery of that size, or a camera is unknown.
    """
    if cross_camera and (annotations.cameras < 0).any():
        image = annotations.image_names[int(np.flatnonzero(annotations.cameras < 0)[0])]
        raise ValueError(
            f'cross_camera: the camera of {image!r} is unknown; leave cross_camera off'
        )
    if not annotations.galleries:
        return EveryImage(annotations, splits, cross_camera)
    if gallery_size not in annotations.galleries:
        raise ValueError(
            f'gallery_sizes: there is no gallery of size {gallery_size}; '
            f'this test set has {sorted(annotations.galleries)}'
        )
    return ListedImages(annotations, splits, annotations.galleries[gallery_size], cross_camera)


class EveryImage:
    """Search every image but the query's own (PRW's protocol).

    Every other image that holds the query's person id is one positive. Where the id occurs twice in
    an image only its first annotated box counts.
    """

    def __init__(
        self, annotations: SearchAnnotations, splits: np.ndarray, cross_camera: bool
    ) -> None:
        self._own = annotations.query_images
        self._splits = splits
        self._all = np.arange(splits[-1])
        self._camera = annotations.cameras[self._own]
        self._elsewhere: dict[int, np.ndarray] = {}
        if cross_camera:
            camera = np.repeat(annotations.cameras, np.diff(splits))
            self._elsewhere = {int(c): np.flatnonzero(camera != c) for c in np.unique(self._camera)}
        self.positives = self._find_positives(annotations, cross_camera)

    def columns(self, query: int) -> np.ndarray:
        """See :class:`Gallery`."""
        if self._elsewhere:
            return self._elsewhere[int(self._camera[query])]
        own = self._own[query]
        return np.concatenate([self._all[: self._splits[own]], self._all[self._splits[own + 1] :]])

    def _find_positives(self, annotations: SearchAnnotations, cross_camera: bool) -> Positives:
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
        if cross_camera:
            keep &= annotations.cameras[image[boxes]] != self._camera[query]
        query, boxes = query[keep], boxes[keep]
        splits = splits_of(query, annotations.num_queries)
        return Positives(splits, image[boxes], annotations.bboxes[boxes], np.diff(splits))


class ListedImages:
    """Search the images listed for each query (CUHK-SYSU's protocol).

    Every entry with a box is one positive of recall's denominator. An image that a gallery repeats
    is searched once, with the box of its first entry. The query's own image stays if it is listed.
    """

    def __init__(
        self,
        annotations: SearchAnnotations,
        splits: np.ndarray,
        galleries: SearchGalleries,
        cross_camera: bool,
    ) -> None:
        queries = annotations.num_queries
        query = np.repeat(np.arange(queries), np.diff(galleries.splits))
        images, bboxes, positive = galleries.images, galleries.bboxes, galleries.positive
        if cross_camera:
            own = annotations.cameras[annotations.query_images]
            keep = annotations.cameras[images] != own[query]
            query, images, bboxes, positive = (x[keep] for x in (query, images, bboxes, positive))
        counts = np.bincount(query[positive], minlength=queries)
        first = np.unique(query * annotations.num_images + images, return_index=True)[1]
        query, images, bboxes, positive = (x[first] for x in (query, images, bboxes, positive))
        self._detections = splits
        self._images = images
        self._entries = splits_of(query, queries)
        self.positives = Positives(
            splits_of(query[positive], queries), images[positive], bboxes[positive], counts
        )

    def columns(self, query: int) -> np.ndarray:
        """See :class:`Gallery`."""
        listed = self._images[self._entries[query] : self._entries[query + 1]]
        return gather_slices(self._detections, listed)[1]
