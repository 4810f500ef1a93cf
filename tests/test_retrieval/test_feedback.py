import numpy as np
import pytest

from mmps.retrieval import refined_query


def test_one_query_without_marks_is_itself():
    query = np.array([[0.6, 0.8]], np.float32)
    assert refined_query(query, np.empty((0, 2)), np.empty((0, 2))).tobytes() == query.tobytes()


def test_queries_are_averaged():
    np.testing.assert_allclose(refined_query(np.eye(2)), [0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_marks_pull_and_push():
    # (1, 0, 0) + 0.75 * (0, 1, 0) - 0.15 * (0, 0, 1), of length sqrt(1.585)
    refined = refined_query(
        np.array([[1, 0, 0]]), np.array([[0, 1, 0]]), np.array([[0, 0, 1], [0, 0, 1]])
    )
    np.testing.assert_allclose(refined, np.array([1, 0.75, -0.15]) / 1.585**0.5, rtol=1e-6)
    assert refined.dtype == np.float32


def test_nothing_to_search_for():
    with pytest.raises(ValueError, match='at least one row'):
        refined_query(np.empty((0, 4)))
    with pytest.raises(ValueError, match='cancel out'):
        refined_query(np.array([[1.0, 0], [-1, 0]]))
