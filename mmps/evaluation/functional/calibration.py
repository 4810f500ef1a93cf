"""Which similarity means "the same person"? The share of strangers that look at least as similar.

The share is counted, not modelled: from pairs of pictures known to show different people, at
levels of similarity between which its logarithm is interpolated. What is beyond the most similar
pairs is not extrapolated; the smallest share that so many pairs support stands for it.

Pairs share people, so that they say less than as many independent ones would. The variance of a
share is the jackknife's, which leaves out people instead of pairs (Efron and Tibshirani, An
Introduction to the Bootstrap, chapter 11). The interval is that of Clopper and Pearson for as many
independent pairs as have this variance (Korn and Graubard, Survey Methodology 24, 1998): other than
percentiles of resamples it holds for shares that a handful of pairs stand for, and those matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from .annotations import SearchAnnotations, owners_of
from .matching import match_people
from .predictions import SearchPredictions, align_predictions, keep_confident

if TYPE_CHECKING:
    import pandas as pd

MOST_PICTURES = 3000
"""Pictures compared with each other: 4.5 million pairs."""
MOST_PAIRS = 4_000_000
_LINKED = 0.01
"""Share of the strangers in one frame that look as similar as one person in two frames has to."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of people.

    Attributes:
        embeddings: (n, D) float32 of unit norm.
        person_ids: (n,) int64.
        bboxes: (n, 4) float32 xyxy in the scene.
        images: (n,) int64 number of the scene.
        cameras: (n,) int64 which took it; -1: unknown.
    """

    embeddings: np.ndarray
    person_ids: np.ndarray
    bboxes: np.ndarray
    images: np.ndarray
    cameras: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Pictures:
        """Some of them, by a mask (n,) or indices (m,)."""
        return Pictures(*(values[rows] for values in vars(self).values()))


@dataclass(frozen=True)
class StrangerPairs:
    """Similarities (n,) float32 of pictures of different people, the ``owners`` (n, 2) int64."""

    similarities: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.similarities)


def labelled_pictures(
    annotations: SearchAnnotations, predictions: SearchPredictions, score_thr: float = 0.5
) -> Pictures:
    """The detections, from a score on, that show somebody with an id.

    A detection shows the annotated person that it overlaps most, from an IoU of 0.5 on. The images
    of the predictions may be in any order.
    """
    predictions = keep_confident(align_predictions(predictions, annotations), score_thr)
    images = owners_of(predictions.image_splits)
    ((rows, people),) = match_people(
        images, predictions.bboxes, annotations.box_splits, annotations.bboxes, [0.5]
    )
    # above one half, boxes that overlap a detection equally are rare: the first is taken
    rows, first = np.unique(rows, return_index=True)
    ids = annotations.person_ids[people[first]]
    rows, ids = rows[ids >= 0], ids[ids >= 0]
    boxes, of_rows = predictions.bboxes[rows], images[rows]
    cameras = annotations.cameras[of_rows]
    return Pictures(predictions.embeddings[rows], ids, boxes, of_rows, cameras)


def pairs_by_label(pictures: Pictures) -> tuple[StrangerPairs, np.ndarray]:
    """Pairs of different people, and similarities (m,) float32 of the same person in two scenes.

    Of people with many pictures some are taken, evenly spaced, so that there are
    :data:`MOST_PICTURES` at most.
    """
    some = pictures[_some_of_each(pictures.person_ids, MOST_PICTURES)]
    one, other = np.triu_indices(len(some.images), 1)
    similarities = (some.embeddings @ some.embeddings.T)[one, other]
    differ = some.person_ids[one] != some.person_ids[other]
    same = ~differ & (some.images[one] != some.images[other])
    owners = np.stack([some.person_ids[one[differ]], some.person_ids[other[differ]]], 1)
    return StrangerPairs(similarities[differ], owners), similarities[same]


def pairs_in_scenes(pictures: Pictures) -> StrangerPairs:
    """:func:`pairs_in_frames` of pictures whose labels are not looked at."""
    some = pictures[np.lexsort((pictures.images, pictures.cameras))]
    frames = np.cumsum(np.diff(some.images, prepend=some.images[:1]) != 0)
    return pairs_in_frames(some.embeddings, some.bboxes, frames, some.cameras)


def pairs_in_frames(
    embeddings: np.ndarray, bboxes: np.ndarray, frames: np.ndarray, sequences: np.ndarray
) -> StrangerPairs:
    """Pairs of people who are seen in the same frame, and so cannot be the same.

    Boxes (n, 4) xyxy that overlap are no pair: they may be one person, detected twice. People who
    look alike in consecutive frames of a camera or video, ``sequences`` (n,) int64, count as one
    person for the interval. The numbers of the frames (n,) int64 ascend within a sequence.

    Raises:
        ValueError: No frame shows two people apart from each other.
    """
    bounds = np.flatnonzero(np.diff(frames, prepend=frames[:1] - 1, append=frames[-1:] + 1))
    found = [_apart(bboxes, start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    one, other = np.concatenate(found, 1) if found else np.zeros((2, 0), np.int64)
    if not len(one):
        raise ValueError('no frame shows two people apart from each other')
    step = -(-len(one) // MOST_PAIRS)
    one, other = one[::step], other[::step]
    similarities = np.einsum('nd,nd->n', embeddings[one], embeddings[other])
    level = np.quantile(similarities, 1 - _LINKED)
    people = _linked(embeddings, bounds, sequences, level)
    return StrangerPairs(similarities, np.stack([people[one], people[other]], 1))


def _apart(bboxes: np.ndarray, start: int, end: int) -> np.ndarray:
    """(2, m) the pairs of rows from ``start`` to ``end`` whose boxes do not overlap."""
    one, other = np.triu_indices(end - start, 1)
    a, b = bboxes[start + one], bboxes[start + other]
    overlap = np.minimum(a[:, 2:], b[:, 2:]) > np.maximum(a[:, :2], b[:, :2])
    return start + np.stack([one, other])[:, ~overlap.all(1)]


def _linked(
    embeddings: np.ndarray, bounds: np.ndarray, sequences: np.ndarray, level: float
) -> np.ndarray:
    """(n,) int64 number of each person, the same in frames that follow one another.

    Each is linked with whom they are most similar to in the next frame if that holds the other way
    round as well, from ``level`` on.
    """
    people = np.arange(len(embeddings))
    for start, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        if sequences[start] != sequences[middle]:
            continue
        similar = embeddings[start:middle] @ embeddings[middle:end].T
        best = similar.argmax(1)
        rows = np.arange(middle - start)
        mutual = (similar.argmax(0)[best] == rows) & (similar[rows, best] >= level)
        people[middle + best[mutual]] = people[start + rows[mutual]]
    return people


def _some_of_each(person_ids: np.ndarray, most: int) -> np.ndarray:
    """Rows (m,), ascending, evenly spaced among those of each person, the same number of each."""
    order = np.argsort(person_ids, kind='stable')
    _, starts, counts = np.unique(person_ids[order], return_index=True, return_counts=True)
    if len(counts) > most:
        kept = np.linspace(0, len(counts) - 1, most).astype(np.int64)
        starts, counts = starts[kept], counts[kept]
    # the largest number of each with which there are not too many
    per_person = int(counts.max(initial=0))
    while per_person > 1 and np.minimum(counts, per_person).sum() > most:
        per_person = max(1, int(per_person * 0.9))
    rows = [
        order[start + np.linspace(0, count - 1, min(count, per_person)).round().astype(np.int64)]
        for start, count in zip(starts, counts, strict=True)
    ]
    return np.sort(np.concatenate(rows)) if rows else order


LEAST_PAIRS = 10
"""Different pairs of people as similar as that a stated share rests on at least."""
LEAST_PEOPLE = 5
"""People, or searches with marks, without which nothing is stated."""
CONFIDENCE = 0.95
PER_DECADE = 8
"""Levels by factor ten of the share."""
MOST_SHARE = 0.9
"""The largest share that is told from larger ones."""


@dataclass(frozen=True)
class FalseMatch:
    """How often a stranger looks at least as similar as somebody does.

    Example:
        >>> levels, rates = [0.3, 0.5, 0.7], np.array([0.1, 0.01, 0.001])
        >>> strangers = Calibration(levels, rates, rates / 2, rates * 2, 1000, 20, 'labels')
        >>> match = strangers.false_match(0.9)  # more similar than any that was counted
        >>> round(match.rate, 4), match.at_most
        (0.001, True)

    Attributes:
        rate: Share of strangers, 0..1.
        low, high: Its 95 % interval.
        at_most: Whether the share is smaller than ``rate``, by how much not being known.
        at_least: Whether it is larger.
    """

    rate: float
    low: float
    high: float
    at_most: bool = False
    at_least: bool = False


@dataclass(frozen=True, eq=False)
class Calibration:
    """A map from similarity to the chance of a false match.

    Example:
        >>> rates = np.array([0.1, 0.01, 0.001])
        >>> strangers = Calibration(
        ...     [0.3, 0.5, 0.7], rates, rates / 2, rates * 2, pairs=1000, people=20, source='labels'
        ... )
        >>> round(strangers.similarity_at(0.01), 2), round(strangers.false_match(0.4).rate, 3)
        (0.5, 0.032)

    Attributes:
        similarities: (k,) float64, ascending.
        rates: (k,) float64 share of strangers that look at least so similar, descending to what
            is the smallest that can be stated.
        low, high: (k,) float64 ends of its 95 % interval.
        pairs: Number of pairs of pictures of different people.
        people: Number of people in them; of searches where marks tell who is whom.
        source: Who says that they are different, for people to read.
        found: (k,) float64 share of pictures of one person, in two scenes, that look at least so
            similar; None where nobody says which pictures show the same person.
    """

    similarities: np.ndarray
    rates: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pairs: int
    people: int
    source: str
    found: np.ndarray | None = None

    def __post_init__(self) -> None:
        names = ['similarities', 'rates', 'low', 'high']
        names += [] if self.found is None else ['found']
        for name in names:
            values = np.asarray(getattr(self, name), np.float64)
            object.__setattr__(self, name, values)
            if values.shape != np.shape(self.similarities) or values.ndim != 1 or not len(values):
                raise ValueError(f'{name}: (k,) numbers are needed, as many as similarities')
            if not np.isfinite(values).all():
                raise ValueError(f'{name}: holds NaN or infinity')
            if name != 'similarities' and (values.min() < 0 or values.max() > 1):
                raise ValueError(f'{name}: holds values outside 0..1')
            steps = np.diff(values)
            if (steps <= 0).any() if name == 'similarities' else (steps > 0).any():
                raise ValueError(f'{name}: does not {"rise" if name == names[0] else "fall"}')
        if self.rates[-1] <= 0:
            raise ValueError('rates: the smallest one must be positive')

    @property
    def floor(self) -> float:
        """The smallest share that can be stated."""
        return float(self.rates[-1])

    def false_match(self, similarity: float) -> FalseMatch:
        """How often a stranger looks at least that similar.

        Raises:
            ValueError: The similarity is no number.
        """
        if not np.isfinite(similarity):
            raise ValueError(f'similarity: {similarity} given; a number is needed')
        at = (
            float(np.exp(np.interp(similarity, self.similarities, np.log(np.maximum(v, 1e-300)))))
            for v in (self.rates, self.low, self.high)
        )
        lowest, highest = self.similarities[[0, -1]]
        return FalseMatch(*at, bool(similarity > highest), bool(similarity < lowest))

    def similarity_at(self, rate: float) -> float | None:
        """The similarity that this share of strangers reaches; None beyond what is known."""
        if not self.floor <= rate <= self.rates[0]:
            return None
        return float(np.interp(-np.log(rate), -np.log(self.rates), self.similarities))

    def found_at(self, similarity: float) -> float | None:
        """Share of a person's other pictures at least that similar, if it is known."""
        if self.found is None:
            return None
        return float(np.interp(similarity, self.similarities, self.found))


def calibrate_pairs(
    pairs: StrangerPairs, source: str, same: np.ndarray | None = None
) -> Calibration:
    """Count how similar pictures of different people are.

    Args:
        pairs: From :func:`pairs_by_label`, :func:`pairs_in_scenes` or :func:`pairs_in_frames`.
        source: Who says that they are different, for people to read.
        same: (m,) similarities of pictures of the same person, if that is known.

    Raises:
        ValueError: There are too few people, or pairs.
    """
    order = np.argsort(-pairs.similarities, kind='stable')
    values, owners = pairs.similarities[order], pairs.owners[order]
    total, people = len(values), len(np.unique(owners))
    if people < LEAST_PEOPLE:
        raise ValueError(f'{people} people, but {LEAST_PEOPLE} are needed to tell strangers apart')
    _, owners = np.unique(owners, return_inverse=True)
    owners = owners.reshape(-1, 2)
    codes = owners.min(1).astype(np.int64) * people + owners.max(1)
    first = np.unique(codes, return_index=True)[1]
    if len(first) < LEAST_PAIRS:
        raise ValueError(
            f'{len(first)} pairs of different people, but {LEAST_PAIRS} are needed at least'
        )
    of_people = np.bincount(owners.ravel())
    counts = _counts(values, int(np.sort(first)[LEAST_PAIRS - 1]) + 1)
    variances = []
    for count in counts:
        by_person = np.bincount(owners[:count].ravel(), minlength=people)
        variances.append(np.sum((by_person - count / total * of_people) ** 2) / total**2)
    rates = counts / total
    ends = _intervals(rates, np.array(variances), total, people)
    levels = values[counts - 1]
    found = None
    if same is not None and len(same):
        found = 1 - np.searchsorted(np.sort(same), levels, side='left') / len(same)
    return Calibration(levels, rates, *ends, total, people, source, found)


def calibrate_marks(
    wrong: Sequence[np.ndarray], complete: Sequence[float], searched: Sequence[int], source: str
) -> Calibration:
    """Count how similar strangers are, from what users have said of the hits of some searches.

    Only the top of a ranking is marked. The hits above the first one without a mark are known; so
    are, from the least of these on in every search, all strangers among those who were searched.

    Args:
        wrong: For each search (n,) similarities of the hits that are marked wrong.
        complete: For each search the similarity down to which every hit is marked.
        searched: For each search how many people in the gallery are not the one searched for.
        source: What to call this.

    Raises:
        ValueError: There are too few searches, or hits marked wrong.
    """
    searches = len(wrong)
    if searches < LEAST_PEOPLE:
        raise ValueError(
            f'marks of {searches} searches, but of {LEAST_PEOPLE} are needed, each for another '
            'person'
        )
    complete, people = np.asarray(complete, float), np.asarray(searched, float)
    # who has many strangers to mark is known less far down: to leave such searches out of the lower
    # levels would leave out the people who are mistaken most
    deepest, least = float(complete.max()), int(complete.argmax())
    known = np.sort(np.concatenate([v[v >= deepest] for v in wrong]).astype(float))[::-1]
    if len(known) < LEAST_PAIRS:
        raise ValueError(
            f'{len(known)} hits marked wrong are as similar as {deepest:.3f}, down to where search '
            f'{least + 1} of {searches} is marked, but {LEAST_PAIRS} are needed; mark more hits of '
            'it, from the first one on, or leave it out'
        )
    levels = known[_counts(known, LEAST_PAIRS) - 1]
    counts = np.array([[np.sum(v >= level) for v in wrong] for level in levels])
    total = people.sum()
    rates = counts.sum(1) / total
    variances = np.sum((counts - rates[:, None] * people) ** 2, 1) / total**2
    ends = _intervals(rates, variances, total, searches)
    return Calibration(levels, rates, *ends, int(total), searches, source)


def _counts(values: np.ndarray, least: int) -> np.ndarray:
    """How many of ``values`` (n,), descending, are at least as large as each level; descending."""
    total = len(values)
    most = max(least, round(MOST_SHARE * total))
    steps = int(np.ceil(PER_DECADE * np.log10(most / least))) + 1
    levels = np.unique(values[np.geomspace(least, most, steps).round().astype(np.int64) - 1])
    return total - np.searchsorted(values[::-1], levels, side='left')


def _intervals(
    rates: np.ndarray, variances: np.ndarray, total: float, units: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the intervals of shares (k,) of ``total``, counted by so many independent units; they
    fall as the shares do.
    """
    from scipy import stats  # takes a while

    tail = (1 - CONFIDENCE) / 2
    # dependence takes away from what pairs say and adds nothing
    variances = np.maximum(variances, rates * (1 - rates) / total)
    few = (stats.norm.ppf(tail) / stats.t.ppf(tail, units - 1)) ** 2
    trials = np.full(len(rates), float(total))
    np.divide(rates * (1 - rates), variances, out=trials, where=variances > 0)
    trials *= few
    hits = rates * trials
    # as stats.binomtest has it, which takes whole numbers only
    low = stats.beta.ppf(tail, hits, trials - hits + 1)
    high = stats.beta.ppf(1 - tail, hits + 1, np.maximum(trials - hits, 1e-9))
    ends = (np.where(rates >= 1, 1.0, end) for end in (low, high))
    low, high = (np.maximum.accumulate(end[::-1])[::-1] for end in ends)
    return low, high


RATES = (0.1, 0.01, 1e-3, 1e-4)
"""Shares of strangers that are checked, as far as they can be stated."""


def halves(pictures: Pictures, rng: np.random.Generator) -> tuple[Pictures, Pictures]:
    """The pictures of half of the people, and those of the others."""
    people = np.unique(pictures.person_ids)
    chosen = np.isin(pictures.person_ids, rng.permutation(people)[: len(people) // 2])
    return pictures[chosen], pictures[~chosen]


def check_calibration(
    pictures: Pictures, calibrate: Callable[[Pictures], Calibration], *, halvings: int = 20
) -> pd.DataFrame:
    """Calibrate on half of the people and count the strangers of the other half, repeatedly.

    The other half is a sample of the same size, so that no more than about 83 % of its shares are
    inside right intervals of 95 %.

    Returns:
        A row for each of the :data:`RATES` that could be ``stated``: the medians over halvings of
        its interval, ``low`` and ``high``, and of the share ``measured`` among the other half; the
        ``least`` and the ``most`` measured; the number of ``halvings`` that could state it, and in
        how many of them the interval ``held`` the measured share.

    Raises:
        ValueError: Half of the people are too few.
    """
    import pandas as pd

    rows = []
    rng = np.random.default_rng(0)
    for _ in tqdm(range(halvings), 'Halving', delay=2, leave=False, disable=None):
        half, other = halves(pictures, rng)
        calibration, others = calibrate(half), pairs_by_label(other)[0].similarities
        for rate in RATES:
            level = calibration.similarity_at(rate)
            if level is not None:
                match = calibration.false_match(level)
                rows.append((rate, match.low, match.high, np.mean(others >= level)))
    found = pd.DataFrame(rows, columns=['stated', 'low', 'high', 'measured'], dtype=float)
    found['held'] = found.measured.between(found.low, found.high)
    by_rate = found.groupby('stated').agg(
        low=('low', 'median'),
        high=('high', 'median'),
        measured=('measured', 'median'),
        least=('measured', 'min'),
        most=('measured', 'max'),
        held=('held', 'sum'),
        halvings=('held', 'size'),
    )
    return by_rate.reset_index()[::-1]
