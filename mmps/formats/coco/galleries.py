"""Explicit galleries in a COCO-style file: which images each query is searched in.

``galleries`` is a list of protocols::

    {"name": 100, "searches": [
        {"query": 0, "images": [12, 7, 9], "positives": [{"entry": 1, "bbox": [x, y, w, h]}]}]}

``name`` is a gallery size or a word, ``query`` counts the queries of the file from 0, ``images``
are image ids and may repeat, and ``entry`` counts ``images`` from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmps.evaluation.functional.annotations import SearchGalleries
from mmps.formats.json_file import JsonObject, as_integer, shown

from .boxes import to_xywh

_GALLERY = '{"name": 100, "searches": [...]}'
_SEARCH = '{"query": 0, "images": [...], "positives": [...]}'
_POSITIVE = '{"entry": 0, "bbox": [x, y, width, height]}'


def read_galleries(
    document: JsonObject, positions: Mapping[int, int], num_queries: int
) -> dict[int | str, SearchGalleries]:
    """The galleries of a file, which may have none.

    Args:
        document: The whole file.
        positions: Image id -> position among the frames.
        num_queries: Number of queries.

    Raises:
        ValueError: A position or a number is wrong.
    """
    galleries: dict[int | str, SearchGalleries] = {}
    ids = np.array(sorted(positions), np.int64)
    places = np.array([positions[image_id] for image_id in ids.tolist()], np.int64)
    for entry in document.objects('galleries', _GALLERY, []):
        name = _name(entry)
        if name in galleries:
            raise ValueError(f'{entry.at("name")}: {name!r} occurs twice; give each its own name')
        galleries[name] = _read_gallery(entry, ids, places, num_queries)
    return galleries


def _name(entry: JsonObject) -> int | str:
    value = entry.content.get('name')
    return entry.text('name') if isinstance(value, str) else entry.integer('name')


def _read_gallery(
    gallery: JsonObject, ids: np.ndarray, places: np.ndarray, num_queries: int
) -> SearchGalleries:
    images, positives, bboxes, queries, start = [], [], [], [], 0
    splits = [0]
    for search in gallery.objects('searches', _SEARCH):
        query = search.integer('query')
        if not 0 <= query < num_queries:
            raise ValueError(
                f'{search.at("query")}: {query} given; there are {num_queries} queries'
            )
        listed = _read_images(search, ids, places)
        for positive in search.objects('positives', _POSITIVE, []):
            entry = positive.integer('entry')
            if not 0 <= entry < len(listed):
                raise ValueError(
                    f'{positive.at("entry")}: {entry} given; the search lists {len(listed)} images'
                )
            positives.append(start + entry)
            bboxes.append(positive.box('bbox'))
        images.append(listed)
        queries.append(query)
        start += len(listed)
        splits.append(start)
    try:
        return SearchGalleries(
            np.array(splits),
            np.concatenate([np.empty(0, np.int64), *images]),
            np.array(positives, np.int64),
            np.array(bboxes, np.float64).reshape(-1, 4),
            np.array(queries, np.int64),
        )
    except ValueError as error:
        raise ValueError(f'{gallery.where}: {error}') from None


def _read_images(search: JsonObject, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Positions of the images of a search among the frames; vectorised, for there are millions."""
    values, where = search.values('images'), search.at('images')
    if not all(type(value) is int for value in values):
        entry = next(n for n, value in enumerate(values) if type(value) is not int)
        as_integer(values[entry], f'{where}[{entry}]')
        raise ValueError(f'{where}[{entry}]: {shown(values[entry])} is not an image id')
    try:
        listed = np.array(values, np.int64)
    except OverflowError:
        raise ValueError(f'{where}: an image id is too large') from None
    place = np.searchsorted(ids, listed)
    known = place < len(ids)
    known[known] = ids[place[known]] == listed[known]
    if not known.all():
        entry = int(np.flatnonzero(~known)[0])
        raise ValueError(
            f'{where}[{entry}]: {listed[entry]} is not the id of an image of this split'
        )
    return places[place]


def galleries_to_json(
    galleries: Mapping[int | str, SearchGalleries], image_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """What :func:`read_galleries` reads.

    Args:
        galleries: By size or name.
        image_ids: Image id of each frame.
    """
    ids = np.asarray(image_ids)
    return [
        dict(name=name, searches=_searches(gallery, ids)) for name, gallery in galleries.items()
    ]


def _searches(gallery: SearchGalleries, ids: np.ndarray) -> list[dict[str, Any]]:
    searches = []
    bounds = np.searchsorted(gallery.positives, gallery.splits)
    for search, query in enumerate(gallery.queries.tolist()):
        start, stop = gallery.splits[search : search + 2].tolist()
        rows = range(bounds[search], bounds[search + 1])
        positives = [
            dict(entry=int(gallery.positives[row]) - start, bbox=to_xywh(gallery.bboxes[row]))
            for row in rows
        ]
        images = ids[gallery.images[start:stop]].tolist()
        searches.append(dict(query=query, images=images, positives=positives))
    return searches
