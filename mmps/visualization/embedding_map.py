"""A map of embeddings: people who look alike are near each other."""

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from mmps.utils.errors import require_extra
from mmps.utils.files import whole_file

INK, MUTED, OTHERS = '#111827', '#64748b', '#cbd5e1'
_COLOURS = (
    '#2563eb', '#dc2626', '#16a34a', '#d97706', '#9333ea', '#0891b2', '#be185d', '#4d7c0f',
    '#7c2d12', '#1e3a8a', '#0f766e', '#6b21a8',
)  # fmt: skip
_MARKERS = 'os'
NAMED = len(_COLOURS) * len(_MARKERS)
"""Groups that have a colour and marker of their own; the largest get them."""


def pca(embeddings: np.ndarray) -> tuple[np.ndarray, float]:
    """The plane on which embeddings (n, D) differ most.

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

    scikit-learn's t-SNE (van der Maaten and Hinton, JMLR 2008) of Euclidean distances, which for
    unit norm order people as similarities do. It starts from :func:`pca` and a fixed seed.

    Embeddings (n, D) become (n, 2) float64; about ``perplexity`` neighbours count, at most a third
    of n.

    Raises:
        UserError: scikit-learn is not installed.
    """
    require_extra('sklearn', 'plots')
    from sklearn.manifold import TSNE

    count = len(embeddings)
    points, _ = pca(embeddings)
    if count < 4:
        return points
    start = points / max(points[:, 0].std(), 1e-12) * 1e-4
    perplexity = min(perplexity, (count - 1) / 3)
    found = TSNE(perplexity=perplexity, init=start, random_state=0)
    return found.fit_transform(np.asarray(embeddings, np.float64)).astype(np.float64)


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
        title: What is shown, and how it was projected.
        pictures: (h, w, 3) uint8 BGR of some people, by number, shown beside their points.
    """
    named = named_groups(labels)
    figure = Figure(figsize=(11, 7.6), dpi=110, facecolor='white')
    axes = figure.add_axes((0.02, 0.03, 0.8, 0.89))
    labels = np.array([label if label in named else None for label in labels], object)
    rest = np.array([label is None for label in labels], bool)
    for number, name in enumerate(named):
        look = dict(zip(('color', 'marker'), _look(number), strict=True))
        short = name if len(name) <= 18 else f'{name[:17]}…'
        chosen = points[labels == name].T
        axes.scatter(*chosen, s=34, edgecolors='white', linewidths=0.6, label=short, **look)
    if rest.any():
        axes.scatter(*points[rest].T, s=14, color=OTHERS, linewidths=0, zorder=0.5, label='others')
    for number, picture in (pictures or {}).items():
        axes.add_artist(_picture(picture, points[number], points.mean(0), labels[number], named))
    axes.set(xticks=[], yticks=[])
    axes.margins(0.16)
    axes.spines[:].set_color('#e2e8f0')
    figure.text(0.02, 0.945, title, size=13, weight='bold', color=INK)
    figure.legend(
        loc='upper left', bbox_to_anchor=(0.825, 0.93), frameon=False, fontsize=9, labelcolor=INK
    )
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', pil_kwargs=dict(optimize=True))


def _picture(
    picture: np.ndarray, point: np.ndarray, centre: np.ndarray, label: str | None, named: list[str]
) -> AnnotationBbox:
    colour = _look(named.index(label))[0] if label in named else MUTED
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


def _look(number: int) -> tuple[str, str]:
    """Colour and marker of a group."""
    return _COLOURS[number % len(_COLOURS)], _MARKERS[number // len(_COLOURS)]
