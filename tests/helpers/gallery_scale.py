"""What the index of a gallery costs and finds: recall, time, memory and disk, beside exact search.

``PYTHONPATH=tests python -m helpers.gallery_scale --people 1000000 --folder DIR`` fills a gallery
there with random people, each in so many appearances of so many frames. Every step is a process of
its own, so that its peak of memory is its own. Remove the folder afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from mmps.benchmark.gallery import CAMERAS, _Embeddings, _frames
from mmps.benchmark.measurement import peak_memory
from mmps.retrieval import Gallery, IndexedFrame, ModelTag, Where
from mmps.retrieval.lance import BATCH, scan
from mmps.retrieval.rows import EMBEDDING

QUERIES, TOP_K, DEPTHS = 100, 100, (1, 20, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--people', type=int, default=1_000_000)
    parser.add_argument('--dim', type=int, default=128)
    parser.add_argument('--in-view', type=int, default=10, help='frames of an appearance')
    parser.add_argument('--appearances', type=int, default=5, help='of each person')
    parser.add_argument('--folder', type=Path, required=True)
    parser.add_argument('--steps', nargs='+', choices=STEPS, default=[*STEPS])
    arguments = parser.parse_args()
    if len(arguments.steps) == 1:
        print(f'{arguments.steps[0]}: imports take {peak_memory():,.0f} MiB')
        STEPS[arguments.steps[0]](arguments)
        print(f'{arguments.steps[0]}: peak of memory {peak_memory():,.0f} MiB', flush=True)
        return
    options = [f'--{name.replace("_", "-")}={getattr(arguments, name)}' for name in SIZES]
    for step in arguments.steps:
        command = [sys.executable, '-m', 'helpers.gallery_scale', *options, '--steps', step]
        subprocess.run(command, check=True)


SIZES = ('people', 'dim', 'in_view', 'appearances', 'folder')


def fill(arguments: argparse.Namespace) -> None:
    start, gallery = perf_counter(), _opened(arguments)
    for frames in _frames(arguments.people, _people(arguments), arguments.in_view):
        gallery.append(frames)
    _say('fill', seconds=perf_counter() - start, megabytes=_megabytes(arguments))


def exact(arguments: argparse.Namespace) -> None:
    start, gallery = perf_counter(), _opened(arguments)
    queries = _queries(arguments)
    gallery.search(queries[:1], TOP_K)
    _say('exact', first_search=perf_counter() - start)
    _time('exact', gallery, queries, {})


def truth(arguments: argparse.Namespace) -> None:
    """The ids of the best of each query, without holding all embeddings."""
    gallery, queries = _opened(arguments), _queries(arguments)
    best, ids = np.full((QUERIES, TOP_K), -2, np.float32), np.zeros((QUERIES, TOP_K), np.int64)
    for batch in scan(gallery._engine._table, ['id', EMBEDDING]).to_batches(BATCH):
        rows = batch.column(EMBEDDING).flatten().to_numpy().reshape(-1, arguments.dim)
        names = np.broadcast_to(batch.column('id').to_numpy(), (QUERIES, len(rows)))
        best, ids = np.hstack([best, queries @ rows.T]), np.hstack([ids, names])
        places = np.argpartition(-best, TOP_K, axis=1)[:, :TOP_K]
        best, ids = (np.take_along_axis(one, places, 1) for one in (best, ids))
    np.save(arguments.folder / 'best.npy', np.take_along_axis(ids, np.argsort(-best), 1))


def index(arguments: argparse.Namespace) -> None:
    gallery, before = _opened(arguments), _megabytes(arguments)
    start, busy = perf_counter(), process_time()
    gallery.build_index()
    _say('index', seconds=perf_counter() - start, cpu=process_time() - busy)
    _say('index', megabytes=_megabytes(arguments) - before)


def approximate(arguments: argparse.Namespace) -> None:
    gallery, queries = _opened(arguments), _queries(arguments)
    start = perf_counter()
    gallery.search(queries[:1], TOP_K, approximate=True)
    _say('approximate', first_search=perf_counter() - start)
    _time('approximate', gallery, queries, dict(approximate=True))
    found = gallery.search(queries, TOP_K, approximate=True)
    path = arguments.folder / 'best.npy'
    if path.exists():
        best = np.load(path)
        for depth in DEPTHS:
            shares = [
                np.isin(one[:depth], [hit.id for hit in hits[:depth]]).mean()
                for one, hits in zip(best, found, strict=True)
            ]
            _say('approximate', **{f'recall_at_{depth}': np.mean(shares)})
    _say('before appearances', peak=peak_memory())
    start = perf_counter()
    gallery.appearances(queries[:1], 20, approximate=True)
    _say('approximate', appearances=perf_counter() - start)
    for cameras in (1, CAMERAS // 2):
        where = Where(cameras=[str(n) for n in range(cameras)])
        start = perf_counter()
        gallery.search(queries[:1], 20, where, approximate=True)
        _say('approximate', **{f'{cameras}_of_{CAMERAS}_cameras': perf_counter() - start})


def later(arguments: argparse.Namespace) -> None:
    """What is added after the index was made."""
    gallery, queries = _opened(arguments), _queries(arguments)
    boxes, scores = np.zeros((QUERIES, 4)), np.ones(QUERIES)
    gallery.append([IndexedFrame('later.jpg', (1920, 1080), boxes, scores, queries)])
    found = gallery.search(queries, 1, approximate=True)
    _say('later', found=np.mean([hits[0].source == 'later.jpg' for hits in found]))
    gallery.delete_source('later.jpg')
    found = gallery.search(queries, 20, approximate=True)
    _say('later', left=np.mean([hit.source == 'later.jpg' for hits in found for hit in hits]))


STEPS = dict(fill=fill, exact=exact, truth=truth, index=index, approximate=approximate, later=later)


def _time(step: str, gallery: Gallery, queries: np.ndarray, options: dict[str, bool]) -> None:
    """Search for one person at a time, 20 times, and for all at once."""
    times, busy = [], process_time()
    for number in range(20):
        start = perf_counter()
        gallery.search(queries[number : number + 1], 20, **options)
        times.append(perf_counter() - start)
    _say(step, one_query=np.median(times), one_query_cpu=(process_time() - busy) / 20)
    start, busy = perf_counter(), process_time()
    gallery.search(queries, 20, **options)
    _say(step, hundred_queries=perf_counter() - start, hundred_cpu=process_time() - busy)


def _opened(arguments: argparse.Namespace) -> Gallery:
    model = ModelTag('random', arguments.dim, 'random')
    return Gallery.open(arguments.folder / 'people.lance', model)


def _people(arguments: argparse.Namespace) -> _Embeddings:
    people = arguments.people // (arguments.in_view * arguments.appearances)
    return _Embeddings(arguments.dim, people)


def _queries(arguments: argparse.Namespace) -> np.ndarray:
    """People of the gallery, seen once more."""
    embeddings = _people(arguments)
    embeddings._generator = np.random.default_rng(1)
    return embeddings.draw(QUERIES).astype(np.float32)


def _megabytes(arguments: argparse.Namespace) -> float:
    files = (arguments.folder / 'people.lance').rglob('*')
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def _say(step: str, **values: float) -> None:
    print(f'{step}:', *(f'{name} {value:.4g}' for name, value in values.items()), flush=True)


if __name__ == '__main__':
    main()
