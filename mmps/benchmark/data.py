"""Time data loading: images per second of each step of the pipeline, and of loader processes."""

import argparse
import time
from collections import defaultdict
from itertools import islice
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmps.benchmark.measurement import Measurement, add_options
from mmps.registry import DATASETS
from mmps.utils.config import load_config
from mmps.utils.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train')
    parser.add_argument('--images', type=int, default=100, help='images per measurement')
    parser.add_argument(
        '--workers', type=int, nargs='+', default=[0, 1, 2], help='numbers of loader processes'
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    config = load_config(arguments.config, arguments.cfg_options)
    init_default_scope('mmps')
    loader = config[f'{arguments.split}_dataloader']
    measured = _steps(loader.dataset, arguments.images)
    for workers in arguments.workers:
        rate = _loader_rate(loader, workers, arguments.images)
        stage = f'{workers} loader processes' if workers else 'loaded by the training process'
        measured += [
            Measurement('images per second', rate, '/s', stage),
            Measurement('images per second and process', rate / max(workers, 1), '/s', stage),
        ]
    return measured


def _steps(dataset: dict, images: int) -> list[Measurement]:
    """Mean time of each step for one image, in one process."""
    dataset = DATASETS.build(dataset)
    dataset.full_init()
    if len(dataset) == 0:
        raise UserError(f'{dataset.data_root}: there is no image to load')
    seconds: dict[str, float] = defaultdict(float)
    for index in range(images):
        results = dataset.get_data_info(index % len(dataset))
        for step in dataset.pipeline.transforms:
            start = time.perf_counter()
            results = step(results)
            seconds[_name(step)] += time.perf_counter() - start
            if results is None:
                break
    total = sum(seconds.values())
    measured = [
        Measurement('time per image', total / images, 's'),
        Measurement('images per second', images / total, '/s'),
    ]
    for name, taken in sorted(seconds.items(), key=lambda row: -row[1]):
        measured.append(Measurement('time', 1000 * taken / images, 'ms', name))
        measured.append(Measurement('share of time', 100 * taken / total, '%', name))
    return measured


def _name(step: Any) -> str:
    inner = getattr(getattr(step, 'transforms', None), 'transforms', None)
    inside = f'({", ".join(_name(one) for one in inner)})' if inner else ''
    return f'{type(step).__name__}{inside}'


def _loader_rate(loader: Config, workers: int, images: int) -> float:
    """Images per second once the processes have started."""
    loader = loader.copy()
    loader.update(num_workers=workers, persistent_workers=False)
    batches = iter(Runner.build_dataloader(loader, seed=0))
    first = len(next(batches)['inputs'])
    start = time.perf_counter()
    count = sum(len(batch['inputs']) for batch in islice(batches, max(images // first, 1)))
    if not count:
        raise UserError('the split has a single batch; more images are needed to measure loading')
    return count / (time.perf_counter() - start)
