"""The diagnosis of a search once more, word by word: one wrong detection at a time.

The tests compare the fast code with this, which shares only the names of the parts with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions
from mmps.evaluation.functional.diagnosis import Part

from .search_oracle import iou_of, threshold_of


@dataclass
class _Detection:
    bbox: np.ndarray
    score: float
    similarity: float
    part: Part | None = None  # what it is to this query where it is wrong


def _entries(
    annotations: SearchAnnotations,
    search: int,
    query: int,
    cross_camera: bool,
    gallery_size: int | str,
) -> list[tuple[int, np.ndarray | None]]:
    """Images searched, repeats included, and the box of the person in each or None."""
    own = int(annotations.query_images[query])
    if annotations.galleries:
        listed = annotations.galleries[gallery_size]
        boxes = dict(zip(listed.positives.tolist(), listed.bboxes, strict=True))
        rows = range(listed.splits[search], listed.splits[search + 1])
        entries = [(int(listed.images[row]), boxes.get(row)) for row in rows]
    else:
        entries = []
        for image in range(annotations.num_images):
            people = range(annotations.box_splits[image], annotations.box_splits[image + 1])
            wanted = annotations.query_person_ids[query]
            here = [annotations.bboxes[g] for g in people if annotations.person_ids[g] == wanted]
            if image != own:
                entries.append((image, here[0] if here else None))
    if cross_camera:
        cameras = annotations.cameras
        entries = [entry for entry in entries if cameras[entry[0]] != cameras[own]]
    return entries


def _part_of(
    annotations: SearchAnnotations,
    image: int,
    bbox: np.ndarray,
    query: int,
    iou_thr: float | str,
) -> Part:
    best = None
    for g in range(annotations.box_splits[image], annotations.box_splits[image + 1]):
        iou = iou_of(annotations.bboxes[g], bbox)
        if iou >= min(0.1, threshold_of(annotations.bboxes[g], iou_thr)):
            best = max(best or (0.0, -9), (iou, int(annotations.person_ids[g])))
    if best is None:
        return Part.BACKGROUND
    if best[1] == -1:
        return Part.UNLABELLED
    same = best[1] == annotations.query_person_ids[query]
    return Part.SAME_PERSON if same else Part.OTHER_IDENTITY


def _why_lost(
    annotations: SearchAnnotations,
    image: int,
    box: np.ndarray,
    detections: list[_Detection],
    score_thr: float,
    iou_thr: float | str,
) -> Part:
    people = annotations.bboxes[annotations.box_splits[image] : annotations.box_splits[image + 1]]
    needed = threshold_of(box, iou_thr)
    if any(iou_of(box, d.bbox) >= needed for d in detections):
        return Part.CUT
    for detection in detections:
        iou = iou_of(box, detection.bbox)
        nearest = all(iou >= iou_of(person, detection.bbox) for person in people)
        if detection.score >= score_thr and iou >= 0.1 and nearest:
            return Part.LOCALISED
    return Part.MISSED


def diagnosis_oracle(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: float | str = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    gallery_size: int | str = 100,
) -> list[dict[Part, float]]:
    """For each search with somebody to find, ordered by query, what each part takes from its AP."""
    place = {name: i for i, name in enumerate(predictions.image_names)}
    queries = list(range(annotations.num_queries))
    if annotations.galleries:
        queries = annotations.galleries[gallery_size].queries.tolist()
    results = []
    for query, search in sorted((query, search) for search, query in enumerate(queries)):
        entries = _entries(annotations, search, query, cross_camera, gallery_size)
        wanted = sum(box is not None for _, box in entries)
        if wanted == 0:
            continue
        loss = dict.fromkeys(Part, 0.0)
        results.append(loss)
        ranking: list[_Detection] = []
        hits: list[_Detection] = []
        done = set()
        for image, box in entries:
            if image in done:
                loss[Part.REPEATED] += 0 if box is None else 1 / wanted
                continue
            done.add(image)
            position = place[annotations.image_names[image]]
            detections = []
            for row in range(*predictions.image_splits[position : position + 2]):
                embedding = predictions.embeddings[row]
                if confidence_weighting:
                    embedding = embedding * predictions.scores[row]
                similarity = float(embedding @ predictions.query_embeddings[query])
                bbox = predictions.bboxes[row]
                part = _part_of(annotations, image, bbox, query, iou_thr)
                detections.append(_Detection(bbox, predictions.scores[row], similarity, part))
            confident = [d for d in detections if d.score >= score_thr]
            ranking += confident
            if box is None:
                continue
            right = [d for d in confident if iou_of(box, d.bbox) >= threshold_of(box, iou_thr)]
            if not right:
                reason = _why_lost(annotations, image, box, detections, score_thr, iou_thr)
                loss[reason] += 1 / wanted
                continue
            order = [Part.BACKGROUND, Part.UNLABELLED, Part.OTHER_IDENTITY, Part.SAME_PERSON]
            hit = max(right, key=lambda d: (d.similarity, order.index(d.part)))
            hit.part = None
            hits.append(hit)
        for hit in hits:
            above = [d for d in ranking if d.similarity >= hit.similarity]
            for detection in above:
                if detection.part is not None:
                    loss[detection.part] += 1 / (len(above) * wanted)
    return results
