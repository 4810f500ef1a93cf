"""Baselines that need no training: what a score on a test set is worth.

Each one is given the ground-truth boxes, so it says what colour or layout alone achieve when nobody
has to be detected. All take a test set and the folder of its images, and give predictions whose
detections are the annotated boxes, of score 1. They raise FileNotFoundError where an image is
missing or cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional.annotations import SearchAnnotations
from mmps.evaluation.functional.predictions import SearchPredictions
from mmps.utils.image_files import decode_upright
from mmps.utils.image_folder import ImageFolder

RANDOM_DIM = 128
HSV_BINS = (8, 4, 4)
STRIPES = 6
THUMBNAIL = (8, 20)
"""Width and height to which the pixel baseline reduces a person."""

CropEmbedder = Callable[[np.ndarray], np.ndarray]


def random_baseline(
    annotations: SearchAnnotations, image_dir: str | Path | None = None, *, seed: int = 0
) -> SearchPredictions:
    """A random embedding for every box: chance level. The images are not read."""
    rng = np.random.default_rng(seed)
    gallery = rng.standard_normal((len(annotations.bboxes), RANDOM_DIM))
    queries = rng.standard_normal((len(annotations.query_bboxes), RANDOM_DIM))
    return _predictions(annotations, gallery, queries)


def hsv_baseline(
    annotations: SearchAnnotations, image_dir: str | Path, *, stripes: int = STRIPES
) -> SearchPredictions:
    """Hue-saturation-value histograms of horizontal stripes, compared by Bhattacharyya.

    The ``stripes`` are of equal height; 1 takes the whole box, less is a ``ValueError``.
    """
    if stripes < 1:
        raise ValueError(f'stripes is {stripes}; give at least 1')
    return _embed_all(annotations, Path(image_dir), partial(_hsv_histograms, stripes=stripes))


def pixel_baseline(annotations: SearchAnnotations, image_dir: str | Path) -> SearchPredictions:
    """Normalised correlation of people reduced to 8 x 20 pixels."""
    return _embed_all(annotations, Path(image_dir), _thumbnail)


BASELINES: dict[str, Callable[..., SearchPredictions]] = {
    'random': random_baseline,
    'hsv_stripes': hsv_baseline,
    'pixels': pixel_baseline,
}
"""Functions of (annotations, image_dir) by name."""


def _hsv_histograms(crop: np.ndarray, stripes: int) -> np.ndarray:
    hsv = cv2.cvtColor(crop, cv2.COLOR_BGR2HSV)
    edges = np.linspace(0, len(hsv), stripes + 1).round().astype(int)
    parts = []
    for top, bottom in zip(edges[:-1], edges[1:], strict=True):
        # A person of fewer rows than stripes still fills every stripe.
        stripe = np.ascontiguousarray(hsv[min(top, len(hsv) - 1) : max(bottom, top + 1)])
        ranges = [0, 180, 0, 256, 0, 256]
        histogram = cv2.calcHist([stripe], [0, 1, 2], None, list(HSV_BINS), ranges).ravel()
        # The square root turns the dot product into the Bhattacharyya coefficient.
        parts.append(np.sqrt(histogram / histogram.sum()))
    return np.concatenate(parts)


def _thumbnail(crop: np.ndarray) -> np.ndarray:
    small = cv2.resize(crop, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
    return (small - small.mean((0, 1))).ravel()


def _embed_all(
    annotations: SearchAnnotations, image_dir: Path, embed: CropEmbedder
) -> SearchPredictions:
    gallery: list[np.ndarray] = []
    queries: list[np.ndarray | None] = [None] * len(annotations.query_bboxes)
    splits, folder = annotations.box_splits, ImageFolder(image_dir)
    names = tqdm(annotations.image_names, 'Embedding', delay=2, leave=False, disable=None)
    for index, name in enumerate(names):
        wanted = np.flatnonzero(annotations.query_images == index)
        boxes = annotations.bboxes[splits[index] : splits[index + 1]]
        if not len(boxes) and not len(wanted):
            continue
        try:
            image = decode_upright(Path(folder.path(name)).read_bytes())
        except (OSError, ValueError) as error:
            raise FileNotFoundError(
                f'{image_dir / name} is missing or no image ({error}); give the folder of the test '
                'images'
            ) from error
        gallery += [embed(_crop(image, box)) for box in boxes]
        for query in wanted:
            queries[query] = embed(_crop(image, annotations.query_bboxes[query]))
    return _predictions(annotations, np.array(gallery), np.array(queries))


def _crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of an image inside a box; at least one pixel."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    x1, y1 = min(max(x1, 0), width - 1), min(max(y1, 0), height - 1)
    x2, y2 = min(max(x2, x1 + 1), width), min(max(y2, y1 + 1), height)
    return image[y1:y2, x1:x2]


def _predictions(
    annotations: SearchAnnotations, gallery: np.ndarray, queries: np.ndarray
) -> SearchPredictions:
    gallery, queries = _normalise(gallery), _normalise(queries)
    return SearchPredictions(
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=annotations.bboxes,
        scores=np.ones(len(annotations.bboxes), np.float32),
        embeddings=gallery,
        query_embeddings=queries,
        gt_embeddings=gallery,
    )


def _normalise(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit norm; a row of zeros, as a crop of one colour gives, becomes uniform."""
    vectors = np.where(np.abs(vectors).max(1, keepdims=True) > 0, vectors, 1.0)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
