import io
from dataclasses import replace

import numpy as np
import pytest
from helpers.scene_indices import assert_same_index, random_index
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.formats.packed_index import pack_index, unpack_index
from mmps.formats.scene_index import SceneIndex

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates included
GALLERIES = st.lists(st.integers(1, 4000) | TEXTS, unique=True, max_size=3)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1), st.booleans(), GALLERIES)
def test_an_index_comes_back_as_it_was(data, seed, test_mode, galleries):
    given_index = random_index(
        np.random.default_rng(seed),
        test_mode=test_mode,
        frames=data.draw(st.integers(0, 4)),
        galleries=tuple(galleries),
    )
    frames = [
        replace(frame, name=data.draw(TEXTS), source=data.draw(TEXTS))
        for frame in given_index.frames
    ]
    queries = [
        replace(query, image_name=data.draw(TEXTS), source=data.draw(TEXTS))
        for query in given_index.queries
    ]
    removed = data.draw(st.lists(TEXTS, max_size=3))
    raw_ids = data.draw(st.none() | st.lists(st.integers(0, 999)).map(np.int64))
    given_index = replace(given_index, frames=frames, queries=queries, raw_ids=raw_ids)

    file = io.BytesIO()
    np.savez(file, **pack_index(given_index, removed))
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        index, removed_then = unpack_index(archive)

    assert_same_index(index, given_index)
    assert removed_then == removed
    np.testing.assert_array_equal(index.raw_ids, raw_ids)
    assert [frame.source for frame in index.frames] == [frame.source for frame in frames]
    assert [query.source for query in index.queries] == [query.source for query in queries]


def test_arrays_of_another_index_are_refused():
    arrays = pack_index(SceneIndex([], 0), [])
    with pytest.raises(KeyError, match='names_text'):
        unpack_index({name: value for name, value in arrays.items() if name != 'names_text'})
    with pytest.raises(ValueError, match='zip'):
        unpack_index({**arrays, 'cameras': np.array([3])})
