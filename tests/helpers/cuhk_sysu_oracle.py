"""CUHK-SYSU's search protocol once more, word by word, from the files themselves.

It shares no code with the reader or the evaluation: scipy reads the files, and one query, one
gallery entry and one detection is treated at a time, in the order and with the quirks of the
evaluation that the field reports its numbers by.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from mmps.evaluation.functional import SearchPredictions


def cuhk_sysu_oracle(
    path: Path,
    key: str,
    predictions: SearchPredictions,
    query_embeddings: np.ndarray,
    score_thr: float = 0.5,
) -> dict[str, float]:
    """``mAP``, ``top1``, ``top5`` and ``top10`` of one protocol file.

    Args:
        path: The file, e.g. ``TestG100.mat``.
        key: The variable in it.
        predictions: Detections of all test images.
        query_embeddings: (S, D), one for each query of the file, in its order.
        score_thr: Detections with lower scores are left out.
    """
    detections = {}
    for image, name in enumerate(predictions.image_names):
        rows = range(predictions.image_splits[image], predictions.image_splits[image + 1])
        detections[name] = [row for row in rows if predictions.scores[row] >= score_thr]
    precisions, hits = [], {1: [], 5: [], 10: []}
    for item, query in zip(loadmat(path)[key].ravel(), query_embeddings, strict=True):
        labels: list[int] = []
        scores: list[float] = []
        positives = found = 0
        tested = set()
        for entry in item['Gallery'].ravel():
            name = str(entry['imname'][0])
            box = entry['idlocate'].astype(np.int32).ravel()
            positives += box.size > 0
            if name in tested or not detections[name]:
                continue
            tested.add(name)
            rows = detections[name]
            similarities = predictions.embeddings[rows] @ query
            here = [0] * len(rows)
            if box.size:
                for place in np.argsort(similarities)[::-1]:
                    if _overlap(predictions.bboxes[rows[place]], box) >= _threshold(box):
                        here[place] = 1
                        found += 1
                        break
            labels += here
            scores += similarities.tolist()
        if not positives:
            continue
        precisions.append(_average_precision(labels, scores) * found / positives if found else 0)
        order = np.argsort(scores)[::-1]
        for k, values in hits.items():
            values.append(any(labels[place] for place in order[:k]))
    tops = {f'top{k}': float(np.mean(values)) for k, values in hits.items()}
    return {'mAP': float(np.mean(precisions)), **tops}


def _threshold(xywh: np.ndarray) -> float:
    width, height = float(xywh[2]), float(xywh[3])
    return min(0.5, width * height / ((width + 10) * (height + 10)))


def _overlap(xyxy: np.ndarray, xywh: np.ndarray) -> float:
    x1, y1, x2, y2 = (float(value) for value in xyxy)
    left, top, width, height = (float(value) for value in xywh)
    across = max(0.0, min(x2, left + width) - max(x1, left))
    down = max(0.0, min(y2, top + height) - max(y1, top))
    return across * down / ((x2 - x1) * (y2 - y1) + width * height - across * down)


def _average_precision(labels: list[int], scores: list[float]) -> float:
    """Area under the steps of the precision-recall curve; no two scores are equal."""
    ranked = [labels[place] for place in np.argsort(scores)[::-1]]
    precisions = [sum(ranked[: n + 1]) / (n + 1) for n in range(len(ranked)) if ranked[n]]
    return sum(precisions) / sum(ranked)
