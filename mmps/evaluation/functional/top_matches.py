"""The head of a ranking, to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .annotations import SearchAnnotations, check_indices
from .galleries import make_gallery
from .matching import IouRule, match_people
from .predictions import SearchPredictions, align_predictions, keep_confident


@dataclass(frozen=True)
class Match:
    """One detection in the ranking of a query.

    Attributes:
        image: Index into ``SearchAnnotations.image_names``.
        bbox: (4,) float32 xyxy in original pixels.
        similarity: To the query, -1..1: cosine, times the score if that weighs it.
        correct: Whether the metric counts it as the query's person.
    """

    image: int
    bbox: np.ndarray
    similarity: float
    correct: bool


def top_matches(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    queries: Iterable[int],
    top_k: int = 10,
    *,
    score_thr: float = 0.5,
    iou_thr: IouRule = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int | str = 100,
) -> list[list[Match]]:
    """The most similar detections of some queries, judged as the metric judges them.

    Right is the most similar detection with enough overlap in each image that holds the person, so
    a second detection of that person in the same image is wrong. Of equally similar detections the
    wrong ones stand first. Options are those of
    :func:`~mmps.evaluation.functional.search.evaluate_search`.

    Returns:
        For each query at most ``top_k`` matches, best first.

    Raises:
        ValueError: Predictions of another test set, or a query that does not exist or is not
            searched.
    """
    queries = np.array(list(queries), np.int64)
    check_indices('queries', queries, annotations.num_queries, 'queries')
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    splits = predictions.image_splits
    gallery = make_gallery(annotations, gallery_size=gallery_size, cross_camera=cross_camera)
    embeddings = predictions.embeddings
    if confidence_weighting:
        embeddings = embeddings * predictions.scores[:, None]
    # rounded from float64, so that equal embeddings are equally similar wherever they stand
    embeddings = embeddings.astype(np.float64)
    image_of_row = np.repeat(np.arange(annotations.num_images), np.diff(splits))
    rankings = []
    for query in queries:
        similarities = (embeddings @ predictions.query_embeddings[query]).astype(np.float32)
        correct = np.zeros(len(similarities), bool)
        search = int(np.searchsorted(gallery.queries, query))
        if search == len(gallery.queries) or gallery.queries[search] != query:
            raise ValueError(f'queries: gallery {gallery_size!r} does not search query {query}')
        wanted = slice(*gallery.positives.splits[search : search + 2])
        ((people, rows),) = match_people(
            gallery.positives.images[wanted],
            gallery.positives.bboxes[wanted],
            splits,
            predictions.bboxes,
            [iou_thr],
        )
        best_first = np.lexsort((-similarities[rows], people))
        correct[rows[best_first[np.unique(people[best_first], return_index=True)[1]]]] = True
        columns = np.flatnonzero(gallery.searched(search)[image_of_row])
        order = columns[np.lexsort((correct[columns], -similarities[columns]))][:top_k]
        rankings.append(
            [
                Match(
                    int(image_of_row[row]),
                    predictions.bboxes[row],
                    float(similarities[row]),
                    bool(correct[row]),
                )
                for row in order
            ]
        )
    return rankings
