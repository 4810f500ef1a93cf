"""What a config says about its data sets and its evaluation, without its model or its pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmps.evaluation.functional import SearchAnnotations, SearchProtocols
from mmps.formats import FORMATS, image_folder, load_scenes, scene_files
from mmps.formats.report import UNTRAINABLE, Anchors, report_dataset
from mmps.formats.scene_index import to_search_annotations
from mmps.utils.errors import DataError, UserError

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict


def search_evaluator(config: Config, path: str) -> ConfigDict:
    """The entry of ``test_evaluator`` that measures the search; a ``UserError`` if none does."""
    evaluators = config.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if evaluator.get('type') == 'PersonSearchMetric':
            return evaluator
    raise UserError(f'test_evaluator of {path} has no PersonSearchMetric')


def search_protocols(config: Config, path: str) -> SearchProtocols:
    """The evaluation that :func:`search_evaluator` stands for."""
    evaluator = search_evaluator(config, path)
    names = [field.name for field in fields(SearchProtocols)]
    return SearchProtocols(**{name: evaluator[name] for name in names if name in evaluator})


def test_annotations(config: Config) -> SearchAnnotations:
    """Ground truth and protocol of the config's test set.

    The data sets of mmps are read without importing what trains on them, which takes seconds; one
    of the user's own is built.
    """
    dataset = config.test_dataloader.dataset
    if dataset.type in FORMATS:
        return to_search_annotations(load_scenes(scene_files(dataset))[0])
    built = _build(dataset)
    if not hasattr(built, 'search_annotations'):
        raise UserError(f'test_dataloader.dataset: {type(built).__name__} has no search protocol')
    return built.search_annotations


def set_num_ids(config: Config) -> None:
    """Put the number of training identities wherever the model has ``num_ids='auto'``."""
    if not (places := list(automatic_num_ids(config.model))):
        return
    dataset = config.train_dataloader.dataset
    if dataset.type in FORMATS:
        number = load_scenes(scene_files(dataset))[0].num_ids
    elif {'dataset', 'datasets'} & dataset.keys():
        raise UserError(
            f"num_ids='auto': a {dataset.type} does not know its identities; count them"
        )
    else:
        number = _build(dataset).num_ids
    for place in places:
        place.num_ids = number


def anchors_of(config: Config) -> Anchors | None:
    """The anchors of a config's network at the scale of its test, if it has both."""
    model = config.get('model') or {}
    generator = (model.get('rpn_head') or {}).get('anchor_generator') or {}
    steps = (config.get('test_dataloader') or {}).get('dataset', {}).get('pipeline') or []
    scales = [s['scale'] for s in steps if isinstance(s, Mapping) and s.get('type') == 'Resize']
    if not {'scales', 'ratios', 'strides'} <= generator.keys() or not scales:
        return None
    assigner = model.get('train_cfg', {}).get('rpn', {}).get('assigner', {})
    sides = np.array([stride * s for stride in generator.strides for s in generator.scales])
    sizes = [
        side * np.array([ratio**-0.5, ratio**0.5]) for side in sides for ratio in generator.ratios
    ]
    return Anchors(np.array(sizes), tuple(scales[0]), assigner.get('min_pos_iou', 0.3))


def check_training_set(config: Config) -> None:
    """Refuse, by a ``DataError``, a training set of which a training would learn nothing.

    One of the user's own kind is taken as it is.
    """
    dataset = config.train_dataloader.dataset
    if dataset.type not in FORMATS:
        return
    report = report_dataset(
        dict(train=scene_files(dataset)),
        dict(train=image_folder(dataset)),
        title=f'nothing can be learnt from the training set in {dataset.data_root}',
        open_images=True,
        anchors=anchors_of(config),
    )
    found = [problem for problem in report.problems if problem.kind in UNTRAINABLE]
    if found:
        lines = [f'{p.kind} ({p.count:,}), {p.consequence}: {p.examples[0]}' for p in found]
        raise DataError('; '.join([report.title, *lines]))


def automatic_num_ids(entry: Any) -> Iterator[Any]:
    """The parts of a model's config in which ``num_ids`` is open."""
    if isinstance(entry, Mapping):
        if entry.get('num_ids') == 'auto':
            yield entry
        entry = list(entry.values())
    for part in entry if isinstance(entry, (list, tuple)) else ():
        yield from automatic_num_ids(part)


def test_image_root(config: Config) -> Path:
    """Folder that the image names of the config's test set are relative to; images that are no
    files yet, as those of CUHK03, are unpacked.
    """
    dataset = config.test_dataloader.dataset
    if dataset.type not in FORMATS:
        return Path(_build(dataset).data_prefix['img'])
    scene_files(dataset).prepare()
    return image_folder(dataset)


def _build(dataset: ConfigDict) -> Any:
    from mmengine.registry import init_default_scope

    from mmps.registry import DATASETS

    init_default_scope('mmps')
    # no image is read, so nothing has to be built that would process one
    return DATASETS.build({**dataset, 'pipeline': []})
