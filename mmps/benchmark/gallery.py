"""Time searches of a gallery of random embeddings.

Beside each stands what no exact search can do without: the bare matrix product of the queries with
all embeddings, and the best of each row of it, by whichever of NumPy and PyTorch is the faster one.
"""

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from time import perf_counter

import numpy as np
import torch

from mmps.benchmark.measurement import Measurement, in_turn, peak_memory, seconds_of
from mmps.retrieval import Gallery, IndexedFrame, ModelTag, Where

PEOPLE_PER_FRAME = 50
APPENDED = 1000
"""Frames appended at a time."""
CAMERAS = 20
TOP_K = 20
ALIKE = 0.7
"""Similarity of two embeddings of one person, on average."""
FILTERS = {'one camera': Where(cameras=['0']), 'any time': Where(since=0.0)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--people', type=int, default=1_000_000, help='default: %(default)s')
    parser.add_argument('--dim', type=int, default=256, help='default: %(default)s')
    parser.add_argument(
        '--identities',
        type=int,
        help='so many people are seen again and again (default: everybody is somebody else)',
    )
    parser.add_argument(
        '--in-view',
        type=int,
        default=1,
        metavar='FRAMES',
        help='so many frames in a row show the same people (default: %(default)s)',
    )
    parser.add_argument('--engine', choices=('lance', 'memory'), default='lance')
    parser.add_argument('--batch', type=int, default=100, help='queries at once (default: 100)')
    parser.add_argument('--repeats', type=int, default=5, help='best of this many runs')
    parser.add_argument(
        '--index', action='store_true', help='also time approximate searches, and count their hits'
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    model = ModelTag('random', arguments.dim, 'random')
    with tempfile.TemporaryDirectory() as folder:
        address = 'memory:' if arguments.engine == 'memory' else f'{folder}/people.lance'
        gallery = Gallery.open(address, model)
        start = perf_counter()
        embeddings = _Embeddings(arguments.dim, arguments.identities)
        for frames in _frames(arguments.people, embeddings, arguments.in_view):
            gallery.append(frames)
        measured = [Measurement('append everything', perf_counter() - start, 's')]
        if arguments.engine == 'lance':
            gallery.compact()
            gallery, opening = _time_opening(address, embeddings)
            measured += opening
        for count in (1, arguments.batch):
            measured += _time_searches(gallery, embeddings.draw(count), arguments.repeats)
        if arguments.index:
            measured += _time_index(gallery, embeddings.draw(1), arguments.repeats)
        measured.append(Measurement('peak memory of the process', peak_memory(), 'MiB'))
    return measured


class _Embeddings:
    """Draws embeddings of unit norm, of so many people; None: no two are of one person."""

    def __init__(self, dim: int, identities: int | None) -> None:
        self._generator = np.random.default_rng(0)
        self._dim = dim
        self._centres = None if identities is None else self._noise(identities)

    def draw(self, count: int, in_view: int = 1) -> np.ndarray:
        """(count * in_view, dim) float32 of random people, frame after frame of each group."""
        vectors = self._noise(count)
        if self._centres is not None:
            people = self._generator.integers(len(self._centres), size=count)
            vectors = self._like(self._centres[people])
        if in_view > 1:
            groups = vectors.reshape(-1, 1, PEOPLE_PER_FRAME, self._dim).repeat(in_view, 1)
            vectors = self._like(groups.reshape(-1, self._dim))
        return vectors

    def _like(self, vectors: np.ndarray) -> np.ndarray:
        noise = self._noise(len(vectors))
        vectors = ALIKE**0.5 * vectors + (1 - ALIKE) ** 0.5 * noise
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _noise(self, count: int) -> np.ndarray:
        vectors = self._generator.standard_normal((count, self._dim), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _frames(people: int, embeddings: _Embeddings, in_view: int = 1) -> Iterator[list[IndexedFrame]]:
    boxes, scores = np.zeros((PEOPLE_PER_FRAME, 4)), np.ones(PEOPLE_PER_FRAME)
    numbers = range(people // PEOPLE_PER_FRAME)
    for start in range(0, len(numbers), APPENDED):
        some = numbers[start : start + APPENDED]
        vectors = embeddings.draw(-(-len(some) // in_view) * PEOPLE_PER_FRAME, in_view)
        vectors = vectors.reshape(-1, PEOPLE_PER_FRAME, vectors.shape[-1])[: len(some)]
        yield [
            IndexedFrame(
                f'{number // APPENDED}.mp4',
                (1920, 1080),
                boxes,
                scores,
                own,
                frame=number,
                time=float(number),
                camera=str(number // in_view % CAMERAS),
                tracklets=1 + number // in_view * PEOPLE_PER_FRAME + np.arange(PEOPLE_PER_FRAME),
            )
            for number, own in zip(some, vectors, strict=True)
        ]


def _time_opening(address: str, embeddings: _Embeddings) -> tuple[Gallery, list[Measurement]]:
    """Open a gallery that nobody has searched yet, and then as everybody after does."""
    query, measured = embeddings.draw(1), []
    for name in ('first search of all', 'first search'):
        start = perf_counter()
        gallery = Gallery.open(address)
        opened = perf_counter()
        gallery.search(query, TOP_K)
        measured.append(Measurement(name, perf_counter() - opened, 's'))
    return gallery, [*measured, Measurement('open', opened - start, 's')]


def _time_searches(gallery: Gallery, queries: np.ndarray, repeats: int) -> list[Measurement]:
    matrix = gallery._engine.snapshot(embeddings=True).embeddings
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # that writing to it would be undefined
        tensor = torch.from_numpy(matrix)
    floors = {
        'NumPy': lambda: np.argpartition(queries @ matrix.T, -TOP_K, axis=1)[:, -TOP_K:],
        'PyTorch': lambda: (torch.from_numpy(queries) @ tensor.T).topk(TOP_K, dim=1),
    }
    searches = {'search': partial(gallery.search, queries, TOP_K)}
    for name, where in FILTERS.items():
        searches[f'search, {name}'] = partial(gallery.search, queries, TOP_K, where)
    searches['appearances'] = partial(gallery.appearances, queries, TOP_K)
    seconds = in_turn(floors | searches, repeats)
    least = {name: float(own.min()) for name, own in seconds.items()}
    floor = min(least[name] for name in floors)
    stage = 'one query' if len(queries) == 1 else f'{len(queries)} queries'
    measured = [Measurement('time', floor, 's', f'{stage}: product and top {TOP_K}')]
    for name in searches:
        measured.append(Measurement('time', least[name], 's', f'{stage}: {name}'))
        measured.append(Measurement('of the product', least[name] / floor, 'x', f'{stage}: {name}'))
    return measured


def _time_index(gallery: Gallery, query: np.ndarray, repeats: int) -> list[Measurement]:
    measured = [Measurement('make the index', seconds_of(gallery.build_index), 's')]
    name = 'one query, approximate'
    search = partial(gallery.search, query, TOP_K, approximate=True)
    measured.append(Measurement(name, float(in_turn({name: search}, repeats)[name].min()), 's'))
    recall = gallery.recall(20, TOP_K)
    return [*measured, Measurement('recall of approximate searches', recall, '')]
