"""The protocols against loops that follow their definitions, on random embeddings."""

from collections import Counter

import numpy as np
import pytest
from helpers.search_cases import random_embeddings, random_predictions
from helpers.search_oracle import search_oracle

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions, evaluate_search
from mmps.formats.cuhk03.galleries import TestCrops, all_but_junk, single_gallery_shot

TOP_K = (1, 5, 10)


def random_crops(rng, people=12, shots=5):
    """Up to ``shots`` crops of each person by each view of one of three pairs; some views empty."""
    rows = []
    for person in rng.permutation(100)[:people]:
        pair = rng.integers(3)
        for view in (1, 2):
            rows += [(person, 2 * pair + view, view)] * rng.integers(0, shots + 1)
    rows = np.array(rows, np.int64).reshape(-1, 3)
    size = rng.integers(10, 80, (len(rows), 2))
    bboxes = np.concatenate([np.zeros_like(size), size], 1).astype(np.float32)
    return TestCrops(rows[:, 0], rows[:, 1], rows[:, 2], bboxes)


def annotations_of(crops, queries, **galleries):
    return SearchAnnotations(
        image_names=tuple(f'{n}.png' for n in range(len(crops.people))),
        cameras=crops.cameras,
        box_splits=np.arange(len(crops.people) + 1),
        bboxes=crops.bboxes,
        person_ids=crops.people,
        query_images=queries,
        query_bboxes=crops.bboxes[queries],
        query_person_ids=crops.people[queries],
        galleries=galleries,
    )


def whole_crops(rng, crops, queries):
    """Predictions of a re-identification model: each crop is one detection."""
    embeddings = random_embeddings(rng, len(crops.people), 16)
    return SearchPredictions(
        image_names=tuple(f'{n}.png' for n in range(len(crops.people))),
        image_splits=np.arange(len(crops.people) + 1),
        bboxes=crops.bboxes,
        scores=np.ones(len(crops.people)),
        embeddings=embeddings,
        query_embeddings=embeddings[queries],
    )


def ranked_matches(crops, embeddings, query, gallery):
    """Whether each gallery crop, nearest first, shows the person of the query."""
    distances = [float(((embeddings[query] - embeddings[g]) ** 2).sum()) for g in gallery]
    order = sorted(range(len(gallery)), key=lambda n: distances[n])
    return [crops.people[gallery[n]] == crops.people[query] for n in order]


def without_junk(crops, query, gallery):
    return [
        g
        for g in gallery
        if crops.people[g] != crops.people[query] or crops.cameras[g] != crops.cameras[query]
    ]


def reid_metrics(crops, embeddings, queries, gallery):
    """mAP and CMC of multi-shot re-identification, junk removed: the new protocol."""
    precisions, first = [], []
    for query in queries:
        matches = ranked_matches(crops, embeddings, query, without_junk(crops, query, gallery))
        if not any(matches):
            continue
        hits, total = 0, 0.0
        for rank, match in enumerate(matches, 1):
            if match:
                hits += 1
                total += hits / rank
        precisions.append(total / hits)
        first.append(matches.index(True) + 1)
    tops = {f'top{k}': np.mean([rank <= k for rank in first]) for k in TOP_K}
    return {'mAP': np.mean(precisions), **tops}


@pytest.mark.parametrize('seed', range(6))
def test_new_protocol(seed):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng)
    order = rng.permutation(len(crops.people))
    queries, gallery = order[:15], order[15:]
    galleries = all_but_junk(crops, queries, gallery)
    annotations = annotations_of(crops, queries, new=galleries)
    predictions = whole_crops(rng, crops, queries)
    got = evaluate_search(annotations, predictions, gallery_size='new')
    assert got == pytest.approx(
        reid_metrics(crops, predictions.embeddings, queries, gallery), abs=1e-6
    )


@pytest.mark.parametrize('seed', range(3))
def test_every_crop_of_a_classic_split(seed):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng)
    every = np.arange(len(crops.people))
    annotations = annotations_of(crops, every, classic_all=all_but_junk(crops, every, every))
    predictions = whole_crops(rng, crops, every)
    got = evaluate_search(annotations, predictions, gallery_size='classic_all')
    assert got == pytest.approx(reid_metrics(crops, predictions.embeddings, every, every), abs=1e-6)


def candidates(crops, query, any_view):
    """For each person the crops that single gallery shot may draw for a query."""
    allowed = {}
    for crop in without_junk(crops, query, range(len(crops.people))):
        if any_view or crops.views[crop] != crops.views[query]:
            allowed.setdefault(int(crops.people[crop]), set()).add(crop)
    return allowed


@pytest.mark.parametrize('any_view', [False, True])
@pytest.mark.parametrize('seed', range(4))
def test_single_gallery_shot_draws_one_allowed_crop_of_each_person(seed, any_view):
    crops = random_crops(np.random.default_rng(seed))
    galleries = single_gallery_shot(crops, any_view=any_view)
    times = Counter(galleries.queries.tolist())
    for query in range(len(crops.people)):
        allowed = candidates(crops, query, any_view)
        assert times[query] == (10 if int(crops.people[query]) in allowed else 0)
    for search, query in enumerate(galleries.queries):
        drawn = galleries.images[galleries.splits[search] : galleries.splits[search + 1]]
        allowed = candidates(crops, query, any_view)
        assert sorted(crops.people[drawn]) == sorted(allowed)
        assert all(crop in allowed[int(crops.people[crop])] for crop in drawn)


@pytest.mark.parametrize('any_view', [False, True])
@pytest.mark.parametrize('seed', range(3))
def test_cmc_of_single_gallery_shot(seed, any_view):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng)
    every = np.arange(len(crops.people))
    galleries = single_gallery_shot(crops, any_view=any_view)
    predictions = whole_crops(rng, crops, every)
    # The mean over the ten draws of a query, then over the queries, as the field computes it.
    curves = {}
    for search, query in enumerate(galleries.queries):
        drawn = galleries.images[galleries.splits[search] : galleries.splits[search + 1]]
        matches = ranked_matches(crops, predictions.embeddings, query, drawn)
        assert sum(matches) == 1
        curves.setdefault(query, []).append([any(matches[:k]) for k in TOP_K])
    assert {len(draws) for draws in curves.values()} == {10}
    cmc = np.mean([np.mean(draws, 0) for draws in curves.values()], 0)
    got = evaluate_search(
        annotations_of(crops, every, classic=galleries), predictions, gallery_size='classic'
    )
    assert [got[f'top{k}'] for k in TOP_K] == pytest.approx(cmc, abs=1e-6)


def same_shots(people, shots):
    """``shots`` crops of each of ``people`` people in each view of one camera pair."""
    views = np.tile(np.repeat([1, 2], shots), people)
    bboxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (len(views), 1))
    return TestCrops(np.repeat(np.arange(people), 2 * shots), views, views, bboxes)


def test_draws_are_even():
    galleries = single_gallery_shot(same_shots(40, 5))
    # 400 queries, 10 searches each: a crop is drawn by half of them with a chance of one in five.
    assert galleries.images.size == 400 * 10 * 40
    drawn = np.bincount(galleries.images)
    deviation = (400 * 10 / 2 / 5 * 4 / 5) ** 0.5
    assert np.abs(drawn - 400).max() < 5 * deviation
    assert 0.7 * deviation < drawn.std() < 1.3 * deviation


def test_draws_never_change():
    """They make the numbers that are reported, whatever the platform and the version of NumPy."""
    images = single_gallery_shot(same_shots(3, 2)).images
    # From the view that is not the query's: crops 2 and 3, 6 and 7, 10 and 11 for the first two
    # queries, by raw PCG64 output that starts 11749869230777074271, 4976686463289251617.
    assert images[:6].tolist() == [3, 7, 10, 3, 7, 10]


@pytest.mark.parametrize('name', ['new', 'classic'])
@pytest.mark.parametrize('seed', range(3))
def test_with_detections_that_miss_and_repeat(seed, name):
    rng = np.random.default_rng(seed)
    crops = random_crops(rng, people=5, shots=3)
    every = np.arange(len(crops.people))
    galleries = all_but_junk(crops, every, every) if name == 'new' else single_gallery_shot(crops)
    annotations = annotations_of(crops, every, **{name: galleries})
    predictions = random_predictions(rng, annotations)
    got = evaluate_search(annotations, predictions, gallery_size=name)
    aps, ranks = search_oracle(annotations, predictions, gallery_size=name)
    assert got['mAP'] == pytest.approx(np.mean(aps), abs=1e-6)
    assert got['top1'] == pytest.approx(np.mean([rank == 1 for rank in ranks]), abs=1e-6)
