"""An index as a few plain arrays, and back: what a cache file holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from mmps.evaluation.functional.annotations import SearchGalleries

from .scene_index import Frame, Query, SceneIndex

_GALLERY_ARRAYS = ('splits', 'images', 'positives', 'bboxes', 'queries')


def pack_index(index: SceneIndex, removed: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays that stand for what ``load_scenes`` returns.

    Args:
        index: Boxes are float32, ids int64.
        removed: The boxes left out.
    """
    frames, queries = index.frames, index.queries
    arrays = {
        'num_ids': np.array(index.num_ids, np.int64),
        'cameras': np.array([frame.camera for frame in frames], np.int64),
        'box_splits': np.cumsum([0, *(len(frame.bboxes) for frame in frames)]),
        'bboxes': np.concatenate([np.empty((0, 4), np.float32), *(f.bboxes for f in frames)]),
        'person_ids': np.concatenate([np.empty(0, np.int64), *(f.person_ids for f in frames)]),
        'query_bboxes': np.array([query.bbox for query in queries], np.float32).reshape(-1, 4),
        'query_person_ids': np.array([query.person_id for query in queries], np.int64),
        **_pack_texts('names', (frame.name for frame in frames)),
        **_pack_texts('sources', (frame.source for frame in frames)),
        **_pack_texts('query_names', (query.image_name for query in queries)),
        **_pack_texts('query_sources', (query.source for query in queries)),
        **_pack_texts('removed', removed),
        **_pack_texts('galleries', (json.dumps(name) for name in index.galleries)),
    }
    if index.raw_ids is not None:
        arrays['raw_ids'] = index.raw_ids
    for number, gallery in enumerate(index.galleries.values()):
        for name in _GALLERY_ARRAYS:
            arrays[f'gallery_{number}_{name}'] = getattr(gallery, name)
    return arrays


def unpack_index(arrays: Mapping[str, np.ndarray]) -> tuple[SceneIndex, list[str]]:
    """What :func:`pack_index` was given.

    Raises:
        KeyError: An array is missing.
        ValueError: The arrays do not fit together.
    """
    bboxes, person_ids = arrays['bboxes'], arrays['person_ids']
    rows = pairwise(arrays['box_splits'].tolist())
    frames = [
        Frame(name, bboxes[start:stop], person_ids[start:stop], source, camera)
        for name, (start, stop), source, camera in zip(
            _unpack_texts('names', arrays),
            rows,
            _unpack_texts('sources', arrays),
            arrays['cameras'].tolist(),
            strict=True,
        )
    ]
    queries = [
        Query(name, bbox, person_id, source)
        for name, bbox, person_id, source in zip(
            _unpack_texts('query_names', arrays),
            arrays['query_bboxes'],
            arrays['query_person_ids'].tolist(),
            _unpack_texts('query_sources', arrays),
            strict=True,
        )
    ]
    galleries = {
        json.loads(name): SearchGalleries(
            **{key: arrays[f'gallery_{number}_{key}'] for key in _GALLERY_ARRAYS}
        )
        for number, name in enumerate(_unpack_texts('galleries', arrays))
    }
    raw_ids = arrays.get('raw_ids')
    index = SceneIndex(frames, int(arrays['num_ids']), queries, galleries, raw_ids)
    return index, _unpack_texts('removed', arrays)


def _pack_texts(name: str, texts: Iterable[str]) -> dict[str, np.ndarray]:
    """One array of bytes and one of lengths: numpy's own would pad every text to the longest."""
    texts = list(texts)
    # File names may hold bytes that are no text, which Python carries as lone surrogates.
    content = ''.join(texts).encode('utf-8', 'surrogatepass')
    return {
        f'{name}_text': np.frombuffer(content, np.uint8),
        f'{name}_splits': np.cumsum([0, *map(len, texts)]),
    }


def _unpack_texts(name: str, arrays: Mapping[str, np.ndarray]) -> list[str]:
    content = arrays[f'{name}_text'].tobytes().decode('utf-8', 'surrogatepass')
    return [content[start:stop] for start, stop in pairwise(arrays[f'{name}_splits'].tolist())]
