"""Embeddings on a plane."""

from __future__ import annotations

import numpy as np

_EXAGGERATION, _EARLY, _STEPS = 12.0, 250, 750
_TOLERANCE = 1e-5


def pca(embeddings: np.ndarray) -> tuple[np.ndarray, float]:
    """The plane on which embeddings differ most.

    Args:
        embeddings: (n, D).

    Returns:
        (n, 2) float64, and the share of the variance that it shows. The sign of each axis is such
        that the entry of the largest size is positive.
    """
    centred = np.asarray(embeddings, np.float64) - np.mean(embeddings, 0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(centred), 2))
    points[:, : min(2, len(sizes))] = (left * sizes)[:, :2]
    largest = points[abs(points).argmax(0), [0, 1]]
    total = (sizes**2).sum()
    share = float((sizes[:2] ** 2).sum() / total) if total > 0 else 1.0
    return points * np.where(largest < 0, -1, 1), share


def tsne(embeddings: np.ndarray, perplexity: float = 20.0) -> np.ndarray:
    """A plane on which neighbours stay neighbours; distances between groups mean little.

    Exact t-SNE (van der Maaten and Hinton, JMLR 2008) of Euclidean distances, which for unit norm
    order people as similarities do. It starts from :func:`pca` and draws no random numbers. Time
    and memory grow with the square of n.

    Args:
        embeddings: (n, D).
        perplexity: About how many neighbours count; at most a third of n.

    Returns:
        (n, 2) float64.
    """
    count = len(embeddings)
    points, _ = pca(embeddings)
    if count < 4:
        return points
    joint = affinities(embeddings, min(perplexity, (count - 1) / 3))
    points = points / max(points[:, 0].std(), 1e-12) * 1e-4
    rate = max(count / _EXAGGERATION / 4, 50.0)
    step, gains = np.zeros_like(points), np.ones_like(points)
    for number in range(_STEPS):
        early = number < _EARLY
        slope = gradient(joint * (_EXAGGERATION if early else 1.0), points)
        gains = np.where(slope * step < 0, gains + 0.2, gains * 0.8).clip(0.01)
        step = (0.5 if early else 0.8) * step - rate * gains * slope
        points = points + step
        points -= points.mean(0)
    return points


def affinities(embeddings: np.ndarray, perplexity: float) -> np.ndarray:
    """How much each person is a neighbour of each other: (n, n), symmetric, with a sum of 1.

    Every person's own neighbourhood, a Gaussian, has the given perplexity.
    """
    x = np.asarray(embeddings, np.float64)
    squares = (x**2).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
    np.fill_diagonal(distances, np.inf)
    distances -= distances.min(1, keepdims=True)
    low, high = np.zeros(len(x)), np.full(len(x), np.inf)
    precision = np.ones(len(x))
    for _ in range(60):
        shares = np.exp(-distances * precision[:, None])
        shares /= shares.sum(1, keepdims=True)
        entropy = -(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))).sum(1)
        excess = entropy - np.log(perplexity)
        if (abs(excess) < _TOLERANCE).all():
            break
        low, high = np.where(excess > 0, precision, low), np.where(excess > 0, high, precision)
        precision = np.where(np.isinf(high), 2 * precision, (low + high) / 2)
    return (shares + shares.T) / (2 * len(x))


def gradient(joint: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Slope (n, 2) of the Kullback-Leibler divergence between affinities and a plane's."""
    squares = (points**2).sum(1)
    heavy = 1 / (1 + np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    np.fill_diagonal(heavy, 0)
    pull = (joint - heavy / heavy.sum()) * heavy
    return 4 * (pull.sum(1, keepdims=True) * points - pull @ points)
