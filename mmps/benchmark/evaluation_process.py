"""Time ``eval_search.py`` from its start to its end, imports and loading included."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import mmps
from mmps.benchmark.measurement import Measurement
from mmps.evaluation.functional import SearchAnnotations, SearchPredictions, save_predictions
from mmps.formats.coco import write_coco
from mmps.formats.loading import FOLDER_VARIABLE, SETTLED_NS
from mmps.formats.scene_index import Frame, Query, SceneIndex

PRIMARY = 100
"""The gallery size that the field reports first."""

TOOL = Path(mmps.__file__).parents[1] / 'tools/analysis_tools/eval_search.py'

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


def time_processes(
    annotations: SearchAnnotations, predictions: SearchPredictions, repeats: int
) -> list[Measurement]:
    """Write a test set and predictions to temporary files and evaluate them in processes.

    The test set is a COCO-style file. The first process reads it and leaves the index in the cache
    of its own that the others find it in, as they would that of any other data set.
    """
    sizes = tuple(annotations.galleries)
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_coco(root / 'test.json', scene_index(annotations), test_mode=True)
        save_predictions(root / 'predictions.npz', predictions)
        time.sleep(2 * SETTLED_NS / 1e9)  # younger files are not cached
        runs = {f'eval_search.py, {len(sizes)} gallery sizes': sizes} if sizes else {}
        runs[f'eval_search.py, gallery of {PRIMARY}' if sizes else 'eval_search.py'] = (PRIMARY,)
        _time_process(root, (PRIMARY,))
        for name, chosen in runs.items():
            best, peak = min(_time_process(root, chosen) for _ in range(repeats))
            measured.append(Measurement(name, best, 's'))
            measured.append(Measurement(f'{name}, peak memory', peak, 'MiB'))
    return measured


def scene_index(annotations: SearchAnnotations) -> SceneIndex:
    """The index that the evaluation's arrays would come from."""
    names, splits = annotations.image_names, annotations.box_splits
    bboxes, ids = (np.split(a, splits[1:-1]) for a in (annotations.bboxes, annotations.person_ids))
    frames = [
        Frame(name, bboxes[i], ids[i], 'random', int(annotations.cameras[i]))
        for i, name in enumerate(names)
    ]
    queries = [
        Query(names[image], bbox, int(person), 'random')
        for image, bbox, person in zip(
            annotations.query_images,
            annotations.query_bboxes,
            annotations.query_person_ids,
            strict=True,
        )
    ]
    return SceneIndex(frames, 0, queries, annotations.galleries)


def _time_process(root: Path, sizes: Sequence[int | str]) -> tuple[float, float]:
    """Seconds, and peak memory in MiB."""
    config = root / 'config.py'
    config.write_text(_CONFIG.format(root=str(root), sizes=tuple(sizes)))
    command = [sys.executable, '-c', _RUN, str(TOOL), str(config), str(root / 'predictions.npz')]
    environment = {**os.environ, FOLDER_VARIABLE: str(root / 'cache')}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f'{TOOL.name} failed: {done.stderr}')
    return seconds, float(done.stdout.split()[-1])
