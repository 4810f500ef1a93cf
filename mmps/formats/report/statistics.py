"""How much of what a split holds, as numbers and as distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED

from .split import Split

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class SplitStatistics:
    """What a split holds.

    Attributes:
        counts: Numbers of things, by what they are called.
        heights: (N,) height of each box in pixels.
        boxes_per_image: (I,).
        images_per_identity: (P,) images each identity is seen in.
        cameras_per_identity: (P,) known cameras each identity is seen by.
        images_per_camera: Number of images by camera, -1 where unknown.
        positives_per_query: Appearances to be found in each search, by gallery; ``'all images'``
            where each query is searched in every other image.
        image_sizes: Number of images by ``'width x height'``; empty where they were not looked at.
    """

    counts: dict[str, int | float]
    heights: np.ndarray
    boxes_per_image: np.ndarray
    images_per_identity: np.ndarray
    cameras_per_identity: np.ndarray
    images_per_camera: dict[int, int]
    positives_per_query: dict[str, np.ndarray]
    image_sizes: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Counts, and each distribution as quantiles and a histogram."""
        distributions = dict(
            box_height=self.heights,
            boxes_per_image=self.boxes_per_image,
            images_per_identity=self.images_per_identity,
            cameras_per_identity=self.cameras_per_identity,
        )
        return dict(
            **self.counts,
            **{name: describe(values) for name, values in distributions.items()},
            images_per_camera=self.images_per_camera,
            positives_per_query={
                name: describe(values) for name, values in self.positives_per_query.items()
            },
            image_sizes=self.image_sizes,
        )


def split_statistics(split: Split, sizes: np.ndarray | None = None) -> SplitStatistics:
    """What a split holds; ``sizes`` are (I, 2), NaN where an image could not be opened."""
    ids, images = split.appearances().T
    people, images_per_identity = np.unique(ids, return_counts=True)
    cameras = split.cameras[images]
    pairs = np.stack([ids, cameras], 1)[cameras != UNLABELLED]
    seen_by = np.unique(pairs, axis=0).reshape(-1, 2)[:, 0]
    known, per_camera = np.unique(split.cameras, return_counts=True)
    boxes, unlabelled = len(split.bboxes), int((~split.labelled).sum())
    return SplitStatistics(
        counts=dict(
            images=len(split.counts),
            boxes=boxes,
            labelled_boxes=boxes - unlabelled,
            unlabelled_share=unlabelled / boxes if boxes else 0.0,
            identities=len(people),
            cameras=int((known != UNLABELLED).sum()),
            queries=len(split.index.queries),
            galleries=len(split.index.galleries),
        ),
        heights=split.bboxes[:, 3] - split.bboxes[:, 1],
        boxes_per_image=split.counts,
        images_per_identity=images_per_identity,
        cameras_per_identity=np.bincount(np.searchsorted(people, seen_by), minlength=len(people)),
        images_per_camera=dict(zip(known.tolist(), per_camera.tolist(), strict=True)),
        positives_per_query=_positives(split),
        image_sizes=_count_sizes(sizes),
    )


def _positives(split: Split) -> dict[str, np.ndarray]:
    if not split.index.queries:
        return {}
    if split.index.galleries:
        return {
            str(name): np.diff(np.searchsorted(gallery.positives, gallery.splits))
            for name, gallery in split.index.galleries.items()
        }
    return {'all images': split.other_images_of_queries()}


def _count_sizes(sizes: np.ndarray | None) -> dict[str, int]:
    if sizes is None:
        return {}
    known = sizes[~np.isnan(sizes).any(1)]
    kinds, counts = np.unique(known, axis=0, return_counts=True)
    order = np.argsort(-counts, kind='stable')
    return {f'{kinds[k, 0]:g} x {kinds[k, 1]:g}': int(counts[k]) for k in order}


def describe(values: np.ndarray) -> dict[str, Any]:
    """Mean, extremes, quantiles and a histogram of ten bins; empty for no values."""
    if not len(values):
        return {}
    counts, edges = np.histogram(values, 10)
    quantiles = np.quantile(values, QUANTILES)
    return dict(
        mean=float(values.mean()),
        min=float(values.min()),
        max=float(values.max()),
        quantiles=dict(zip(map(str, QUANTILES), quantiles.tolist(), strict=True)),
        histogram=dict(counts=counts.tolist(), edges=edges.tolist()),
    )
