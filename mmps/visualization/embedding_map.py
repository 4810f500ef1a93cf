"""A map of embeddings: people who look alike are near each other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from mmps.utils.files import whole_file

INK, MUTED, OTHERS = '#111827', '#64748b', '#cbd5e1'
_COLOURS = (
    '#2563eb', '#dc2626', '#16a34a', '#d97706', '#9333ea', '#0891b2', '#be185d', '#4d7c0f',
    '#7c2d12', '#1e3a8a', '#0f766e', '#6b21a8',
)  # fmt: skip
_MARKERS = 'os^D'
NAMED = len(_COLOURS) * 2
"""Groups that have a colour and marker of their own; the largest get them."""


def named_groups(labels: Sequence[str | None]) -> list[str]:
    """The groups that a map names, the largest first."""
    counts = Counter(label for label in labels if label is not None)
    return sorted(counts, key=lambda label: (-counts[label], label))[:NAMED]


def save_embedding_map(
    path: str | os.PathLike,
    points: np.ndarray,
    labels: Sequence[str | None],
    title: str,
    pictures: dict[int, np.ndarray] | None = None,
) -> None:
    """Draw a map into a PNG file.

    Args:
        path: The file.
        points: (n, 2).
        labels: The group of each, e.g. who they are; None: unknown.
        title: Says what is shown, and how it was projected.
        pictures: (h, w, 3) uint8 BGR of some people, by number, shown beside their points.
    """
    named = named_groups(labels)
    figure = Figure(figsize=(11, 7.6), dpi=110, facecolor='white')
    axes = figure.add_axes((0.02, 0.03, 0.8, 0.89))
    labels = np.array([label if label in named else None for label in labels], object)
    rest = np.array([label is None for label in labels], bool)
    axes.scatter(*points[rest].T, s=14, color=OTHERS, linewidths=0)
    for number, name in enumerate(named):
        chosen = labels == name
        axes.scatter(
            *points[chosen].T,
            s=34,
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number // len(_COLOURS)],
            edgecolors='white',
            linewidths=0.6,
        )
    for number, picture in (pictures or {}).items():
        axes.add_artist(_picture(picture, points[number], points.mean(0), labels[number], named))
    axes.set(xticks=[], yticks=[])
    axes.margins(0.16)
    axes.spines[:].set_color('#e2e8f0')
    figure.text(0.02, 0.945, title, size=13, weight='bold', color=INK)
    _legend(figure, named, bool(rest.any()))
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', pil_kwargs=dict(optimize=True))


def _picture(
    picture: np.ndarray, point: np.ndarray, centre: np.ndarray, label: str | None, named: list[str]
) -> AnnotationBbox:
    colour = _COLOURS[named.index(label) % len(_COLOURS)] if label in named else MUTED
    away = point - centre
    away = away / max(np.linalg.norm(away), 1e-12)
    return AnnotationBbox(
        OffsetImage(picture[..., ::-1], zoom=44 / picture.shape[0]),
        tuple(point),
        xybox=tuple(away * 38),
        boxcoords='offset points',
        pad=0.12,
        bboxprops=dict(edgecolor=colour, linewidth=1.4),
        arrowprops=dict(arrowstyle='-', color=colour, linewidth=0.9),
    )


def _legend(figure: Figure, named: list[str], others: bool) -> None:
    marks = [
        Line2D(
            [],
            [],
            linestyle='',
            marker=_MARKERS[number // len(_COLOURS)],
            color=_COLOURS[number % len(_COLOURS)],
            markersize=6,
        )
        for number in range(len(named))
    ]
    names = [name if len(name) <= 18 else f'{name[:17]}…' for name in named]
    if others:
        marks.append(Line2D([], [], linestyle='', marker='o', color=OTHERS, markersize=5))
        names.append('others')
    figure.legend(
        marks, names, loc='upper left', bbox_to_anchor=(0.825, 0.93), frameon=False, fontsize=9,
        labelcolor=INK,
    )  # fmt: skip


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
