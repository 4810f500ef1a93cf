"""Comparisons that come out the same however the products were computed."""

import numpy as np
import pytest
from helpers.search_cases import random_embeddings
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional.similarities import Similarities, rounding_error


def test_exact_similarities_are_correctly_rounded():
    rng = np.random.default_rng(0)
    queries, embeddings = random_embeddings(rng, 2, 256), random_embeddings(rng, 500, 256)
    got = Similarities(queries, embeddings).exact(1, np.arange(500))
    want = (embeddings.astype(np.longdouble) @ queries[1].astype(np.longdouble)).astype(np.float32)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize('dim', [1, 4, 256, 2048])
def test_products_are_within_the_bound(dim):
    rng = np.random.default_rng(dim)
    queries, embeddings = random_embeddings(rng, 40, dim), random_embeddings(rng, 300, dim)
    similarities = Similarities(queries, embeddings)
    for query, row in similarities.rows(np.arange(40)):
        error = np.abs(row - similarities.exact(query, np.arange(300))).max()
        assert error <= rounding_error(dim)


def test_rows_of_some_queries_in_chunks(monkeypatch):
    monkeypatch.setattr('mmps.evaluation.functional.similarities.CHUNK_VALUES', 14)
    rng = np.random.default_rng(0)
    queries, embeddings = random_embeddings(rng, 9, 8), random_embeddings(rng, 6, 8)
    wanted = np.array([1, 2, 4, 7, 8])
    rows = list(Similarities(queries, embeddings).rows(wanted))
    assert [query for query, _ in rows] == wanted.tolist()
    want = (queries @ embeddings.T)[wanted]
    np.testing.assert_allclose([row for _, row in rows], want, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), dim=st.sampled_from([3, 4, 64]), levels=st.integers(1, 5))
def test_settled_rows_compare_as_exact_ones(seed, dim, levels):
    """The row is off by as much as the bound allows, half of the detections are copies."""
    rng = np.random.default_rng(seed)
    queries = random_embeddings(rng, 1, dim)
    embeddings = random_embeddings(rng, 40, dim)[rng.integers(0, 40, 80)]
    similarities = Similarities(queries, embeddings)
    exact = similarities.exact(0, np.arange(80))
    row = exact + rng.choice([-1, 0, 1], 80).astype(np.float32) * np.float32(rounding_error(dim))
    chosen = rng.integers(0, 80, levels)
    similarities.settle(0, row, exact[chosen], np.arange(80))
    for level in exact[chosen]:
        np.testing.assert_array_equal(np.sign(row - level), np.sign(exact - level))


def test_only_what_is_near_and_unknown_is_computed_again():
    queries = np.array([[1, 0]], np.float32)
    cosine = np.array([0.5, 0.5, 0.5, 0.9], np.float32)
    embeddings = np.stack([cosine, np.sqrt(1 - cosine**2)], 1)
    row = np.array([0.5000001, 0.5000001, 0.5000001, 0.9000001], np.float32)
    kept = row.copy()
    similarities = Similarities(queries, embeddings)
    similarities.settle(0, row, cosine[:1], np.array([0, 1, 3]), known=np.array([1]))
    assert row.tolist() == [0.5, *kept[1:].tolist()]


def test_levels_and_embeddings_beyond_unit_norm():
    """Weights above one and sums over an assignment leave the range of a cosine."""
    queries, embeddings = np.float32([[1, 0]]), np.float32([[3, 4], [2, 0], [3, 0]])
    similarities = Similarities(queries, embeddings)
    row = np.float32([3.0000002, 2, 3])
    similarities.settle(0, row, np.float32([3, -9, 9]), np.arange(3))
    assert row.tolist() == [3, 2, 3]


def test_nothing_detected():
    similarities = Similarities(np.ones((2, 1), np.float32), np.zeros((0, 0), np.float32))
    assert [row.shape for _, row in similarities.rows(np.arange(2))] == [(0,), (0,)]


def test_only_the_columns_that_matter():
    rng = np.random.default_rng(0)
    queries, embeddings = random_embeddings(rng, 3, 8), random_embeddings(rng, 6, 8)
    columns = {0: np.array([1, 4]), 2: np.array([], int)}
    rows = Similarities(queries, embeddings).rows(np.array([0, 2]), columns.__getitem__)
    for query, row in rows:
        want = np.full(6, -np.inf)
        want[columns[query]] = (queries @ embeddings.T)[query][columns[query]]
        np.testing.assert_allclose(row, want, atol=1e-6)
