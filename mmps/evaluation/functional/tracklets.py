"""Which detections of consecutive frames are one person, and how well a search finds each visit."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from .annotations import owners_of
from .galleries import Gallery
from .matching import entries_above
from .predictions import SearchPredictions
from .search import Searches, SearchResult

GAP = 2.5
"""Seconds between two detections of a tracklet at most: a missed frame at one per second."""
REMEMBERED = 4
"""Detections of a tracklet that decide about the next one."""
REACH = (0.35, 0.9)
"""How far from where they are expected people are found, in body heights: at once, and more for
each second."""
WEIGHT = 0.25
"""Weight of the place; that of the look is 1."""
LEAST = 0.45
"""Similarity, with the place weighed in, above which two detections can be one person."""


class Seen(NamedTuple):
    """One detection of a tracklet: when, its box (4,) and its embedding (D,)."""

    moment: float
    box: np.ndarray
    embedding: np.ndarray


@dataclass
class _Open:
    """A tracklet that may go on."""

    id: int
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def expected(self, moment: float) -> np.ndarray:
        """(2,) middle of the foot of the box at a moment, going on as over the last detections."""
        last = self.seen[-1]
        place = _foot(last.box)
        if len(self.seen) == 1:
            return place
        first = self.seen[0]
        speed = (place - _foot(first.box)) / max(last.moment - first.moment, 1e-3)
        return place + speed * min(moment - last.moment, 1.0)


class Tracker:
    """Follows the people of one sequence, frame after frame in the order of time.

    What it does next depends on the last few detections of each tracklet only, so that it can begin
    anywhere behind frames that have their tracklets.
    """

    def __init__(self) -> None:
        self.moment = -math.inf
        self._open: list[_Open] = []

    def follow(
        self,
        moment: float,
        boxes: np.ndarray,
        embeddings: np.ndarray,
        ids: np.ndarray,
        tracklets: np.ndarray | None = None,
    ) -> np.ndarray:
        """Tracklets (n,) int64 of the people of the next frame; a new one has the id of its first.

        ``moment`` is in seconds; the people have boxes (n, 4) xyxy, embeddings (n, D) of unit norm,
        ids (n,) int64, and tracklets (n,) where these are known already.
        """
        self.moment = moment
        still = [one for one in self._open if moment - one.seen[-1].moment <= GAP]
        self._open = sorted(still, key=lambda one: one.id)  # wherever the tracker began
        if tracklets is None:
            tracklets = np.array(ids, np.int64)
            if self._open and len(ids):
                scores = self._scores(moment, boxes, embeddings)
                for row, place in zip(*linear_sum_assignment(-scores), strict=True):
                    if scores[row, place] > 0:
                        tracklets[place] = self._open[row].id
        by_id = {one.id: one for one in self._open}
        for place, tracklet in enumerate(tracklets.tolist()):
            if tracklet not in by_id:
                by_id[tracklet] = _Open(tracklet)
                self._open.append(by_id[tracklet])
            by_id[tracklet].seen.append(Seen(moment, boxes[place], embeddings[place]))
        return tracklets

    def _scores(self, moment: float, boxes: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
        """(t, n) how well people fit open tracklets; 0 where they cannot be the same."""
        scores = np.zeros((len(self._open), len(boxes)))
        feet, heights = _foot(boxes), np.maximum(boxes[:, 3] - boxes[:, 1], 1.0)
        for row, one in enumerate(self._open):
            last = one.seen[-1]
            passed = moment - last.moment
            height = max(float(last.box[3] - last.box[1]), 1.0)
            away = np.linalg.norm(feet - one.expected(moment), axis=1) / height
            away /= REACH[0] + REACH[1] * passed
            mean = np.mean([seen.embedding for seen in one.seen], 0, dtype=np.float64)
            look = embeddings.astype(np.float64) @ (mean / max(np.linalg.norm(mean), 1e-9))
            fits = (away < 1) & (np.abs(np.log(heights / height)) < 0.35 + 0.2 * passed)
            scores[row] = np.where(fits, np.maximum(look + WEIGHT * (0.5 - away) - LEAST, 0), 0)
        return scores


def _foot(boxes: np.ndarray) -> np.ndarray:
    """(..., 2) middle of the lower sides of boxes (..., 4)."""
    return np.stack([(boxes[..., 0] + boxes[..., 2]) / 2, boxes[..., 3]], -1).astype(np.float64)


@dataclass(frozen=True)
class VideoFrames:
    """Which frames of which videos the images of a test set are, by their names.

    Attributes:
        pattern: Regular expression with the groups ``video`` and ``frame``, looked for in a name;
            by default that of PRW.
        fps: Frames per second by which they are numbered.

    Raises:
        ValueError: One does not fit.
    """

    pattern: str = r'(?P<video>c\d+s\d+)_(?P<frame>\d+)'
    fps: float = 25.0

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise ValueError(f'tracklets.pattern: {self.pattern!r}: {error}') from error
        if not {'video', 'frame'} <= groups.keys():
            raise ValueError(
                f'tracklets.pattern: {self.pattern!r} needs the groups (?P<video>...) and '
                '(?P<frame>...)'
            )
        if not self.fps > 0:
            raise ValueError(f'tracklets.fps: {self.fps!r} given; use a number above 0')

    def of(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Number (I,) of the video of each image, and its second (I,), or ``ValueError``."""
        videos, moments = [], []
        for name in names:
            found = re.search(self.pattern, name)
            if not found or not found['frame'].isdecimal():
                raise ValueError(
                    f'tracklets: {name!r} does not say which frame of which video it is, by '
                    f'{self.pattern!r}; give the pattern of these names, or leave tracklets off'
                )
            videos.append(found['video'])
            moments.append(int(found['frame']) / self.fps)
        return np.unique(videos, return_inverse=True)[1], np.array(moments)


def tracklets_of(
    predictions: SearchPredictions, videos: np.ndarray, moments: np.ndarray
) -> np.ndarray:
    """Tracklets (N,) int64 of all detections, as indexing makes them; each is called by its first.

    Images (I,) are in ``videos`` (I,), at ``moments`` (I,) in seconds.
    """
    found = np.zeros(len(predictions.bboxes), np.int64)
    for video in np.unique(videos):
        tracker, images = Tracker(), np.flatnonzero(videos == video)
        for image in images[np.argsort(moments[images], kind='stable')]:
            rows = np.arange(*predictions.image_splits[image : image + 2])
            if len(rows):
                person = predictions.bboxes[rows], predictions.embeddings[rows]
                found[rows] = tracker.follow(float(moments[image]), *person, rows)
    return found


def rank_tracklets(searches: Searches, frames: VideoFrames) -> SearchResult:
    """Rank the tracklets of one gallery for each query, and judge the ranking by visits.

    A tracklet is as similar as its most similar detection, which is what a search shows of it. A
    visit is what is annotated of the person in one video with gaps of at most :data:`GAP` seconds.
    Of the tracklets whose most similar detection is the person in a visit, the most similar one is
    right; every other tracklet is wrong. Average precision and recall are over visits, which stand
    in the place of images. Of equal similarities the wrong one stands first.

    The searches are of one gallery, by one rule; ``frames`` says which frame of which video each
    image is.

    Raises:
        ValueError: A name of an image does not say which frame it is.
    """
    videos, moments = frames.of(searches.annotations.image_names)
    tracklets = tracklets_of(searches.predictions, videos, moments)
    tracklets = np.unique(tracklets, return_inverse=True)[1]
    (gallery,) = searches.galleries
    visits, counts = _visits(gallery, videos, moments)
    result = SearchResult.begun(gallery.queries, counts)
    for query, row, _, found in searches:
        for search in found:
            ((people, own, _),) = search.candidates
            if not len(own):
                continue
            looked_at = search.images[searches.images]
            searches.similarities.settle(query, row, row[own], np.flatnonzero(looked_at), own)
            right = np.zeros(len(row), bool)
            right[own] = True
            best = np.full((2, tracklets.max() + 1), -np.inf, np.float32)
            for kind, some in enumerate((looked_at & ~right, looked_at & right)):
                np.maximum.at(best[kind], tracklets[some], row[some])
            levels = _right_levels(row[own], tracklets[own], visits[people], best)
            ranked = np.sort(best.max(0)[np.isfinite(best).any(0)])
            result.enter(search.number, levels, entries_above(levels, ranked))
    return result


def _right_levels(
    similarities: np.ndarray, tracklets: np.ndarray, visits: np.ndarray, best: np.ndarray
) -> np.ndarray:
    """Similarity (t,) of the right tracklet of each visit that has one.

    Detections (n,) that are the person have similarities, tracklets and visits; ``best`` (2, T) is
    the similarity of the best wrong and the best right detection of each tracklet.
    """
    wrong, right = best[:, tracklets]
    shown = np.flatnonzero((similarities == right) & (right > wrong))
    shown = shown[np.lexsort((visits[shown], tracklets[shown]))]
    shown = shown[np.unique(tracklets[shown], return_index=True)[1]]  # each stands for one visit
    levels = np.full(visits.max() + 1, -np.inf, np.float32)
    np.maximum.at(levels, visits[shown], similarities[shown])
    return levels[np.isfinite(levels)]


def _visits(
    gallery: Gallery, videos: np.ndarray, moments: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The visit (P,) int64 of each positive, and how many visits (S,) each search should find."""
    positives = gallery.positives
    search, video = owners_of(positives.splits), videos[positives.images]
    moment = moments[positives.images]
    order = np.lexsort((moment, video, search))
    begins = np.ones(len(order), bool)
    same = (np.diff(search[order]) == 0) & (np.diff(video[order]) == 0)
    begins[1:] = ~same | (np.diff(moment[order]) > GAP)
    visits = np.empty(len(order), np.int64)
    visits[order] = np.cumsum(begins) - 1
    return visits, np.bincount(search[order][begins], minlength=len(gallery.queries))
