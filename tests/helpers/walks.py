"""Videos of rendered people who walk past several cameras, with who is where in each frame.

``PYTHONPATH=tests python -m helpers.walks`` renders five, finds the people with ``quick-start`` and
measures tracklets against the rule "same box overlap", searches in appearances against frames, and
groups of the appearances of one person (FINCH too, after ``pip install --no-deps finch-clust``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmps.retrieval.tracklets import Tracker
from mmps.synthetic.appearance import Pose, sample_appearance
from mmps.synthetic.backdrop import make_backdrop
from mmps.synthetic.camera import develop, make_cameras
from mmps.synthetic.person import draw_person
from mmps.synthetic.props import paste
from mmps.synthetic.scene import _cast_shadows, _Placed, _visible_shares, tight_box

STEP = 0.7
"""Body heights that a person walks with one step."""


@dataclass(frozen=True)
class Walk:
    """One person's way past a camera: in at one side, out at the other, perhaps with a stop.

    Attributes:
        person: Identity.
        start: Second in which they enter.
        body: Height in the picture, as a share of its own.
        speed: Body heights per second, negative to the left.
        stop: Seconds after entering, and for how long they stand.
    """

    person: int
    start: float
    body: float
    speed: float
    stop: tuple[float, float]

    def way(self, moment: float) -> float:
        """Body heights walked until a moment."""
        gone, (begin, wait) = moment - self.start, self.stop
        return self.speed * (gone - min(max(0.0, gone - begin), wait))


def walks(seed: int, camera: int, seconds: float, people: int) -> list[Walk]:
    """The walks past one camera, one of each person, overlapping in time and place."""
    rng = np.random.default_rng([seed, camera])
    low, high = make_cameras(seed)[camera].heights
    return [
        Walk(
            int(person),
            float(rng.uniform(-3, seconds - 4)),
            float(rng.uniform(low, 0.8 * high)),
            float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.3)),
            (float(rng.uniform(1, 5)), float(rng.choice([0.0, 0.0, 4.0]))),
        )
        for person in rng.permutation(people)
    ]


def render(
    seed: int, camera: int, seconds: float, people: int, fps: float, size: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames (h, w, 3) uint8 BGR of a video, with the people (n,) and boxes (n, 4) of
    all who are seen in them by a fifth or more.
    """
    lens, width, height = make_cameras(seed)[camera], *size
    ways = walks(seed, camera, seconds, people)
    looks = {
        w.person: sample_appearance(np.random.default_rng([9, w.person]), w.person) for w in ways
    }
    for number in range(round(seconds * fps)):
        moment, placed = number / fps, []
        for index, walk in enumerate(ways):
            pixels = walk.body * height
            x = walk.way(moment) * pixels + (
                -0.3 * pixels if walk.speed > 0 else width + 0.3 * pixels
            )
            if moment < walk.start or not -0.4 * pixels < x < width + 0.4 * pixels:
                continue
            begin, wait = walk.stop
            stands = begin <= moment - walk.start < begin + wait
            phase = np.pi * abs(walk.way(moment)) / STEP
            yaw = np.sign(walk.speed) * np.pi / 2 + 0.2 * np.sin(index)
            pose = Pose(yaw, lens.pitch, phase, 0.05 if stands else 0.4, 'swing')
            sprite = draw_person(looks[walk.person], pose, pixels, lens.light)
            placed.append(_Placed(sprite, x, lens.foot_row(walk.body) * height, index))
        placed.sort(key=lambda one: one.y)
        shares = _visible_shares(placed, size)
        canvas = make_backdrop(seed, camera, *size).copy()
        _cast_shadows(canvas, placed, lens)
        for one in placed:
            paste(canvas, one.sprite, one.x, one.y)
        image = develop(lens, canvas, np.random.default_rng([seed, camera, number]))
        seen = [one for one, share in zip(placed, shares, strict=True) if share >= 0.2]
        boxes = [tight_box(one.sprite, one.x, one.y, size) for one in seen]
        yield (
            np.ascontiguousarray(image[..., ::-1]),
            np.array([ways[one.person_id].person for one in seen], np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
        )


SEED, SECONDS, PEOPLE, SIZE, RATE = 7, 40, 24, (480, 270), 5
CAMERAS = range(5)


class Found(NamedTuple):
    """A frame: when, what the network found in it, and who (n,) that is, -1 for nobody."""

    moment: float
    boxes: np.ndarray
    embeddings: np.ndarray
    person: np.ndarray
    missed: int


def find() -> list[list[Found]]:
    """The frames of each camera."""
    from mmps.apis import PersonSearcher

    searcher, found = PersonSearcher('quick-start'), []
    for camera in CAMERAS:
        frames = []
        for number, (image, who, boxes) in enumerate(
            render(SEED, camera, SECONDS, PEOPLE, RATE, SIZE)
        ):
            people = searcher.detect(image)
            person, overlap = np.full(len(people), -1), overlaps(boxes, people.bboxes)
            for truth, place in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[truth, place] >= 0.5:
                    person[place] = who[truth]
            missed = len(who) - int(np.count_nonzero(person >= 0))
            frames.append(Found(number / RATE, people.bboxes, people.embeddings, person, missed))
        found.append(frames)
    return found


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) intersection over union of boxes (n, 4) and (m, 4)."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    inner = np.maximum(sides, 0).prod(-1)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b))
    return inner / (area_a[:, None] + area_b[None] - inner)


def ours(frames: list[Found]) -> list[list[int]]:
    """The tracklets of the people of each frame."""
    tracker, count, found = Tracker(), 0, []
    for frame in frames:
        ids = np.arange(count, count + len(frame.boxes))
        count += len(ids)
        found.append(tracker.follow(*frame[:3], ids).tolist())
    return found


def same_place(frames: list[Found]) -> list[list[int]]:
    """The plain rule: a box that overlaps one of the frame before by 0.3 is the same person."""
    found, count, before = [], 0, None
    for frame in frames:
        ids = [-1] * len(frame.boxes)
        if before is not None:
            overlap = overlaps(before.boxes, frame.boxes)
            for old, new in zip(*linear_sum_assignment(-overlap), strict=True):
                if overlap[old, new] >= 0.3:
                    ids[new] = found[-1][old]
        for place in range(len(ids)):
            if ids[place] < 0:
                ids[place], count = count, count + 1
        found.append(ids)
        before = frame
    return found


def truth(frames: list[Found]) -> list[list[int]]:
    """The people themselves; what the network misses and invents remains."""
    return [[int(one) if one >= 0 else -n - 9 for n, one in enumerate(f.person)] for f in frames]


def score(cameras: list[list[Found]], tracklets: list[list[list[int]]]) -> tuple[float, int]:
    """Identity F1 and switches (Ristani et al., Performance Measures and a Data Set for
    Multi-Target, Multi-Camera Tracking, 2016).
    """
    right = seen = found = switches = 0
    for frames, ids in zip(cameras, tracklets, strict=True):
        pairs: Counter[tuple[int, int]] = Counter()
        last: dict[int, int] = {}
        for frame, own in zip(frames, ids, strict=True):
            found += len(own)
            seen += frame.missed + int(np.count_nonzero(frame.person >= 0))
            for person, tracklet in zip(frame.person.tolist(), own, strict=True):
                if person >= 0:
                    pairs[person, tracklet] += 1
                    switches += last.get(person, tracklet) != tracklet
                    last[person] = tracklet
        people, own = ([*dict.fromkeys(pair[side] for pair in pairs)] for side in (0, 1))
        table = np.zeros((len(people), len(own)))
        for (person, tracklet), count in pairs.items():
            table[people.index(person), own.index(tracklet)] = count
        right += table[linear_sum_assignment(-table)].sum()
    return 2 * right / (seen + found), switches


class Appearances(NamedTuple):
    """Detections (n): embeddings, who it is, camera and appearance; and of the appearances (m) the
    mean embeddings and whose they are.
    """

    vectors: np.ndarray
    person: np.ndarray
    camera: np.ndarray
    of: np.ndarray
    means: np.ndarray
    whose: np.ndarray


def appearances(cameras: list[list[Found]], tracklets: list[list[list[int]]]) -> Appearances:
    """What was found of everybody."""
    rows = [
        (vector, person, camera, (camera, tracklet))
        for camera, (frames, ids) in enumerate(zip(cameras, tracklets, strict=True))
        for frame, own in zip(frames, ids, strict=True)
        for vector, person, tracklet in zip(frame.embeddings, frame.person, own, strict=True)
    ]
    vectors, person, camera = (np.array([row[part] for row in rows]) for part in range(3))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(row[3] for row in rows))}
    of = np.array([numbers[row[3]] for row in rows])
    means = np.zeros((len(numbers), vectors.shape[1]))
    np.add.at(means, of, vectors)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    whose = [Counter(person[of == n].tolist()).most_common(1)[0][0] for n in range(len(means))]
    return Appearances(vectors, person, camera, of, means, np.array(whose))


def search(cameras: list[list[Found]], tracklets: list[list[list[int]]]) -> dict[str, list[float]]:
    """Of searches for everybody from each camera in the others, by frames and by the best and the
    mean of appearances: mAP, and hits read until the person was seen by two of them (median, mean).
    """
    vectors, person, camera, of, means, whose = appearances(cameras, tracklets)
    where = np.array([camera[of == n][0] for n in range(len(means))])
    rng, found = np.random.default_rng(0), {name: [] for name in ('frames', 'best', 'mean')}
    for one in range(PEOPLE):
        for own in np.unique(camera[person == one]):
            query = rng.choice(np.flatnonzero((person == one) & (camera == own)))
            alike = vectors @ vectors[query]
            best = np.full(len(means), -2.0)
            np.maximum.at(best, of, alike)
            for name, similarity, who, place in (
                ('frames', alike, person, camera),
                ('best', best, whose, where),
                ('mean', means @ vectors[query], whose, where),
            ):
                order = np.argsort(-similarity, kind='stable')
                order = order[place[order] != own]
                hits = np.flatnonzero(who[order] == one)
                precision = np.mean((np.arange(len(hits)) + 1) / (hits + 1)) if len(hits) else 0.0
                seen = [len({*place[order[hits[: n + 1]]]}) for n in range(len(hits))]
                read = hits[seen.index(2)] + 1 if 2 in seen else np.nan
                found[name].append((precision, read))
    return {
        name: [
            np.mean(values, 0)[0],
            *(f([v[1] for v in values]) for f in (np.nanmedian, np.nanmean)),
        ]
        for name, values in found.items()
    }


def grouped(groups: np.ndarray, whose: np.ndarray, least: int = 3) -> tuple[int, int, float, float]:
    """How well appearances (m,) of people (m,), -1 for nobody, are grouped; -1: in no group.

    Returns:
        Groups of at least so many; appearances in them; share of these that are of the person who
        is most often in their group; and of the appearances of whoever has at least so many, the
        share in the group that holds most of that person's.
    """
    people = {one: n for one, n in Counter(whose[whose >= 0].tolist()).items() if n >= least}
    sizes = {one: n for one, n in Counter(groups[groups >= 0].tolist()).items() if n >= least}
    table = Counter(zip(groups.tolist(), whose.tolist(), strict=True))
    right = sum(max((table[g, p] for p in {*whose.tolist()} - {-1}), default=0) for g in sizes)
    together = sum(max((table[g, p] for g in sizes), default=0) for p in people)
    count = sum(sizes.values())
    return len(sizes), count, right / count, together / sum(people.values())


def clusterings(means: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Groups (m,) of appearances (m, D), by name."""
    from sklearn.cluster import HDBSCAN, AgglomerativeClustering

    yield 'HDBSCAN', HDBSCAN(min_cluster_size=3, copy=True).fit_predict(means)
    for distance in (0.2, 0.25, 0.3, 0.35, 0.4):
        average = AgglomerativeClustering(
            None, metric='cosine', linkage='average', distance_threshold=distance
        )
        yield f'average linkage, {distance}', average.fit_predict(means)
    try:
        from finch import FINCH
    except ImportError:
        return
    levels = FINCH(means, distance='cosine', verbose=False)[0]
    for level in range(levels.shape[1]):
        yield f'FINCH, level {level + 1}', levels[:, level]


if __name__ == '__main__':
    every = find()
    for fps, step in ((1, 5), (2, 2.5), (5, 1)):
        some = [
            [frames[round(n * step)] for n in range(int(len(frames) / step))] for frames in every
        ]
        for rule in (same_place, ours, truth):
            ids = [rule(frames) for frames in some]
            f1, switches = score(some, ids)
            count = sum(len({one for own in each for one in own}) for each in ids)
            print(
                f'{fps} fps, {rule.__name__}: F1 {f1:.3f}, {switches} switches, {count} tracklets'
            )
            if rule is ours:
                for name, values in search(some, ids).items():
                    print(f'    {name}: mAP {values[0]:.3f}, read {values[1]:.0f}, {values[2]:.1f}')
                *_, means, whose = appearances(some, ids)
                for name, groups in clusterings(means):
                    made, count, pure, whole = grouped(groups, whose)
                    print(
                        f'    {name}: {made} groups of {count} of {len(means)} appearances, purity '
                        f'{pure:.3f}, completeness {whole:.3f}'
                    )
