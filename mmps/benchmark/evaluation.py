"""Time the evaluation on random predictions of a full test set's size.

Beside it stands the bare matrix product of all queries with all detections, which no evaluation
can do without.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from mmps.benchmark.evaluation_growth import measure_growth
from mmps.benchmark.evaluation_process import time_processes
from mmps.benchmark.measurement import Measurement, best_time, peak_memory
from mmps.benchmark.search_sets import SIZES, Size, product, random_test_set
from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchPredictions,
    SearchProtocols,
    bootstrap_intervals,
    evaluate_detection,
    evaluate_search,
)

NUMBERS = [field.name for field in fields(Size) if field.name != 'galleries']


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    parser.add_argument(
        '--set', choices=SIZES, default='prw', help='size of the test set (default: %(default)s)'
    )
    for name in NUMBERS:
        parser.add_argument(f'--{name}', type=int, help='instead of that of the test set')
    parser.add_argument('--repeats', type=int, default=3, help='best of this many runs')
    parser.add_argument(
        '--whole-process',
        action='store_true',
        help='also time eval_search.py from its start to its end, on files made for it',
    )
    parser.add_argument(
        '--growth',
        metavar='PLOT.png',
        help='instead time test sets from a fraction to twice the size, and draw the growth',
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure."""
    given = {name: getattr(arguments, name) for name in NUMBERS}
    size = replace(
        SIZES[arguments.set], **{name: value for name, value in given.items() if value is not None}
    )
    if arguments.growth:
        return measure_growth(size, arguments.repeats, arguments.growth)
    case = random_test_set(size, np.random.default_rng(0))
    measured = [
        Measurement(name, best_time(function, arguments.repeats), 's')
        for name, function in _tasks(*case)
    ]
    measured.append(Measurement('peak memory of the process', peak_memory(), 'MiB'))
    if arguments.whole_process:
        measured += time_processes(*case, arguments.repeats)
    return measured


def _tasks(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> list[tuple[str, Callable[[], object]]]:
    """What is timed, by name."""

    def search(**options: object) -> Callable[[], object]:
        return lambda: evaluate_search(annotations, predictions, **options)

    def together(**options: object) -> Callable[[], object]:
        return lambda: SearchProtocols(**options).search(annotations, predictions)

    results = SearchProtocols().search(annotations, predictions)
    tasks = [('matrix product', lambda: product(predictions)), ('search', search())]
    if annotations.galleries:
        sizes = tuple(annotations.galleries)
        tasks += [
            (f'search, galleries of {max(sizes)}', search(gallery_size=max(sizes))),
            (f'search, {len(sizes)} gallery sizes', together(gallery_sizes=sizes)),
        ]
    else:
        tasks += [
            ('search, cross-camera', search(cross_camera=True)),
            ('search, all camera rules', together(cross_camera=True, camera_pairs=True)),
        ]
    return [
        *tasks,
        ('search, context matching', search(context_matching=ContextMatching())),
        ('detection', lambda: evaluate_detection(annotations, predictions)),
        ('bootstrap, 10,000 resamples', lambda: bootstrap_intervals(results)),
    ]
