"""Search from one camera to another."""

from __future__ import annotations

import numpy as np

from .annotations import SearchAnnotations
from .galleries import Gallery, make_gallery
from .search_result import SearchResult


def camera_galleries(annotations: SearchAnnotations, gallery_size: int | str) -> dict[int, Gallery]:
    """For each camera the gallery of its images alone.

    Args:
        annotations: Ground truth.
        gallery_size: Which explicit protocol to take the images from; see
            :func:`~mmps.evaluation.functional.galleries.make_gallery`.

    Raises:
        ValueError: The camera of an image is unknown.
    """
    return {
        camera: make_gallery(annotations, gallery_size=gallery_size, camera=camera)
        for camera in np.unique(annotations.cameras).tolist()
    }


def by_query_camera(
    annotations: SearchAnnotations, results: dict[int, SearchResult]
) -> dict[str, SearchResult]:
    """Divide the results of :func:`camera_galleries` by the camera of the query.

    A search with nobody to find in the camera says nothing about it and is left out.

    Returns:
        ``'_c1_c2'`` (query camera, gallery camera) to the searches of that pair; pairs without any
        are missing.
    """
    pairs = {}
    for query_camera in np.unique(annotations.cameras[annotations.query_images]).tolist():
        for gallery_camera, result in results.items():
            here = annotations.cameras[annotations.query_images[result.queries]] == query_camera
            searches = result[here & (result.positives > 0)]
            if len(searches):
                pairs[f'_c{query_camera}_c{gallery_camera}'] = searches
    return pairs
