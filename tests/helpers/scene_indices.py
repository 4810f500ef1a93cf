"""Random scene indices, for the round trips of the formats."""

from __future__ import annotations

import numpy as np

from mmps.evaluation.functional.annotations import UNLABELLED, SearchGalleries
from mmps.formats.scene_index import Frame, Query, SceneIndex

WIDTH, HEIGHT = 640, 360


def random_index(
    rng: np.random.Generator,
    *,
    test_mode: bool,
    frames: int = 5,
    num_ids: int = 4,
    fractions: bool = True,
    galleries: tuple[int | str, ...] = (),
) -> SceneIndex:
    """A split in which frames may be empty, cameras unknown, and people repeated or never seen.

    Args:
        rng: Source of randomness.
        test_mode: A test split, with raw ids and queries in any order.
        frames: Number of frames.
        num_ids: Number of identities.
        fractions: Boxes with fractions of a pixel.
        galleries: Names of explicit galleries.
    """
    made = [_random_frame(rng, position, num_ids, fractions) for position in range(frames)]
    if not test_mode:
        return SceneIndex(made, num_ids)
    made = [
        Frame(
            f.name, f.bboxes, np.where(f.person_ids < 0, -1, 7 * f.person_ids), f.source, f.camera
        )
        for f in made
    ]
    rows = [(f, row) for f in made for row in np.flatnonzero(f.person_ids != UNLABELLED)]
    chosen = rng.permutation(len(rows))[: rng.integers(0, len(rows) + 1)]
    if rng.random() < 0.5:
        chosen = np.sort(chosen)
    queries = [
        Query(
            rows[k][0].name,
            rows[k][0].bboxes[rows[k][1]],
            int(rows[k][0].person_ids[rows[k][1]]),
            '',
        )
        for k in chosen
    ]
    listed = {name: _random_gallery(rng, len(queries), frames) for name in galleries if queries}
    return SceneIndex(made, 0, queries, listed)


def _random_frame(rng: np.random.Generator, position: int, num_ids: int, fractions: bool) -> Frame:
    people = int(rng.integers(0, 4))
    corners = rng.uniform(0, (WIDTH - 60, HEIGHT - 120), (people, 2))
    sides = rng.uniform(2, (50, 110), (people, 2))
    bboxes = np.concatenate([corners, corners + sides], 1)
    if not fractions:
        bboxes = np.trunc(bboxes)
    return Frame(
        name=f'camera {position % 3}/{position:04d}.jpg',
        bboxes=bboxes.astype(np.float32),
        person_ids=rng.integers(-1, num_ids, people),
        source='',
        camera=int(rng.integers(-1, 3)),
    )


def _random_gallery(rng: np.random.Generator, queries: int, frames: int) -> SearchGalleries:
    counts = rng.integers(0, frames + 2, rng.integers(0, 2 * queries + 1))
    entries = int(counts.sum())
    positives = np.flatnonzero(rng.random(entries) < 0.3)
    corners = rng.uniform(0, 100, (len(positives), 2))
    return SearchGalleries(
        np.concatenate([[0], np.cumsum(counts)]),
        rng.integers(0, frames, entries),
        positives,
        np.concatenate([corners, corners + rng.uniform(1, 50, corners.shape)], 1),
        rng.integers(0, queries, len(counts)),
    )


def assert_same_index(one: SceneIndex, other: SceneIndex) -> None:
    """Assert that two indices say the same, to the bit; where they came from does not matter."""
    assert one.num_ids == other.num_ids
    assert len(one.frames) == len(other.frames)
    for a, b in zip(one.frames, other.frames, strict=True):
        assert (a.name, a.camera) == (b.name, b.camera)
        np.testing.assert_array_equal(a.bboxes, b.bboxes, strict=True)
        np.testing.assert_array_equal(a.person_ids, b.person_ids, strict=True)
    assert len(one.queries) == len(other.queries)
    for a, b in zip(one.queries, other.queries, strict=True):
        assert (a.image_name, a.person_id) == (b.image_name, b.person_id)
        np.testing.assert_array_equal(a.bbox, b.bbox, strict=True)
    assert list(one.galleries) == list(other.galleries)
    for name, gallery in one.galleries.items():
        for key, array in vars(gallery).items():
            there = getattr(other.galleries[name], key)
            np.testing.assert_array_equal(array, there, strict=True, err_msg=f'{name} {key}')
