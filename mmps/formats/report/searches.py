"""Problems of the queries of a test split and of its explicit galleries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmps.evaluation.functional.annotations import SearchGalleries

from .problem import EXAMPLES, Problem
from .split import Split, as_rows, row_keys, show_box


def find_search_problems(split: Split) -> Iterator[Problem]:
    """What queries and galleries show; nothing for a training split."""
    if not split.index.queries:
        return
    yield from _query_boxes(split)
    if not split.index.galleries:
        yield _queries_alone(split)
    for name, gallery in split.index.galleries.items():
        yield from _Gallery(split, name, gallery).problems()


def _queries_alone(split: Split) -> Problem:
    """Queries whose person is in no other image, where all other images are searched."""
    alone = np.flatnonzero(split.other_images_of_queries() == 0)
    cases = (_show_query(split, query) for query in alone)
    return Problem.of('query without a positive', split.name, cases)


def _show_query(split: Split, number: int) -> str:
    query = split.index.queries[number]
    return f'{query.source}: identity {query.person_id} in {query.image_name}'


def _query_boxes(split: Split) -> Iterator[Problem]:
    images, bboxes, ids = split.query_images, split.query_bboxes, split.query_ids
    rows = row_keys(as_rows(images, bboxes))
    known = np.isin(rows, row_keys(as_rows(split.images, split.bboxes)))
    yield Problem.of(
        'query box not annotated',
        split.name,
        (_nearest_annotation(split, query, images[query]) for query in np.flatnonzero(~known)),
    )
    same_id = np.isin(
        row_keys(as_rows(images, bboxes, ids)),
        row_keys(as_rows(split.images, split.bboxes, split.person_ids)),
    )
    other = np.flatnonzero(known & ~same_id)
    yield Problem.of(
        'query annotated as somebody else', split.name, (_show_query(split, q) for q in other)
    )
    _, first = np.unique(rows, return_index=True)
    repeated = np.setdiff1d(np.arange(len(rows)), first)
    yield Problem.of('query listed twice', split.name, (_show_query(split, q) for q in repeated))


def _nearest_annotation(split: Split, number: int, image: int) -> str:
    bbox, others = split.query_bboxes[number], split.bboxes[split.images == image]
    text = f'{_show_query(split, number)}: {show_box(bbox)}'
    if not len(others):
        return f'{text}, and nobody is annotated there'
    lower, upper = np.maximum(others[:, :2], bbox[:2]), np.minimum(others[:, 2:], bbox[2:])
    shared = (upper - lower).clip(min=0).prod(1)
    ious = shared / (_area(others) + _area(bbox[None]) - shared)
    return f'{text}; the nearest is {show_box(others[ious.argmax()])} (IoU {ious.max():.2f})'


def _area(bboxes: np.ndarray) -> np.ndarray:
    return (bboxes[:, 2:] - bboxes[:, :2]).prod(1)


class _Gallery:
    """The searches of one explicit protocol, which may have millions of entries."""

    def __init__(self, split: Split, name: int | str, gallery: SearchGalleries) -> None:
        self._split, self._name, self._gallery = split, name, gallery
        self._search = np.repeat(np.arange(len(gallery)), np.diff(gallery.splits))

    def problems(self) -> Iterator[Problem]:
        """What the searches show."""
        split, gallery = self._split, self._gallery
        splits, queries = gallery.splits, gallery.queries
        positives = np.diff(np.searchsorted(gallery.positives, splits))
        yield self._problem('query without a positive', np.flatnonzero(positives == 0))
        own = gallery.images == split.query_images[queries][self._search]
        yield self._entries_problem('own image in the gallery', np.flatnonzero(own))
        yield self._entries_problem('image repeated in a gallery', self._repeated())
        images = gallery.images[gallery.positives]
        known = np.isin(
            row_keys(as_rows(images, gallery.bboxes)),
            row_keys(as_rows(split.images, split.bboxes)),
        )
        yield self._entries_problem('positive not annotated', gallery.positives[~known])
        yield self._entries_problem('person in a gallery image not marked', self._unmarked(own))

    def _repeated(self) -> np.ndarray:
        """Entries whose image the same search lists before."""
        keys = self._search * len(self._split.counts) + self._gallery.images
        ordered = np.sort(keys)  # sorting values takes a third of the time of sorting places
        several = np.unique(ordered[1:][np.diff(ordered) == 0])
        entries = np.flatnonzero(np.isin(keys, several))
        _, first = np.unique(keys[entries], return_index=True)
        return np.delete(entries, first)

    def _unmarked(self, own: np.ndarray) -> np.ndarray:
        """Entries that show the person of the query without being positives."""
        split, gallery = self._split, self._gallery
        ids, images = split.appearances().T
        seen = ids * len(split.counts) + images
        wanted = split.query_ids[gallery.queries][self._search] * len(split.counts)
        wanted += gallery.images
        place = np.minimum(np.searchsorted(seen, wanted), max(len(seen) - 1, 0))
        shown = (seen[place] == wanted) & ~own if len(seen) else np.zeros_like(own)
        shown[gallery.positives] = False
        return np.flatnonzero(shown)

    def _entries_problem(self, kind: str, entries: np.ndarray) -> Problem:
        frames, images = self._split.index.frames, self._gallery.images
        cases = (
            f'{self._show(self._search[entry])}, entry {entry - self._start(entry)}: '
            f'{frames[images[entry]].name}'
            for entry in entries[:EXAMPLES]
        )
        return Problem.of(kind, self._split.name, cases, len(entries))

    def _problem(self, kind: str, searches: np.ndarray) -> Problem:
        cases = (self._show(search) for search in searches[:EXAMPLES])
        return Problem.of(kind, self._split.name, cases, len(searches))

    def _start(self, entry: int) -> int:
        return int(self._gallery.splits[self._search[entry]])

    def _show(self, search: int) -> str:
        query = int(self._gallery.queries[search])
        return f'gallery {self._name}, search {search}: {_show_query(self._split, query)}'
