"""Searches among tracklets: by hand, and by brute force."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import random_annotations, random_predictions
from helpers.search_oracle import iou_of, step_average_precision, threshold_of

from mmps.evaluation.functional import (
    SearchAnnotations,
    SearchPredictions,
    SearchProtocols,
    tracklets,
)
from mmps.evaluation.functional.galleries import make_gallery
from mmps.evaluation.functional.search import Searches
from mmps.evaluation.functional.similarities import Similarities
from mmps.evaluation.functional.tracklets import VideoFrames, rank_tracklets, tracklets_of

PERSON = np.array([[100, 100, 150, 250]], np.float32)


def seen(images):
    """A test set and predictions of people at one place, of whom each image has one.

    Args:
        images: Name, person and similarity to the query, who is in the first image.
    """
    names, ids, similarities = zip(*images, strict=True)
    splits, boxes = np.arange(len(ids) + 1), PERSON.repeat(len(ids), 0)
    similarities = np.array(similarities)
    embeddings = np.stack([similarities, np.sqrt(1 - similarities**2)], 1)
    cameras = [int(name[1]) for name in names]
    annotations = SearchAnnotations(names, cameras, splits, boxes, ids, [0], PERSON, ids[:1])
    found = SearchPredictions(names, splits, boxes, np.ones(len(ids)), embeddings, embeddings[:1])
    return annotations, found


VISITS = [
    ('c1s1_000000.jpg', 1, 1.0),
    *(('c2s1_000025.jpg', 1, 0.9), ('c2s1_000050.jpg', 1, 0.8), ('c2s1_000075.jpg', 1, 0.9)),
    *(('c3s1_000025.jpg', 2, 0.7), ('c3s1_000050.jpg', 2, 0.65)),
    ('c2s1_000250.jpg', 1, 0.6),  # comes back after seven seconds
]


def test_each_visit_counts_once():
    """Right, wrong, right among tracklets; three right, two wrong, one right among frames."""
    case = seen(VISITS)
    metrics = SearchProtocols(tracklets={})(*case)
    assert metrics['search/mAP'] == pytest.approx((1 + 1 + 1 + 4 / 6) / 4)
    assert metrics['search/mAP_tracklets'] == pytest.approx((1 + 2 / 3) / 2)
    assert metrics['search/top1_tracklets'] == 1
    assert 'search/mAP_tracklets_cross_camera' not in metrics
    assert SearchProtocols()(*case) == {
        key: value for key, value in metrics.items() if 'tracklets' not in key
    }


def test_what_is_shown_of_a_tracklet_decides():
    """Where somebody else takes over within a tracklet, it shows whoever looks most like them."""
    images = [*VISITS[:4], ('c2s1_000100.jpg', 2, 0.95), *VISITS[4:]]
    metrics = SearchProtocols(tracklets={}, cross_camera=True)(*seen(images))
    assert metrics['search/mAP_tracklets'] == pytest.approx(1 / 3 / 2)
    assert metrics['search/top1_tracklets'] == 0
    assert metrics['search/mAP_tracklets_cross_camera'] == pytest.approx(1 / 3 / 2)
    more = [*VISITS, ('c1s1_000025.jpg', 1, 0.99)]  # goes on in the query's camera
    metrics = SearchProtocols(tracklets={}, cross_camera=True)(*seen(more))
    assert metrics['search/mAP_tracklets'] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert metrics['search/mAP_tracklets_cross_camera'] == pytest.approx((1 + 2 / 3) / 2)


def oracle(annotations, predictions, gallery, frames):
    """Average precision and first rank of each search, by loops."""
    videos, moments = frames.of(annotations.image_names)
    own = tracklets_of(predictions, videos, moments)
    image_of = np.repeat(np.arange(annotations.num_images), np.diff(predictions.image_splits))
    found = []
    for search, query in enumerate(gallery.queries):
        positives = range(*gallery.positives.splits[search : search + 2])
        boxes = {int(gallery.positives.images[p]): gallery.positives.bboxes[p] for p in positives}
        visits, last = {}, None
        for image in sorted(boxes, key=lambda i: (videos[i], moments[i])):
            new = last is None or videos[last] != videos[image]
            new = new or moments[image] - moments[last] > 2.5
            visits[image] = len({*visits.values()}) if new else visits[last]
            last = image
        shown = {}
        for row, image in enumerate(image_of):
            if gallery.searched(search)[image]:
                alike = np.float32(
                    predictions.embeddings[row].astype(np.float64)
                    @ predictions.query_embeddings[query]
                )
                right = image in boxes and iou_of(
                    boxes[image], predictions.bboxes[row]
                ) >= threshold_of(boxes[image], 'adaptive')
                visit = visits[image] if right else 0
                before = shown.get(own[row], (-2, False, 0))
                shown[own[row]] = max(before, (alike, not right, -visit))
        best = {}
        for tracklet, (alike, wrong, visit) in shown.items():
            if not wrong and alike > best.get(visit, (-2, 0))[0]:
                best[visit] = alike, tracklet
        labels = {tracklet for _, tracklet in best.values()}
        ranking = sorted((-alike, tracklet in labels) for tracklet, (alike, *_) in shown.items())
        right = [label for _, label in ranking]
        total = len({*visits.values()})
        levels = [-level for level, _ in ranking]
        precision = step_average_precision(right, levels) if labels else 0.0
        found.append(
            (
                precision * len(labels) / max(total, 1),
                right.index(True) + 1 if labels else 0,
                len(labels),
                total,
            )
        )
    return found


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('gallery', [0, 9])
def test_rankings_agree_with_brute_force(ties, gallery, monkeypatch):
    monkeypatch.setattr(tracklets, 'REACH', (9.0, 9.0))  # random places become tracklets
    monkeypatch.setattr(tracklets, 'LEAST', -0.5)
    original = Similarities.rows

    def shaken(self, queries, columns):  # products may be off by as much
        for query, row in original(self, queries, columns):
            yield query, row + self.margin * np.float32(0.4) * rng.choice([-1, 1], len(row))

    monkeypatch.setattr(Similarities, 'rows', shaken)
    frames, longest = VideoFrames(r'(?P<video>\w+)-(?P<frame>\d+)', fps=2.0), 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        annotations = random_annotations(rng, 24, 3, 6, gallery)
        names = tuple(f'v{i % 2}-{2 * i + 4 * (i > 11)}.jpg' for i in range(24))
        annotations = replace(annotations, image_names=names)
        predictions = random_predictions(rng, annotations, ties=ties)
        for cross_camera in (False, True):
            one = make_gallery(annotations, gallery_size=gallery, cross_camera=cross_camera)
            searches = Searches(annotations, predictions, [(one, ['adaptive'])])
            result = rank_tracklets(searches, frames)
            expected = oracle(annotations, predictions, one, frames)
            columns = result.average_precision, result.first_rank, result.found, result.positives
            assert [*zip(*columns, strict=True)] == [pytest.approx(row) for row in expected]
        own = tracklets_of(predictions, *frames.of(names))
        longest = max(longest, np.unique(own, return_counts=True)[1].max())
    assert longest > 3


def test_names_that_say_nothing_of_videos():
    case = seen([(name.replace('s1_', '-'), *rest) for name, *rest in VISITS])
    with pytest.raises(ValueError, match="tracklets: 'c1-000000.jpg' does not say which frame"):
        SearchProtocols(tracklets={})(*case)
    pattern = r'(?P<video>c\d)-(?P<frame>\d+)'
    metrics = SearchProtocols(tracklets=dict(pattern=pattern, fps=25))(*case)
    assert metrics['search/mAP_tracklets'] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'pattern': '('}, r"tracklets.pattern: '\(': missing"),
        ({'pattern': r'(?P<video>c\d)'}, 'needs the groups'),
        ({'fps': 0}, 'tracklets.fps: 0 given'),
    ],
)
def test_options_that_mean_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        SearchProtocols(tracklets=options)
