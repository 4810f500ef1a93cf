"""The metric that mmengine runs after validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmps.evaluation.functional import (
    SearchAnnotations,
    SearchPredictions,
    SearchProtocols,
    save_predictions,
)
from mmps.evaluation.functional.predictions import BOX_TOLERANCE
from mmps.evaluation.functional.similarities import scene_factors
from mmps.registry import METRICS

ImageResult = dict[str, Any]
"""What is kept of one image: float32 arrays, and no tensor that would keep a device busy."""


def collect_image(sample: Mapping[str, Any]) -> ImageResult:
    """Take what the evaluation needs from one predicted data sample.

    The sample is ``DetDataSample.to_dict()`` after ``predict``: ``pred_instances`` with ``bboxes``,
    ``scores`` and ``embeddings``; where the image holds queries ``query_instances`` with
    ``query_ids`` and ``embeddings``; optionally ``gt_instances`` with ``bboxes`` and
    ``embeddings``, and ``scene_embedding`` with ``scene_filters`` of the queries. Detections
    without area, such as boxes that were clipped at the border, are left out.

    Raises:
        ValueError: The model did not fill in what is needed; the message names it.
    """
    name = sample.get('img_name', sample.get('img_path', '?'))
    result: ImageResult = {'img_id': int(_entry(sample, 'img_id', name))}
    detections = _entry(sample, 'pred_instances', name)
    for key in ('bboxes', 'scores', 'embeddings'):
        result[key] = _array(_entry(detections, key, f'{name}, pred_instances'))
    bboxes = result['bboxes'].reshape(-1, 4)
    empty = (bboxes[:, 2:] <= bboxes[:, :2]).any(1)
    if empty.any():
        result |= {key: result[key][~empty] for key in ('bboxes', 'scores', 'embeddings')}
    queries = sample.get('query_instances')
    if queries is not None and len(queries['query_ids']):
        result['query_ids'] = _array(queries['query_ids'], np.int64)
        where = f'{name}, query_instances'
        result['query_embeddings'] = _array(_entry(queries, 'embeddings', where))
        if 'scene_embedding' in sample:
            result['scene_filters'] = _array(_entry(queries, 'scene_filters', where))
    if 'scene_embedding' in sample:
        result['scene_embedding'] = _array(sample['scene_embedding'])[None]
    people = sample.get('gt_instances')
    if people is not None and 'embeddings' in people:
        result['gt_bboxes'] = _array(people['bboxes'])
        result['gt_embeddings'] = _array(people['embeddings'])
    return result


def assemble_predictions(
    annotations: SearchAnnotations, results: Sequence[ImageResult]
) -> SearchPredictions:
    """Join the results of all images.

    Args:
        annotations: Ground truth of the test set; ``img_id`` is the position in its images.
        results: In any order. An image that distributed sampling repeated counts once.

    Raises:
        ValueError: An image, a query or the embeddings of annotated boxes are missing.
    """
    by_image = {result['img_id']: result for result in results}
    names = annotations.image_names
    missing = [name for i, name in enumerate(names) if i not in by_image]
    if missing:
        raise ValueError(
            f'{missing[0]!r} has no prediction ({len(missing)} of {len(names)} images missing); '
            'the evaluation needs every image of the test set once'
        )
    images = [by_image[i] for i in range(len(names))]
    counts = [len(image['bboxes']) for image in images]
    return SearchPredictions(
        image_names=names,
        image_splits=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        bboxes=_join(images, 'bboxes'),
        scores=_join(images, 'scores'),
        embeddings=_join(images, 'embeddings'),
        query_embeddings=_queries(annotations, images, 'query_embeddings'),
        gt_embeddings=_ground_truth(annotations, images),
        query_names=tuple(names[image] for image in annotations.query_images),
        query_bboxes=annotations.query_bboxes,
        scene_factors=_scene_factors(annotations, images),
    )


def _queries(annotations: SearchAnnotations, images: list[ImageResult], key: str) -> np.ndarray:
    with_queries = [image for image in images if 'query_ids' in image]
    ids = _join(with_queries, 'query_ids') if with_queries else np.zeros(0, np.int64)
    unseen = np.setdiff1d(np.arange(annotations.num_queries), ids)
    if len(unseen):
        name = annotations.image_names[annotations.query_images[unseen[0]]]
        raise ValueError(
            f'query {unseen[0]} in {name!r} has no embedding ({len(unseen)} of '
            f'{annotations.num_queries} queries missing); the test pipeline must pack '
            'query_instances and the model must embed them'
        )
    rows = _join(with_queries, key) if with_queries else np.zeros((0, 0), np.float32)
    return rows[np.argsort(ids)]


def _scene_factors(annotations: SearchAnnotations, images: list[ImageResult]) -> np.ndarray | None:
    if not annotations.num_queries or not all('scene_embedding' in image for image in images):
        return None
    filters = _queries(annotations, images, 'scene_filters')
    return scene_factors(filters, _join(images, 'scene_embedding'))


def _ground_truth(annotations: SearchAnnotations, images: list[ImageResult]) -> np.ndarray | None:
    given = ['gt_embeddings' in image for image in images]
    if not any(given):
        return None
    for i, image in enumerate(images):
        wanted = annotations.bboxes[annotations.box_splits[i] : annotations.box_splits[i + 1]]
        boxes = image.get('gt_bboxes', np.zeros((0, 4), np.float32))
        if boxes.shape != wanted.shape or (np.abs(boxes - wanted) > BOX_TOLERANCE).any():
            raise ValueError(
                f'{annotations.image_names[i]!r}: gt_instances does not hold the annotated boxes '
                'in original pixels; load annotations after Resize in the test pipeline'
            )
    return _join([image for image in images if 'gt_embeddings' in image], 'gt_embeddings')


def _join(images: list[ImageResult], key: str) -> np.ndarray:
    filled = [image[key] for image in images if len(image[key])]
    return np.concatenate(filled) if filled else images[0][key]


def _array(values: Any, dtype: type = np.float32) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        # NumPy has no bfloat16.
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values, dtype)


def _entry(mapping: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in mapping:
        raise ValueError(f'{where}: the data sample has no {key!r}, which the evaluation needs')
    return mapping[key]


@METRICS.register_module()
class PersonSearchMetric(BaseMetric):
    """Search mAP, top-k, detection AP and recall of a model under test.

    Example:
        >>> from mmps.testing.search import tiny_test_set
        >>> metric = PersonSearchMetric(cross_camera=True)  # test_evaluator of the configs
        >>> round(metric.protocols(*tiny_test_set())['search/mAP_cross_camera'], 3)
        0.5

    Args:
        out: Also write the predictions to this ``.npz`` file.
        **kwargs: Fields of :class:`~mmps.evaluation.functional.SearchProtocols`, which documents
            them and the keys, and arguments of ``BaseMetric``.

    Raises:
        ValueError: An option out of range.
    """

    # the keys bring their own prefixes, and without a default mmengine warns about a missing one
    default_prefix = ''

    def __init__(self, out: str | None = None, **kwargs: Any) -> None:
        names = [field.name for field in fields(SearchProtocols)]
        self.protocols = SearchProtocols(**{n: kwargs.pop(n) for n in names if n in kwargs})
        super().__init__(**kwargs)
        if out is not None and not str(out).endswith('.npz'):
            raise ValueError(f'out: {out!r} given; the predictions file must end in .npz')
        self.out = out

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, one result per image."""
        self.results.extend(collect_image(sample) for sample in data_samples)

    def compute_metrics(self, results: list[ImageResult]) -> dict[str, float]:
        """Evaluate the results of all images; mmengine calls it on rank 0."""
        annotations = (self.dataset_meta or {}).get('search_annotations')
        if annotations is None:
            raise ValueError(
                "the data set's metainfo has no search_annotations; evaluate on a person-search "
                'data set with test_mode=True'
            )
        predictions = assemble_predictions(annotations, results)
        if self.out:
            save_predictions(self.out, predictions)
            print_log(f'predictions written to {self.out}', logger='current')
        return self.protocols(annotations, predictions)
