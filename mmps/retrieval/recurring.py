"""Who is here often: appearances of one person, across cameras, without a name or a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .engine import Engine
from .records import Appearance, GalleryError, Where
from .rows import NOBODY, column
from .tracklets import appearances_of

MOST = 20_000
"""Appearances that are grouped at once: all pairs are compared."""
_STEP = 1000


@dataclass(frozen=True)
class Recurring:
    """Appearances that look like one person.

    Attributes:
        number: 1 for who appears most often, and so on.
        appearances: By time, as far as it is known.
        typical: The appearance that is most like all of them.
        likeness: Mean similarity of two of them, -1..1: the higher, the surer.
    """

    number: int
    appearances: tuple[Appearance, ...]
    typical: Appearance
    likeness: float


def recurring_people(engine: Engine, least: int, where: Where | None) -> list[Recurring]:
    """Group the appearances of a gallery by HDBSCAN over their mean embeddings.

    Source: Campello et al., Density-Based Clustering Based on Hierarchical Density Estimates,
    PAKDD 2013, as scikit-learn has it. Appearances that are like too few others are in no group.

    Args:
        engine: Of the gallery.
        least: Appearances that make a group, at least 2.
        where: Only of people that pass.

    Raises:
        GalleryError: There are too many.
    """
    from sklearn.cluster import HDBSCAN  # takes a second

    if least < 2:
        raise ValueError(f'{least} appearances make no group; at least 2 do')
    rows = engine.select(where)
    tracklets = np.unique(column(rows, 'tracklet')[column(rows, 'detection') != NOBODY])
    tracklets = tracklets[tracklets != 0]
    if len(tracklets) > MOST:
        raise GalleryError(
            f'{engine.address}: {len(tracklets)} appearances are too many to compare with each '
            f'other, {MOST} at most; restrict them by camera or time'
        )
    if len(tracklets) < least:
        return []
    found: list[Appearance] = []
    for start in range(0, len(tracklets), _STEP):
        found += appearances_of(*engine.of_tracklets(tracklets[start : start + _STEP]))
    looks = np.stack([one.embedding for one in found])
    groups = HDBSCAN(min_cluster_size=least, copy=True).fit_predict(looks)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    members.sort(key=lambda places: (-len(places), found[places[0]].id))
    return [_recurring(n + 1, places, found, looks) for n, places in enumerate(members)]


def _recurring(
    number: int, places: np.ndarray, found: list[Appearance], looks: np.ndarray
) -> Recurring:
    alike = looks[places] @ looks[places].T
    pairs = len(places) * (len(places) - 1)
    likeness = float((alike.sum() - np.trace(alike)) / pairs)
    ones = [found[place] for place in places]
    typical = ones[int(alike.sum(1).argmax())]
    ones.sort(key=lambda one: (one.first is None, one.first or 0.0, one.source, one.start or 0.0))
    return Recurring(number, tuple(ones), typical, likeness)
