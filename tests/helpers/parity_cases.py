"""Random test sets with the traps of the official ones, written in the official layouts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from helpers import cuhk_sysu_files, prw_files

from mmps.benchmark.search_sets import SIZES, Size, random_test_set
from mmps.evaluation.functional import SearchAnnotations, SearchGalleries, SearchPredictions
from mmps.evaluation.functional.predictions import keep_confident
from mmps.formats.cuhk_sysu import CUHKSYSUFiles
from mmps.formats.loading import read_scenes
from mmps.formats.prw import PRWFiles
from mmps.formats.scene_index import to_search_annotations

from .search_cases import random_embeddings, random_predictions

GALLERY_SIZES = (50, 100, 500)
"""What the galleries of a small CUHK-SYSU set are called; their lengths are below."""

_LENGTHS = (14, 18, 22)
_DIM = 8


@dataclass(frozen=True)
class ParityCase:
    """A test set on disk and predictions for it.

    Attributes:
        root: Folder in the layout of ``layout``.
        layout: ``'prw'`` or ``'cuhk_sysu'``.
        annotations: The test set as mmps reads it from ``root``.
        predictions: Images in the order of ``annotations``, with people around the queries and
            embeddings of the annotated boxes. The detections of an image are in descending order
            of score, as models give them.
    """

    root: Path
    layout: str
    annotations: SearchAnnotations
    predictions: SearchPredictions


def small_case(root: Path, layout: str, rng: np.random.Generator) -> ParityCase:
    """24 images with small people, near misses and the traps; scores are tenths."""
    crowd = _crowd(rng, images=24, people=7)
    if layout == 'prw':
        annotations = _write_prw(root, _with_queries(crowd, rng, other_camera=True, each=3), rng)
    else:
        searched = _with_queries(crowd, rng, other_camera=False, each=1)
        annotations = _write_cuhk_sysu(root, _with_galleries(searched, rng))
    predictions = random_predictions(rng, annotations, dim=_DIM, with_gt=True)
    missed = np.repeat(rng.random(annotations.num_images) < 0.1, np.diff(predictions.image_splits))
    scores = np.where(missed, 0, predictions.scores.round(1))
    predictions = keep_confident(replace(predictions, scores=scores), 0.05)
    return _case(root, layout, annotations, predictions, rng)


def large_case(root: Path, layout: str, queries: int, rng: np.random.Generator) -> ParityCase:
    """A set of the official one's size, of which the first ``queries`` are searched."""
    size: Size = replace(SIZES[layout], queries=queries)
    if size.galleries:
        size = replace(size, galleries=size.galleries[:2])
    annotations, predictions = random_test_set(size, rng)
    write = _write_cuhk_sysu if size.galleries else _write_prw
    annotations = write(root, _with_somebody(annotations))
    shown = random_embeddings(rng, len(annotations.bboxes), size.dim)
    return _case(root, layout, annotations, replace(predictions, gt_embeddings=shown), rng)


def _case(
    root: Path,
    layout: str,
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    rng: np.random.Generator,
) -> ParityCase:
    image = np.repeat(np.arange(annotations.num_images), np.diff(predictions.image_splits))
    order = np.lexsort((-predictions.scores, image))
    queries = predictions.query_embeddings
    around = rng.integers(0, 5, len(queries))
    splits = np.concatenate([[0], np.cumsum(1 + around)])
    context = random_embeddings(rng, splits[-1], queries.shape[1])
    context[splits[:-1]] = queries
    return ParityCase(
        root,
        layout,
        annotations,
        replace(
            predictions,
            bboxes=predictions.bboxes[order],
            scores=predictions.scores[order],
            embeddings=predictions.embeddings[order],
            query_context_splits=splits,
            query_context_embeddings=context,
        ),
    )


def _with_somebody(annotations: SearchAnnotations) -> SearchAnnotations:
    """An unlabelled person in each empty image, at which the reference would stop."""
    splits = annotations.box_splits
    empty = np.flatnonzero(np.diff(splits) == 0)
    return replace(
        annotations,
        box_splits=splits + np.searchsorted(empty, np.arange(len(splits))),
        bboxes=np.insert(annotations.bboxes, splits[empty], (100, 100, 180, 300), axis=0),
        person_ids=np.insert(annotations.person_ids, splits[empty], -1),
    )


def _crowd(rng: np.random.Generator, images: int, people: int) -> SearchAnnotations:
    """Test images without queries: one to five people each, an id sometimes twice in an image."""
    counts = rng.integers(1, 6, images)
    ids = np.where(rng.random(counts.sum()) < 0.3, -1, rng.integers(0, people, counts.sum()))
    width, height = rng.uniform(6, 60, len(ids)), rng.uniform(14, 150, len(ids))
    x, y = rng.uniform(0, 500, len(ids)), rng.uniform(0, 200, len(ids))
    return SearchAnnotations(
        image_names=tuple(f'c{i % 6 + 1}s1_{i:06d}.jpg' for i in range(images)),
        cameras=np.arange(images) % 6 + 1,
        box_splits=np.concatenate([[0], np.cumsum(counts)]),
        bboxes=np.stack([x, y, x + width, y + height], 1),
        person_ids=np.where(ids < 0, -1, 484 + ids),
        query_images=[],
        query_bboxes=[],
        query_person_ids=[],
    )


def _with_queries(
    crowd: SearchAnnotations, rng: np.random.Generator, other_camera: bool, each: int
) -> SearchAnnotations:
    """Up to ``each`` queries per id that another image, or one of another camera, shows too."""
    image = np.repeat(np.arange(crowd.num_images), np.diff(crowd.box_splits))
    place = crowd.cameras[image] if other_camera else image
    rows: list[int] = []
    for person in np.unique(crowd.person_ids[crowd.person_ids >= 0]):
        own = np.flatnonzero(crowd.person_ids == person)
        if len(np.unique(place[own])) > 1:
            rows += rng.permutation(own)[:each].tolist()
    return replace(
        crowd,
        query_images=image[rows],
        query_bboxes=crowd.bboxes[rows],
        query_person_ids=crowd.person_ids[rows],
    )


def _with_galleries(annotations: SearchAnnotations, rng: np.random.Generator) -> SearchAnnotations:
    image = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
    galleries = {
        size: _galleries(annotations, image, length, rng)
        for size, length in zip(GALLERY_SIZES, _LENGTHS, strict=True)
    }
    return replace(annotations, galleries=galleries)


def _galleries(
    annotations: SearchAnnotations, image: np.ndarray, length: int, rng: np.random.Generator
) -> SearchGalleries:
    """Images of the person first, then others. The traps of the official files in a third each.

    The query's own image is listed, or an image of the person twice with the same box or another
    one, or another image twice.
    """
    images, positives, bboxes, splits = [], [], [], [0]
    for own, person in zip(annotations.query_images, annotations.query_person_ids, strict=True):
        rows = np.flatnonzero(annotations.person_ids == person)
        rows = rows[np.unique(image[rows], return_index=True)[1]]
        if rng.random() > 1 / 3:
            rows = rows[image[rows] != own]
        rows = rng.permutation(rows)[: rng.integers(1, length - 4)]
        if rng.random() < 1 / 3:
            again = np.flatnonzero(image == image[rows[-1]])
            rows = np.append(rows, rng.choice([rows[-1], *again]))
        others = rng.permutation(np.setdiff1d(np.arange(annotations.num_images), image[rows]))
        others = others[: length - len(rows)]
        if rng.random() < 1 / 3:
            others[-1] = others[0]
        positives += list(range(len(images), len(images) + len(rows)))
        bboxes += list(annotations.bboxes[rows])
        images += [*image[rows].tolist(), *others.tolist()]
        splits.append(len(images))
    return SearchGalleries(splits, images, positives, bboxes)


def _write_prw(
    root: Path, annotations: SearchAnnotations, rng: np.random.Generator | None = None
) -> SearchAnnotations:
    """As read back; with ``rng`` one box in ten starts left of or above its image."""
    if rng is not None:
        bboxes = annotations.bboxes.copy()
        beyond = rng.random(len(bboxes)) < 0.1
        bboxes[beyond, rng.integers(0, 2)] = rng.uniform(-6, -0.1, beyond.sum())
        annotations = replace(annotations, bboxes=bboxes)
    prw_files.write_test_set(root, annotations)
    return to_search_annotations(read_scenes(PRWFiles(root, test_mode=True))[0])


def _write_cuhk_sysu(root: Path, annotations: SearchAnnotations) -> SearchAnnotations:
    cuhk_sysu_files.write_test_set(root, annotations)
    files = CUHKSYSUFiles(root, test_mode=True, gallery_sizes=tuple(annotations.galleries))
    return to_search_annotations(read_scenes(files)[0])
