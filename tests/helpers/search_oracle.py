"""Person-search evaluation once more, slowly: loops that follow the protocol word by word.

The tests compare the fast code with this. It shares no code with it, and treats one query, one
image and one detection at a time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchGalleries,
    SearchPredictions,
)
from mmps.evaluation.functional.diagnosis import Part


def iou_of(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    ax1, ay1, ax2, ay2 = (float(v) for v in a)
    bx1, by1, bx2, by2 = (float(v) for v in b)
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    return inter / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter)


def threshold_of(box: np.ndarray, iou_thr: float | str) -> float:
    """IoU that counts as finding ``box``."""
    if iou_thr != 'adaptive':
        return float(iou_thr)
    width, height = float(box[2]) - float(box[0]), float(box[3]) - float(box[1])
    return min(0.5, width * height / ((width + 10) * (height + 10)))


def step_average_precision(labels: list[bool], scores: list[float]) -> float:
    """Area under the step-wise precision-recall curve, one point per distinct score."""
    area, recall_before = 0.0, 0.0
    for score in sorted(set(scores), reverse=True):
        above = [label for label, s in zip(labels, scores, strict=True) if s >= score]
        recall = sum(above) / sum(labels)
        area += (recall - recall_before) * sum(above) / len(above)
        recall_before = recall
    return area


@dataclass
class _Scene:
    """The detections of one image that pass the score threshold."""

    bboxes: list[np.ndarray]
    scores: list[float]
    embeddings: list[np.ndarray]


def _scenes(predictions: SearchPredictions, score_thr: float) -> dict[str, _Scene]:
    scenes = {}
    for i, name in enumerate(predictions.image_names):
        rows = range(predictions.image_splits[i], predictions.image_splits[i + 1])
        rows = [r for r in rows if predictions.scores[r] >= score_thr]
        scenes[name] = _Scene(
            [predictions.bboxes[r] for r in rows],
            [predictions.scores[r] for r in rows],
            [predictions.embeddings[r] for r in rows],
        )
    return scenes


def _listed(annotations: SearchAnnotations, gallery_size: int | str) -> SearchGalleries | None:
    """The explicit protocol; the largest one stands in for a gallery of all images."""
    if not annotations.galleries:
        return None
    if gallery_size == 'all':
        gallery_size = max(size for size in annotations.galleries if not isinstance(size, str))
    return annotations.galleries[gallery_size]


def _gallery(
    annotations: SearchAnnotations,
    search: int,
    query: int,
    cross_camera: bool,
    camera: int | None,
    gallery_size: int | str,
) -> list[tuple[int, np.ndarray | None]]:
    """Entries (image, box of the query's person or None)."""
    own = annotations.query_images[query]
    entries: list[tuple[int, np.ndarray | None]] = []
    listed = _listed(annotations, gallery_size)
    if listed is not None:
        shown = dict(zip(listed.positives.tolist(), listed.bboxes, strict=True))
        for entry in range(listed.splits[search], listed.splits[search + 1]):
            entries.append((int(listed.images[entry]), shown.get(entry)))
        if gallery_size == 'all':
            tested = {own} | {image for image, _ in entries}
            for image in range(len(annotations.image_names)):
                if image not in tested:
                    entries.append((image, None))
    else:
        for image in range(len(annotations.image_names)):
            if image == own:
                continue
            box = None
            for row in range(annotations.box_splits[image], annotations.box_splits[image + 1]):
                if annotations.person_ids[row] == annotations.query_person_ids[query]:
                    box = annotations.bboxes[row]
                    break
            entries.append((image, box))
    cameras = annotations.cameras
    if cross_camera:
        entries = [(image, box) for image, box in entries if cameras[image] != cameras[own]]
    if camera is not None:
        entries = [(image, box) for image, box in entries if cameras[image] == camera]
    return entries


def _detected_query(
    annotations: SearchAnnotations, scenes: dict[str, _Scene], query: int
) -> np.ndarray | None:
    """Embedding of the detection that overlaps the query's box most, None if none does."""
    scene = scenes[annotations.image_names[annotations.query_images[query]]]
    best, chosen = None, None
    for box, score, embedding in zip(scene.bboxes, scene.scores, scene.embeddings, strict=True):
        iou = iou_of(box, annotations.query_bboxes[query])
        rank = (iou, score, *(-value for value in reversed(box.tolist())))
        if iou > 0 and (best is None or rank > best):
            best, chosen = rank, embedding
    return chosen


def _context(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    scenes: dict[str, _Scene],
    query: int,
    k2: int,
) -> list[np.ndarray]:
    if predictions.query_context_splits is not None:
        a, b = predictions.query_context_splits[query : query + 2]
        return list(predictions.query_context_embeddings[a:b][:k2])
    scene = scenes[annotations.image_names[annotations.query_images[query]]]
    around = [
        (score, embedding)
        for box, score, embedding in zip(scene.bboxes, scene.scores, scene.embeddings, strict=True)
        if iou_of(box, annotations.query_bboxes[query]) <= 0.5
    ]
    around.sort(key=lambda pair: -pair[0])
    return [predictions.query_embeddings[query], *(e for _, e in around)][:k2]


def best_assignment(weights: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of the heaviest one-to-one assignment, by trying all of them."""
    rows, columns = weights.shape
    if rows <= columns:
        tries = (list(enumerate(chosen)) for chosen in itertools.permutations(range(columns), rows))
    else:
        tries = (
            [(r, c) for c, r in enumerate(chosen)]
            for chosen in itertools.permutations(range(rows), columns)
        )
    return max(tries, key=lambda pairs: sum(weights[r, c] for r, c in pairs))


def _revise(
    similarities: dict[int, list[float]],
    embeddings: dict[int, list[np.ndarray]],
    context: list[np.ndarray],
    options: ContextMatching,
) -> None:
    flat = sorted(((s, image) for image, sims in similarities.items() for s in sims), reverse=True)
    for image in {image for _, image in flat[: options.k1]}:
        weights = np.array([[float(c @ g) for g in embeddings[image]] for c in context])
        pairs = best_assignment(weights)
        best = max(weights[r, c] for r, c in pairs)
        total = sum(weights[r, c] for r, c in pairs)
        for row, column in pairs:
            if row == 0:
                revised = {'max': best, 'mean': (best + weights[row, column]) / 2, 'sum': total}
                similarities[image][column] = float(np.float32(revised[options.similarity]))


def search_oracle(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: float | str = 'adaptive',
    confidence_weighting: bool = False,
    cross_camera: bool = False,
    camera: int | None = None,
    gallery_size: int | str = 100,
    context_matching: ContextMatching | None = None,
    detected_queries: bool = False,
) -> tuple[list[float], list[int]]:
    """AP and rank of the first right detection (0: none) of every search, ordered by query.

    With ``detected_queries`` the queries are described by detections; one that nothing overlaps
    scores 0.
    """
    scenes = _scenes(predictions, score_thr)
    aps, ranks = [], []
    queries = list(range(len(annotations.query_images)))
    listed = _listed(annotations, gallery_size)
    if listed is not None:
        queries = listed.queries.tolist()
    for query, search in sorted((query, search) for search, query in enumerate(queries)):
        embedding = predictions.query_embeddings[query]
        if detected_queries:
            embedding = _detected_query(annotations, scenes, query)
            if embedding is None:
                aps.append(0.0)
                ranks.append(0)
                continue
        entries = _gallery(annotations, search, query, cross_camera, camera, gallery_size)
        boxes: dict[int, np.ndarray | None] = {}
        for image, box in entries:
            boxes.setdefault(image, box)
        similarities, gallery_embeddings = {}, {}
        for image in boxes:
            scene = scenes[annotations.image_names[image]]
            gallery_embeddings[image] = [
                e * s if confidence_weighting else e
                for e, s in zip(scene.embeddings, scene.scores, strict=True)
            ]
            similarities[image] = [float(e @ embedding) for e in gallery_embeddings[image]]
        if context_matching is not None:
            context = _context(annotations, predictions, scenes, query, context_matching.k2)
            context[0] = embedding
            _revise(similarities, gallery_embeddings, context, context_matching)
        labels: list[bool] = []
        scores: list[float] = []
        for image, box in boxes.items():
            sims = similarities[image]
            labels_here = [False] * len(sims)
            if box is not None:
                detections = scenes[annotations.image_names[image]].bboxes
                for j in sorted(range(len(sims)), key=lambda j: -sims[j]):
                    if iou_of(detections[j], box) >= threshold_of(box, iou_thr):
                        labels_here[j] = True
                        break
            labels += labels_here
            scores += sims
        positives = sum(box is not None for _, box in entries)
        if any(labels):
            aps.append(step_average_precision(labels, scores) * sum(labels) / positives)
            # wrong before right among equals: False sorts before True
            order = sorted(zip(scores, labels, strict=True), key=lambda pair: (-pair[0], pair[1]))
            ranks.append(1 + [label for _, label in order].index(True))
        else:
            aps.append(0.0)
            ranks.append(0)
    return aps, ranks


def positives_oracle(
    annotations: SearchAnnotations,
    *,
    cross_camera: bool = False,
    camera: int | None = None,
    gallery_size: int | str = 100,
) -> np.ndarray:
    """(S,) how many appearances every search should find, ordered by query."""
    listed = _listed(annotations, gallery_size)
    queries = range(annotations.num_queries) if listed is None else listed.queries.tolist()
    searches = sorted((query, search) for search, query in enumerate(queries))
    entries = (
        _gallery(annotations, search, query, cross_camera, camera, gallery_size)
        for query, search in searches
    )
    return np.array([sum(box is not None for _, box in found) for found in entries])


def detection_oracle(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    *,
    score_thr: float = 0.5,
    iou_thr: float = 0.5,
    labelled_only: bool = False,
) -> tuple[float, float]:
    """Detection AP and recall."""
    scenes = _scenes(predictions, score_thr)
    labels: list[bool] = []
    scores: list[float] = []
    positives = 0
    for i, name in enumerate(annotations.image_names):
        people = list(range(annotations.box_splits[i], annotations.box_splits[i + 1]))
        if labelled_only:
            people = [p for p in people if annotations.person_ids[p] >= 0]
            if not people:
                continue
        positives += len(people)
        scene = scenes[name]
        iou = [[iou_of(annotations.bboxes[p], box) for box in scene.bboxes] for p in people]
        for j, score in enumerate(scene.scores):
            right = False
            if people:
                p = max(range(len(people)), key=lambda p: iou[p][j])
                rivals = range(len(scene.bboxes))
                mine = max(rivals, key=lambda k: (iou[p][k], scene.scores[k], -k))
                right = iou[p][j] >= iou_thr and mine == j
            labels.append(right)
            scores.append(score)
    if not any(labels):
        return 0.0, 0.0
    recall = sum(labels) / positives
    return step_average_precision(labels, scores) * recall, recall


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
