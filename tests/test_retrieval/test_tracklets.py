"""Tracklets: who is joined, and that it does not matter how and when rows came."""

import numpy as np
from helpers.galleries import model_tag, random_frame

from mmps.retrieval import Gallery, IndexedFrame, Where, picture_quality, why_nobody
from mmps.retrieval.tracklets import GAP, Tracker

DIM = 8
EYE = np.eye(DIM, dtype=np.float32)


def box(x, height=100.0):
    return np.array([x, 0, x + 40, height], np.float32)


def walked(frames):
    """The tracklets of people, given as (moment, [(x, number of the look), ...])."""
    tracker, found, count = Tracker(), [], 0
    for moment, people in frames:
        ids = np.arange(count, count + len(people)) + 1
        count += len(people)
        boxes = np.array([box(x) for x, _ in people], np.float32).reshape(-1, 4)
        looks = EYE[[look for _, look in people]].reshape(-1, DIM)
        found.append(tracker.follow(moment, boxes, looks, ids).tolist())
    return found


def test_two_people_who_pass_each_other_keep_their_tracklets():
    frames = [(t, [(40.0 * t, 0), (200.0 - 40 * t, 1)]) for t in range(6)]
    assert walked(frames) == [[1, 2]] * 6


def test_a_missed_frame_is_bridged_and_a_long_absence_is_not():
    there = [(0.0, [(0, 0)]), (1.0, [(40, 0)]), (2.0, []), (3.0, [(110, 0)])]
    assert walked(there) == [[1], [1], [], [1]]
    assert walked([(0.0, [(0, 0)]), (GAP + 0.1, [(0, 0)])]) == [[1], [2]]


def test_somebody_else_at_the_same_place_or_the_same_look_far_away_is_another():
    assert walked([(0.0, [(0, 0)]), (0.5, [(0, 1)])]) == [[1], [2]]
    assert walked([(0.0, [(0, 0)]), (0.5, [(500, 0)])]) == [[1], [2]]


def test_the_better_picture_is_large_sure_sharp_and_not_covered():
    near = np.array([[0, 0, 100, 256], [0, 0, 50, 128]], np.float32)
    # the second stands behind the first, which covers all of it
    np.testing.assert_allclose(picture_quality(near, [0.9, 1.0]), [0.9, 0.0])
    sharp = picture_quality(near[:1], [0.9], np.array([100.0]))
    np.testing.assert_allclose(sharp, [0.45])


def moving(rng, people=6, seconds=24):
    """Frames of people who walk along, with gaps, and images of a camera among them."""
    looks = rng.standard_normal((people, DIM)).astype(np.float32)
    frames = []
    for second in range(seconds):
        here = np.flatnonzero(rng.random(people) < 0.7)
        vectors = looks[here] + 0.2 * rng.standard_normal((len(here), DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        boxes = np.array([box(60 * p + 5 * second) for p in here], np.float32).reshape(-1, 4)
        what = dict(bboxes=boxes, scores=np.ones(len(here)), embeddings=vectors, size=(640, 480))
        if second % 2:
            what |= dict(source='/v.mp4', frame=second, offset=float(second))
        else:
            what |= dict(source=f'/i/{second:02}.jpg', time=float(second), camera='a')
        frames.append(IndexedFrame(**what))
    return frames


def tracklets_of(gallery):
    hits = gallery.search(EYE[:1], 10**4)[0]
    return sorted((hit.id, hit.tracklet) for hit in hits)


def add(gallery, frames, shared=False):
    """What indexing does: append with tracklets in order, and join the rest in the end."""
    grouping = gallery.grouping(shared=shared)
    for frame in frames:
        known = grouping.tracklets(frame)
        gallery.append([IndexedFrame(**{**vars(frame), 'tracklets': known})])
    gallery.group({frame.source for frame in frames})


def test_tracklets_do_not_depend_on_how_rows_came(new_address):
    rng = np.random.default_rng(0)
    frames = moving(rng)
    whole = Gallery.open(new_address(), model_tag(DIM))
    add(whole, frames)
    right = tracklets_of(whole)
    assert all(tracklet for _, tracklet in right)
    assert len({tracklet for _, tracklet in right}) < len(right) / 2

    interrupted = Gallery.open(new_address(), model_tag(DIM))
    cut = int(rng.integers(1, len(frames)))
    interrupted.append(frames[:1])  # killed before its tracklets were found
    add(interrupted, frames[1:cut])
    add(interrupted, frames[cut:])

    shared = Gallery.open(new_address(), model_tag(DIM))
    add(shared, frames[::2], shared=True)
    add(shared, frames[1::2][::-1], shared=True)

    older = Gallery.open(new_address(), model_tag(DIM))
    older.append(frames)
    assert older.group() == len(right) and older.group() == 0
    assert older.group(again=True) == 0
    for gallery in (interrupted, shared, older):
        assert tracklets_of(gallery) == right


def test_appearances_are_counted_and_described(new_address):
    gallery = Gallery.open(new_address(), model_tag(DIM))
    frames = []
    for second in range(4):
        sizes = [box(10 * second, 60 + 20 * second), box(300 + second)]
        vectors = np.array([EYE[0], EYE[1]])
        if second == 2:
            vectors[0] = (EYE[0] * 0.6 + EYE[2] * 0.8).astype(np.float32)
        frames.append(
            IndexedFrame(
                'v.mp4', (640, 480), np.array(sizes), np.ones(2), vectors, second * 25,
                float(second), 1000.0 + second, 'north',
                quality=picture_quality(np.array(sizes), np.ones(2)),
            )
        )  # fmt: skip
    add(gallery, frames)
    gallery.append([random_frame(np.random.default_rng(0), 'i.jpg', 1, DIM)])
    first, second = gallery.appearances(EYE[0], 2)[0]
    assert (first.frames, first.source, first.camera) == (4, 'v.mp4', 'north')
    assert (first.first, first.last, first.start, first.end) == (1000.0, 1003.0, 0.0, 3.0)
    assert first.similarity == first.hit.similarity == 1.0 and first.hit.frame == 0
    assert first.best.frame == 75 and first.best.size == (640, 480)
    mean = (3.6 * EYE[0] + 0.8 * EYE[2]) / np.hypot(3.6, 0.8)
    np.testing.assert_allclose(first.embedding, mean, rtol=1e-5, atol=1e-7)
    assert second.frames in (1, 4) and second.id != first.id
    everybody = gallery.appearances(EYE[0], 9)[0]
    assert sorted(one.frames for one in everybody) == [1, 4, 4]
    found = gallery.appearances(EYE[0], 9, Where(since=1002.5))[0]
    assert [one.hit.frame for one in found] == [75, 75] and found[0].frames == 4


def test_a_gallery_from_before_tracklets_is_searched_and_grouped(folder):
    import lancedb

    right, frames = Gallery.open('memory:', model_tag(DIM)), moving(np.random.default_rng(0))
    add(right, frames)
    Gallery.open(folder, model_tag(DIM)).append(frames)
    table = lancedb.connect(folder.parent).open_table('people')
    table.drop_columns(['tracklet', 'quality', 'colours'])
    gallery = Gallery.open(folder)
    (found,) = gallery.appearances(EYE[0], 3)
    assert [one.frames for one in found] == [1, 1, 1]
    where = Where(upper=['red'])
    assert gallery.count(where) == 0
    assert f'{len(gallery)} people the colours of clothes are not known' in why_nobody(
        gallery, where
    )
    gallery.group()
    assert tracklets_of(gallery) == tracklets_of(Gallery.open(folder)) == tracklets_of(right)
