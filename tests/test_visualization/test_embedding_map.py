"""Maps keep neighbours, and show groups in colours."""

import cv2
import numpy as np
import pytest

from mmps.visualization.embedding_map import (
    NAMED,
    affinities,
    gradient,
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


def test_neighbourhoods_have_the_perplexity_asked_for():
    rows, _ = groups(3, 10, 8, 0.1)
    joint = affinities(rows, 5.0)
    assert joint.sum() == pytest.approx(1) and (joint == joint.T).all()
    assert (np.diag(joint) == 0).all()
    # of a lattice everybody's neighbourhood is alike, and so is its own share of the sum
    circle = np.exp(2j * np.pi * np.arange(12) / 12)
    joint = affinities(np.stack([circle.real, circle.imag], 1), 4.0)
    shares = joint * 12
    entropy = -(shares[0, 1:] * np.log(shares[0, 1:])).sum()
    assert np.exp(entropy) == pytest.approx(4.0, rel=1e-3)


def test_gradient_is_that_of_the_divergence():
    rng = np.random.default_rng(2)
    joint, points = affinities(rng.normal(size=(6, 4)), 2.0), rng.normal(size=(6, 2))

    def divergence(plane):
        heavy = 1 / (1 + ((plane[:, None] - plane) ** 2).sum(-1))
        np.fill_diagonal(heavy, 0)
        there = joint > 0
        return (joint[there] * np.log(joint[there] / (heavy / heavy.sum())[there])).sum()

    slope = gradient(joint, points)
    for index in np.ndindex(points.shape):
        step = np.zeros_like(points)
        step[index] = 1e-6
        numeric = (divergence(points + step) - divergence(points - step)) / 2e-6
        assert slope[index] == pytest.approx(numeric, abs=1e-7)


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
