"""Time the evaluation on random predictions of a full test set's size.

Beside it stands the bare matrix product of all queries with all detections, which no evaluation
can do without.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from mmps.benchmark.measurement import Measurement, add_options, in_turn, peak_memory
from mmps.benchmark.search_sets import SIZES, Size, product, random_test_set
from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchPredictions,
    SearchProtocols,
    bootstrap_intervals,
    evaluate_detection,
    evaluate_search,
    save_predictions,
)
from mmps.formats.coco import write_coco
from mmps.formats.loading import FOLDER_VARIABLE, SETTLED_NS
from mmps.formats.scene_index import Frame, Query, SceneIndex
from mmps.utils.config import PROJECT
from mmps.utils.errors import UserError
from mmps.utils.files import whole_file

NUMBERS = [field.name for field in fields(Size) if field.name != 'galleries']
FACTORS = (0.25, 0.5, 1.0, 2.0)
"""Of the queries and, independently, of everything that is searched, where growth is measured."""
PRIMARY = 100
"""The gallery size that the field reports first."""

_TOOL = PROJECT / 'tools/analysis_tools/eval_search.py'
_CONFIG = """
test_dataloader = dict(
    dataset=dict(type='CocoPersonSearchDataset', data_root={root!r}, test_mode=True)
)
test_evaluator = dict(type='PersonSearchMetric', gallery_sizes={sizes!r})
"""
_RUN = """
import runpy, sys
from mmps.benchmark.measurement import peak_memory
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
print('peak', peak_memory())
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--set', choices=SIZES, default='prw', help='size of the test set (default: %(default)s)'
    )
    for name in NUMBERS:
        parser.add_argument(f'--{name}', type=int, help='instead of that of the test set')
    add_options(parser, '--repeats')
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
    given = {name: getattr(arguments, name) for name in NUMBERS}
    size = replace(
        SIZES[arguments.set], **{name: value for name, value in given.items() if value is not None}
    )
    if arguments.growth:
        return measure_growth(size, arguments.repeats, arguments.growth)
    case = random_test_set(size, np.random.default_rng(0))
    seconds = in_turn(_tasks(*case), arguments.repeats)
    measured = [Measurement(name, float(own.min()), 's') for name, own in seconds.items()]
    measured.append(Measurement('peak memory of the process', peak_memory(), 'MiB'))
    if arguments.whole_process:
        measured += time_processes(*case, arguments.repeats)
    return measured


def _tasks(
    annotations: SearchAnnotations, predictions: SearchPredictions
) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    search = partial(evaluate_search, annotations, predictions)

    def together(**options: object) -> Callable[[], object]:
        return partial(SearchProtocols(**options).search, annotations, predictions)

    tasks = {'matrix product': partial(product, predictions), 'search': search}
    if annotations.galleries:
        sizes = tuple(annotations.galleries)
        tasks[f'search, galleries of {max(sizes)}'] = partial(search, gallery_size=max(sizes))
        tasks[f'search, {len(sizes)} gallery sizes'] = together(gallery_sizes=sizes)
    else:
        tasks['search, cross-camera'] = partial(search, cross_camera=True)
        tasks['search, all camera rules'] = together(cross_camera=True, camera_pairs=True)
    return tasks | {
        'search, context matching': partial(search, context_matching=ContextMatching()),
        'detection': partial(evaluate_detection, annotations, predictions),
        'bootstrap, 10,000 resamples': partial(bootstrap_intervals, together()()),
    }


def measure_growth(size: Size, repeats: int, path: str | os.PathLike) -> list[Measurement]:
    """Time test sets from a fraction of ``size`` to a multiple, and draw the times.

    Explicit galleries play no part. The time of a million similarities is that of a line through
    the origin.
    """
    similarities, seconds = [], []
    for searched in tqdm(FACTORS, desc='growth'):
        for asked in FACTORS:
            parts = ('images', 'boxes', 'labelled', 'detections')
            scaled = {name: round(searched * getattr(size, name)) for name in parts}
            queries = round(asked * size.queries)
            scaled_size = replace(size, **scaled, queries=queries, galleries=())
            case = random_test_set(scaled_size, np.random.default_rng(0))
            similarities.append(len(case[1].query_embeddings) * len(case[1].scores))
            tasks = {
                'search': partial(evaluate_search, *case),
                'product': partial(product, case[1]),
            }
            seconds.append([own.min() for own in in_turn(tasks, repeats).values()])
    millions = np.array(similarities) / 1e6
    figure = Figure(figsize=(8, 4.6), dpi=110, layout='constrained')
    axes = figure.subplots()
    measured, rates = [], []
    for name, times in zip(
        ('evaluation', 'matrix product alone'), np.transpose(seconds), strict=True
    ):
        rate = slope(millions, times)
        measured += [
            Measurement(f'{name}, {million:.1f} million', float(taken), 's')
            for million, taken in sorted(zip(millions, times, strict=True))
        ]
        rates.append(Measurement(f'{name}, per million', 1e3 * rate, 'ms'))
        (dots,) = axes.plot(millions, times, 'o', label=f'{name}, {1e3 * rate:.1f} ms per million')
        axes.plot([0, millions.max()], [0, rate * millions.max()], color=dots.get_color())
    axes.set(xlabel='queries x detections, million', ylabel='seconds')
    axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png')
    return measured + rates


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of the line through the origin that fits best."""
    return float(np.dot(x, y) / np.dot(x, x))


def time_processes(
    annotations: SearchAnnotations, predictions: SearchPredictions, repeats: int
) -> list[Measurement]:
    """Time ``eval_search.py`` from its start to its end, imports and loading included.

    The test set is a COCO-style file. The first process reads it and leaves the index in a cache of
    its own that the others find it in, as they would that of any other data set.
    """
    sizes = tuple(annotations.galleries)
    runs = {f'eval_search.py, {len(sizes)} gallery sizes': sizes} if sizes else {}
    runs[f'eval_search.py, gallery of {PRIMARY}' if sizes else 'eval_search.py'] = (PRIMARY,)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_coco(root / 'test.json', scene_index(annotations), test_mode=True)
        save_predictions(root / 'predictions.npz', predictions)
        time.sleep(2 * SETTLED_NS / 1e9)  # younger files are not cached
        _time_process(root, (PRIMARY,))
        for name, chosen in runs.items():
            best, peak = min(_time_process(root, chosen) for _ in range(repeats))
            measured.append(Measurement(name, best, 's'))
            measured.append(Measurement(f'{name}, peak memory', peak, 'MiB'))
    return measured


def scene_index(annotations: SearchAnnotations) -> SceneIndex:
    """The index that the evaluation's arrays would come from."""
    a, splits = annotations, annotations.box_splits[1:-1]
    people = zip(np.split(a.bboxes, splits), np.split(a.person_ids, splits), strict=True)
    frames = [
        Frame(name, bboxes, ids, 'random', int(camera))
        for name, camera, (bboxes, ids) in zip(a.image_names, a.cameras, people, strict=True)
    ]
    asked = zip(a.query_images, a.query_bboxes, a.query_person_ids, strict=True)
    queries = [Query(a.image_names[i], bbox, int(who), 'random') for i, bbox, who in asked]
    return SceneIndex(frames, 0, queries, a.galleries)


def _time_process(root: Path, sizes: Sequence[int | str]) -> tuple[float, float]:
    """Seconds, and peak memory in MiB."""
    config = root / 'config.py'
    config.write_text(_CONFIG.format(root=str(root), sizes=tuple(sizes)))
    command = [sys.executable, '-c', _RUN, str(_TOOL), str(config), str(root / 'predictions.npz')]
    environment = {**os.environ, FOLDER_VARIABLE: str(root / 'cache')}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise UserError(f'{_TOOL.name} failed: {done.stderr}')
    return seconds, float(done.stdout.split()[-1])
