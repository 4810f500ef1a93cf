import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmps.apis.batching import LOOK_AHEAD, map_batched


def run(shapes, size):
    """Batches that were made, and what came out."""
    batches = []

    def function(batch):
        batches.append(batch)
        return [10 * number for number, _ in batch]

    items = list(enumerate(shapes))
    return batches, list(map_batched(function, items, lambda item: item[1], size))


@given(shapes=st.lists(st.sampled_from('abc'), max_size=60), size=st.integers(1, 7))
def test_order_is_kept_and_batches_are_of_one_shape(shapes, size):
    batches, results = run(shapes, size)
    assert results == [((i, shape), 10 * i) for i, shape in enumerate(shapes)]
    assert sorted(itertools.chain(*batches)) == list(enumerate(shapes))
    assert all(len({shape for _, shape in batch}) == 1 for batch in batches)
    assert all(len(batch) <= size for batch in batches)


def test_one_shape_is_grouped_as_it_comes():
    batches, _ = run('aaaaaaa', 3)
    assert [[number for number, _ in batch] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def test_mixed_shapes_still_fill_batches():
    batches, _ = run('ab' * 20, 4)
    assert [len(batch) for batch in batches] == [4] * 10


def test_few_items_are_held_of_an_endless_stream():
    taken = []

    def items():
        for number in itertools.count():
            taken.append(number)
            # one image of a shape of its own comes first and has to wait
            yield number, 'rare' if number == 0 else number % 50

    results = map_batched(lambda batch: batch, items(), lambda item: item[1], 4)
    for count, (item, _) in enumerate(itertools.islice(results, 100)):
        assert item[0] == count
        assert len(taken) - count <= 4 * LOOK_AHEAD


def test_an_error_of_the_function_comes_through():
    with pytest.raises(ZeroDivisionError):
        list(map_batched(lambda batch: 1 / 0, 'aa', str, 2))
