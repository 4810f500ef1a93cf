"""Time the evaluation on random predictions of a full test set's size.

Beside it stands the bare matrix product of all queries with all detections, which no evaluation
can do without.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchPredictions,
    evaluate_detection,
    evaluate_search,
)
from mmps.utils.benchmark.measurement import Measurement, best_time


@dataclass(frozen=True)
class Size:
    """How much there is to evaluate; the defaults are PRW's test set."""

    images: int = 6112
    boxes: int = 25062
    labelled: int = 19127
    people: int = 544
    queries: int = 2057
    detections: int = 40000
    dim: int = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    for name, value in vars(Size()).items():
        parser.add_argument(f'--{name}', type=int, default=value, help='default: %(default)s')
    parser.add_argument('--repeats', type=int, default=3, help='best of this many runs')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure."""
    size = Size(**{name: getattr(arguments, name) for name in vars(Size())})
    annotations, predictions = random_test_set(size, np.random.default_rng(0))

    def seconds(name: str, function) -> Measurement:
        return Measurement(name, best_time(function, arguments.repeats), 's')

    def search(**options):
        return lambda: evaluate_search(annotations, predictions, **options)

    return [
        seconds('matrix product', lambda: product(predictions)),
        seconds('search', search()),
        seconds('search, cross-camera', search(cross_camera=True)),
        seconds('search, context matching', search(context_matching=ContextMatching())),
        seconds('detection', lambda: evaluate_detection(annotations, predictions)),
        Measurement('peak memory of the process', peak_memory(), 'MiB'),
    ]


def product(predictions: SearchPredictions, rows: int = 256) -> None:
    """All similarities, some queries at a time, as the evaluation computes them."""
    for start in range(0, len(predictions.query_embeddings), rows):
        predictions.query_embeddings[start : start + rows] @ predictions.embeddings.T


def peak_memory() -> float:
    """Largest resident size of this process so far, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == 'darwin' else 2**10)


def random_test_set(
    size: Size, rng: np.random.Generator
) -> tuple[SearchAnnotations, SearchPredictions]:
    """A test set of the given size, and predictions that find most people and confuse many."""
    image = np.sort(rng.integers(0, size.images, size.boxes))
    bboxes = _boxes(size.boxes, rng)
    person_ids = np.full(size.boxes, -1)
    labelled = rng.choice(size.boxes, size.labelled, replace=False)
    person_ids[labelled] = rng.integers(0, size.people, size.labelled)
    query = rng.choice(labelled, size.queries, replace=False)
    every_image = np.arange(size.images + 1)
    annotations = SearchAnnotations(
        image_names=tuple(f'c{i % 6 + 1}s1_{i:06d}.jpg' for i in range(size.images)),
        cameras=np.arange(size.images) % 6,
        box_splits=np.searchsorted(image, every_image),
        bboxes=bboxes,
        person_ids=person_ids,
        query_images=image[query],
        query_bboxes=bboxes[query],
        query_person_ids=person_ids[query],
    )
    # people first, cut or filled up with false alarms to the wanted number of detections
    found = rng.permutation(size.boxes)[: size.detections]
    false_alarms = size.detections - len(found)
    detected_image = np.concatenate([image[found], rng.integers(0, size.images, false_alarms)])
    order = np.argsort(detected_image, kind='stable')
    noise = rng.normal(0, 4, (len(found), 4)).astype(np.float32)
    detected = np.concatenate([bboxes[found] + noise, _boxes(false_alarms, rng)])
    looks = rng.standard_normal((size.people + 1, size.dim), np.float32)
    identity = np.concatenate([person_ids[found], rng.integers(0, size.people, false_alarms)])
    predictions = SearchPredictions(
        image_names=annotations.image_names,
        image_splits=np.searchsorted(detected_image[order], every_image),
        bboxes=detected[order],
        scores=rng.uniform(0.5, 1, size.detections),
        embeddings=_embeddings(looks[identity[order]], rng),
        query_embeddings=_embeddings(looks[annotations.query_person_ids], rng),
    )
    return annotations, predictions


def _boxes(n: int, rng: np.random.Generator) -> np.ndarray:
    corner = rng.uniform((0, 0), (1700, 680), (n, 2))
    return np.concatenate([corner, corner + rng.uniform((40, 80), (150, 400), (n, 2))], 1).astype(
        np.float32
    )


def _embeddings(looks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    values = looks + 1.5 * rng.standard_normal(looks.shape, np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
