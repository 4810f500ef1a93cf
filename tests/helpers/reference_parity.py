"""Evaluate the same predictions with SeqNet's evaluation, the field's reference, and with this one.

The reference is run from a checkout of it, unchanged; it needs scikit-learn. The test sets are
random, with the traps of the official ones, and both programs read them from the same files::

    PYTHONPATH=tests python -m helpers.reference_parity SEQNET --cases 50
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from mmps.evaluation.functional import (
    ContextMatching,
    SearchPredictions,
    evaluate_detection,
    rank_queries,
    with_ground_truth_boxes,
)

from .parity_cases import ParityCase, large_case, small_case


class Reference(NamedTuple):
    """The modules of a checkout that are run."""

    eval_func: ModuleType
    prw: ModuleType
    cuhk_sysu: ModuleType


def load_reference(checkout: Path) -> Reference:
    """Import the reference's evaluation and data sets.

    Its packages import its whole training code, so they are entered without their ``__init__``, and
    ``utils.utils``, from which only two functions for output are taken, is replaced.

    Raises:
        FileNotFoundError: ``checkout`` is something else.
    """
    for name in ('eval_func.py', 'datasets/prw.py', 'datasets/cuhk_sysu.py'):
        if not (checkout / name).is_file():
            raise FileNotFoundError(f'{checkout / name}: missing; give a checkout of SeqNet')
    output = ModuleType('utils.utils')
    output.write_json = output.create_small_table = lambda *args: ''
    stand_ins = {'utils.utils': output}
    for name in ('utils', 'datasets'):
        stand_ins[name] = ModuleType(name)
        stand_ins[name].__path__ = [str(checkout / name)]
    path, others = list(sys.path), _remove_modules()
    try:
        sys.modules.update(stand_ins)
        sys.path.insert(0, str(checkout))
        names = ('eval_func', 'datasets.prw', 'datasets.cuhk_sysu')
        return Reference(*(importlib.import_module(name) for name in names))
    finally:
        sys.path[:] = path
        _remove_modules()
        sys.modules.update(others)


def _remove_modules() -> dict[str, ModuleType]:
    """Takes modules with the reference's names, which others use as well, out of the imported."""
    names = [n for n in sys.modules if n.split('.')[0] in ('eval_func', 'utils', 'datasets')]
    return {name: sys.modules.pop(name) for name in names}


ROUNDING = 1e-9
"""What sums of a few thousand float64 numbers may differ by."""

LAYOUTS = ('prw', 'cuhk_sysu')


class Difference(NamedTuple):
    """One comparison.

    Attributes:
        what: What was evaluated.
        values: How many values were compared; those of single queries in a search.
        differ: How many of them differ by more than :data:`ROUNDING`.
        largest: Largest absolute difference.
        seconds: Seconds that the reference took, and this evaluation.
    """

    what: str
    values: int
    differ: int
    largest: float
    seconds: tuple[float, float]


class _Numpy:
    """numpy for the reference, which keeps what its means are taken of: the values of queries."""

    def __init__(self) -> None:
        self.means: list[np.ndarray] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def mean(self, values: Any, **kwargs: Any) -> Any:
        self.means.append(np.asarray(values))
        return np.mean(values, **kwargs)


class Comparison:
    """One case, evaluated by both in every way that both know.

    Args:
        reference: See :func:`load_reference`.
        case: The test set and the predictions.

    Raises:
        AssertionError: The two read different images, boxes, labels or queries from the files.
    """

    def __init__(self, reference: Reference, case: ParityCase) -> None:
        self._eval, self._case = reference.eval_func, case
        if case.layout == 'prw':
            dataset, self._search = reference.prw.PRW, self._eval.eval_search_prw
        else:
            dataset, self._search = reference.cuhk_sysu.CUHKSYSU, self._eval.eval_search_cuhk
        self._gallery, self._queries = (
            dataset(str(case.root), None, split) for split in ('gallery', 'query')
        )
        self._check_reading()

    def _check_reading(self) -> None:
        ours, theirs = self._case.annotations, self._gallery.annotations
        assert [anno['img_name'] for anno in theirs] == list(ours.image_names)
        assert np.array_equal(np.concatenate([anno['boxes'] for anno in theirs]), ours.bboxes)
        pids = np.concatenate([anno['pids'] for anno in theirs])
        assert np.array_equal(pids == 5555, ours.person_ids < 0)
        names = [anno['img_name'] for anno in self._queries.annotations]
        assert names == [ours.image_names[image] for image in ours.query_images]
        boxes = np.concatenate([anno['boxes'] for anno in self._queries.annotations])
        assert np.array_equal(boxes, ours.query_bboxes)

    def detection(self) -> Iterator[Difference]:
        """AP and recall: everybody and people with an id, two score and two IoU thresholds."""
        predictions = self._case.predictions
        # a list of lists: comparing an array with a list is an error in newer numpy
        dets = [det.tolist() for det in _per_image(predictions, _with_scores(predictions))]
        for score_thr in (0.5, 0.01):
            for iou_thr in (0.5, 0.75):
                for labelled in (False, True):
                    started = time.perf_counter()
                    with contextlib.redirect_stdout(io.StringIO()):
                        recall, ap = self._eval.eval_detection(
                            self._gallery, dets, score_thr, iou_thr, labelled
                        )
                    between = time.perf_counter()
                    ours = evaluate_detection(
                        self._case.annotations,
                        predictions,
                        score_thr=score_thr,
                        iou_thr=iou_thr,
                        labelled_only=labelled,
                    )
                    seconds = between - started, time.perf_counter() - between
                    who = 'labelled' if labelled else 'all'
                    what = f'{self._case.layout}, detection, {who}, IoU {iou_thr}'
                    values = np.array([recall, ap]), np.array([ours['recall'], ours['AP']])
                    yield _difference(what, *values, seconds)

    def search(self, k1: int, k2: int) -> Iterator[Difference]:
        """AP and top-k of every query, in each protocol.

        Args:
            k1: Of context matching.
            k2: Of context matching.
        """
        annotations, predictions = self._case.annotations, self._case.predictions
        exact = with_ground_truth_boxes(annotations, predictions)
        variants: list[tuple[str, SearchPredictions, dict[str, Any]]] = [
            ('plain', predictions, {}),
            ('context matching', predictions, dict(context_matching=ContextMatching(k1, k2))),
            ('similarity times score', predictions, dict(confidence_weighting=True)),
            ('annotated boxes', exact, {}),
        ]
        for theirs, ours in self._protocols():
            for name, found, options in variants:
                yield self._compare_search(name, found, theirs, options | ours)

    def _protocols(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Options of the reference and of this evaluation."""
        galleries = self._case.annotations.galleries
        if galleries:
            return [(dict(gallery_size=size), dict(gallery_size=size)) for size in galleries]
        return [
            (dict(ignore_cam_id=not other), dict(cross_camera=other)) for other in (False, True)
        ]

    def _compare_search(
        self, name: str, found: SearchPredictions, theirs: dict[str, Any], ours: dict[str, Any]
    ) -> Difference:
        started = time.perf_counter()
        values = self._reference_search(found, theirs, ours)
        between = time.perf_counter()
        (result,) = rank_queries(self._case.annotations, found, **ours)
        seconds = between - started, time.perf_counter() - between
        own = np.column_stack(list(result.scores().values()))
        (setting,) = (f'{key}={value}' for key, value in theirs.items())
        return _difference(f'{self._case.layout}, {setting}, {name}', values, own, seconds)

    def _reference_search(
        self, found: SearchPredictions, options: dict[str, Any], ours: dict[str, Any]
    ) -> np.ndarray:
        """(Q, 4) AP and hits among the first 1, 5 and 10."""
        embeddings = found.embeddings
        if 'confidence_weighting' in ours:
            embeddings = embeddings * found.scores[:, None]
        context = np.split(found.query_context_embeddings, found.query_context_splits[1:-1])
        boxes = self._case.annotations.query_bboxes
        around = [
            np.tile(np.append(box, np.float32(1)), (len(rows), 1))
            for box, rows in zip(boxes, context, strict=True)
        ]
        matching = ours.get('context_matching')
        if matching:
            options = options | dict(cbgm=True, k1=matching.k1, k2=matching.k2)
        search = self._search
        self._eval.np = recorded = _Numpy()
        with contextlib.redirect_stdout(io.StringIO()):
            search(
                self._gallery,
                self._queries,
                _per_image(found, _with_scores(found)),
                _per_image(found, embeddings),
                list(found.query_embeddings),
                around,
                context,
                **options,
            )
        shapes = {array.ndim: array for array in recorded.means}
        return np.column_stack([shapes[1], shapes[2]])


def _difference(
    what: str, theirs: np.ndarray, ours: np.ndarray, seconds: tuple[float, float]
) -> Difference:
    apart = abs(theirs - ours)
    differ = int((apart > ROUNDING).sum())
    return Difference(what, apart.size, differ, float(apart.max()), seconds)


def _with_scores(predictions: SearchPredictions) -> np.ndarray:
    """(N, 5)."""
    return np.concatenate([predictions.bboxes, predictions.scores[:, None]], 1)


def _per_image(predictions: SearchPredictions, rows: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, predictions.image_splits[1:-1])


def compare(reference: Reference, case: ParityCase, rng: np.random.Generator) -> list[Difference]:
    """Everything that both can evaluate; see :class:`Comparison`.

    Args:
        reference: See :func:`load_reference`.
        case: The test set and the predictions.
        rng: Source of the options of context matching.
    """
    comparison = Comparison(reference, case)
    searches = comparison.search(k1=int(rng.integers(1, 31)), k2=int(rng.integers(1, 5)))
    return [*comparison.detection(), *searches]


def _report(differences: Iterable[Difference]) -> None:
    by_kind: dict[str, list[Difference]] = {}
    for difference in differences:
        by_kind.setdefault(difference.what, []).append(difference)
    print(f'{"":60} {"values":>8} {"differ":>8} {"largest":>9} {"reference":>10} {"mmps":>8}')
    for what, found in by_kind.items():
        values, differ = (sum(getattr(d, key) for d in found) for key in ('values', 'differ'))
        theirs, ours = (sum(d.seconds[k] for d in found) for k in (0, 1))
        largest = max(d.largest for d in found)
        print(f'{what:60} {values:8} {differ:8} {largest:9.1e} {theirs:8.1f} s {ours:6.1f} s')


def main() -> None:
    """Runs the comparison and prints what differed, by kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('seqnet', type=Path, help='checkout of the reference')
    parser.add_argument('--layouts', nargs='+', default=LAYOUTS, choices=LAYOUTS)
    parser.add_argument('--cases', type=int, default=50, help='small test sets of each layout')
    parser.add_argument(
        '--full-size',
        type=int,
        metavar='QUERIES',
        help='instead of small ones one test set of the official size, with so many queries',
    )
    args = parser.parse_args()
    try:
        reference, differences = load_reference(args.seqnet), []
    except (FileNotFoundError, ModuleNotFoundError) as error:
        parser.error(str(error))
    for layout in args.layouts:
        for seed in tqdm(range(1 if args.full_size else args.cases), layout, delay=2):
            rng = np.random.default_rng(seed)
            with tempfile.TemporaryDirectory() as folder:
                if args.full_size:
                    case = large_case(Path(folder), layout, args.full_size, rng)
                else:
                    case = small_case(Path(folder), layout, rng)
                differences += compare(reference, case, rng)
    _report(differences)


if __name__ == '__main__':
    main()
