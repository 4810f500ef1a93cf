"""The metric that mmengine runs after validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmps.evaluation.functional import SearchProtocols, save_predictions
from mmps.evaluation.metrics.collection import ImageResult, assemble_predictions, collect_image
from mmps.registry import METRICS


@METRICS.register_module()
class PersonSearchMetric(BaseMetric):
    """Search mAP, top-k, detection AP and recall of a model under test.

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
