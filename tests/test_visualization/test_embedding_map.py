"""Maps keep neighbours, and show groups in colours."""

import sys

import cv2
import numpy as np
import pytest

from mmps.utils.errors import UserError
from mmps.visualization.embedding_map import (
    NAMED,
    named_groups,
    pca,
    save_embedding_map,
    tsne,
)


def groups(count, size, dim, spread, seed=0):
    """People of ``count`` groups, each near a direction of its own."""
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(dim, count)))[0].T
    rows = np.repeat(centres, size, 0) + spread * rng.normal(size=(count * size, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), np.repeat(np.arange(count), size)


def test_pca_finds_the_plane():
    plane = np.array([[3, 0], [-3, 0], [0, 1.0], [0, -1.0]])
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0][:2]
    points, share = pca(plane @ turned + 7)
    np.testing.assert_allclose(abs(points), abs(plane), atol=1e-12)
    assert share == pytest.approx(1) and (points.max(0) > 0).all()


def test_pca_says_what_it_leaves_out():
    points, share = pca(np.diag([2.0, 2, 2, 2]))  # three equal directions of variance
    assert share == pytest.approx(2 / 3)
    assert pca(np.ones((3, 4)))[1] == 1.0


def test_neighbours_stay_neighbours_where_a_plane_cannot_show_them():
    rows, labels = groups(8, 12, 16, 0.12)

    def purity(points):
        distances = np.linalg.norm(points[:, None] - points, axis=-1)
        np.fill_diagonal(distances, np.inf)
        nearest = np.argsort(distances, 1)[:, :5]
        return (labels[nearest] == labels[:, None]).mean()

    assert purity(tsne(rows, 8)) > 0.98 > purity(pca(rows)[0])


def test_the_same_map_every_time_and_for_few():
    rows, _ = groups(2, 5, 4, 0.2)
    assert (tsne(rows) == tsne(rows)).all()
    assert tsne(rows[:2]).shape == (2, 2) and np.isfinite(tsne(rows[:5])).all()


def test_people_who_all_look_alike_have_a_map():
    assert np.isfinite(tsne(np.ones((12, 4)))).all()


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    with pytest.raises(UserError, match=r"sklearn is not installed: pip install 'mmps\[plots\]'"):
        tsne(np.eye(5))


def test_the_largest_groups_are_named():
    labels = ['b', 'a', 'b', None, 'a', 'c']
    assert named_groups(labels) == ['a', 'b', 'c']
    assert len(named_groups([str(n) for n in range(100)])) == NAMED


def test_an_embedding_map(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 2))
    labels = ['one'] * 10 + ['two'] * 10 + [None] * 10
    picture = np.zeros((40, 20, 3), np.uint8)
    picture[:] = (0, 255, 0)
    save_embedding_map(tmp_path / 'map.png', points, labels, 'Map', {3: picture})
    drawn = cv2.imread(str(tmp_path / 'map.png'))
    for colour in ((235, 99, 37), (38, 38, 220), (225, 213, 203)):  # one, two, others
        assert (drawn == colour).all(2).sum() > 30
    assert (drawn == (0, 255, 0)).all(2).sum() > 400
