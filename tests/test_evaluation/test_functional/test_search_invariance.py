"""What must not matter to any number: order, empty images, and how similarities are computed."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import (
    random_annotations,
    random_boxes,
    random_embeddings,
    random_galleries,
    random_predictions,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchGalleries,
    SearchPredictions,
    SearchProtocols,
    rank_queries,
)
from mmps.evaluation.functional.annotations import gather_slices
from mmps.evaluation.functional.similarities import Similarities

SEEDS = dict(seed=st.integers(0, 2**32 - 1))
EVERYTHING = SearchProtocols(
    cross_camera=True,
    camera_pairs=True,
    gallery_sizes=(6, 3, 'all'),
    labelled_recall=True,
    query_source='detection',
    coco_ap=True,
)


def random_case(rng, listed=False, ties=True):
    annotations = random_annotations(rng, images=9, queries=7)
    if listed:
        galleries = {size: random_galleries(rng, annotations, size, 9) for size in (3, 6)}
        annotations = replace(annotations, galleries=galleries)
    return annotations, random_predictions(rng, annotations, ties=ties, with_gt=True)


def shuffled(rng, annotations, predictions):
    """The same test set with images, detections within images, queries and searches reordered."""
    images = rng.permutation(annotations.num_images)
    queries = rng.permutation(annotations.num_queries)
    place = np.argsort(images)
    _, boxes = gather_slices(annotations.box_splits, images)
    owners, rows = gather_slices(predictions.image_splits, images)
    rows = rows[np.lexsort((rng.random(len(rows)), owners))]
    names = tuple(annotations.image_names[i] for i in images)
    moved = replace(
        annotations,
        image_names=names,
        cameras=annotations.cameras[images],
        box_splits=np.cumsum([0, *np.diff(annotations.box_splits)[images]]),
        bboxes=annotations.bboxes[boxes],
        person_ids=annotations.person_ids[boxes],
        query_images=place[annotations.query_images[queries]],
        query_bboxes=annotations.query_bboxes[queries],
        query_person_ids=annotations.query_person_ids[queries],
        galleries={
            size: reordered(rng, gallery, place, np.argsort(queries))
            for size, gallery in annotations.galleries.items()
        },
    )
    found = replace(
        predictions,
        image_names=names,
        image_splits=np.cumsum([0, *np.diff(predictions.image_splits)[images]]),
        bboxes=predictions.bboxes[rows],
        scores=predictions.scores[rows],
        embeddings=predictions.embeddings[rows],
        query_embeddings=predictions.query_embeddings[queries],
        gt_embeddings=predictions.gt_embeddings[boxes],
    )
    return moved, found, queries


def reordered(rng, gallery, place_of_image, place_of_query):
    """Searches in another order; the entries stay, for the first of a repeated image counts."""
    searches = rng.permutation(len(gallery))
    owners, entries = gather_slices(gallery.splits, searches)
    box = np.full(len(gallery.images), -1)
    box[gallery.positives] = np.arange(len(gallery.positives))
    box = box[entries]
    return SearchGalleries(
        splits=np.cumsum([0, *np.diff(gallery.splits)[searches]]),
        images=place_of_image[gallery.images[entries]],
        positives=np.flatnonzero(box >= 0),
        bboxes=gallery.bboxes[box[box >= 0]],
        queries=place_of_query[gallery.queries[searches]],
    )


@settings(deadline=None, max_examples=40)
@given(**SEEDS)
def test_order_changes_no_query(seed):
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    *moved, queries = shuffled(rng, *case)
    before = rank_queries(*case)[0]
    after = rank_queries(*moved)[0]
    np.testing.assert_array_equal(after.average_precision, before.average_precision[queries])
    np.testing.assert_array_equal(after.first_rank, before.first_rank[queries])


@settings(deadline=None, max_examples=30)
@given(**SEEDS, listed=st.booleans(), ties=st.booleans())
def test_order_changes_no_key(seed, listed, ties):
    """Bit for bit, whatever is asked for."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, listed, ties)
    *moved, _ = shuffled(rng, *case)
    assert EVERYTHING(*moved) == EVERYTHING(*case)


@settings(deadline=None, max_examples=20)
@given(**SEEDS)
def test_order_changes_no_context_matching(seed):
    """Where no two assignments weigh the same."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, ties=False)
    *moved, _ = shuffled(rng, *case)
    protocols = SearchProtocols(context_matching=ContextMatching(k1=5, k2=3))
    assert protocols(*moved) == protocols(*case)


def with_an_empty_image(annotations, predictions):
    names = (*annotations.image_names, 'empty.jpg')
    more = replace(
        annotations,
        image_names=names,
        cameras=[*annotations.cameras, 0],
        box_splits=[*annotations.box_splits, annotations.box_splits[-1]],
    )
    found = replace(
        predictions,
        image_names=names,
        image_splits=[*predictions.image_splits, predictions.image_splits[-1]],
    )
    return more, found


@settings(deadline=None, max_examples=20)
@given(**SEEDS, listed=st.booleans())
def test_an_empty_image_changes_nothing(seed, listed):
    case = random_case(np.random.default_rng(seed), listed)
    assert EVERYTHING(*with_an_empty_image(*case)) == EVERYTHING(*case)


def copies(rng, dim, images=40, detections=300):
    """Predictions in which many detections have the same embedding, so that ranks are ties."""
    annotations = random_annotations(rng, images=images, people=4, queries=25)
    owner = np.sort(rng.integers(0, images, detections))
    looks = random_embeddings(rng, 12, dim)
    chosen = rng.integers(0, 12, detections)
    predictions = SearchPredictions(
        image_names=annotations.image_names,
        image_splits=np.searchsorted(owner, np.arange(images + 1)),
        bboxes=random_boxes(rng, detections),
        scores=np.ones(detections),
        embeddings=looks[chosen],
        query_embeddings=looks[rng.integers(0, 12, 25)],
    )
    # half of the boxes are right, or there would be no hit to tie with
    image = np.repeat(np.arange(images), np.diff(annotations.box_splits))
    for row in range(0, detections, 2):
        here = np.flatnonzero(image == owner[row])
        if len(here):
            predictions.bboxes[row] = annotations.bboxes[rng.choice(here)]
    return annotations, predictions


@pytest.mark.parametrize('dim', [16, 100, 256, 2048])
def test_ties_do_not_depend_on_how_similarities_are_computed(dim, monkeypatch):
    """One query at a time, in blocks, and with the worst rounding there may be."""
    rng = np.random.default_rng(dim)
    case = copies(rng, dim)
    before = rank_queries(*case)[0]
    assert before.found.sum() > 100

    def unchanged():
        after = rank_queries(*case)[0]
        np.testing.assert_array_equal(after.average_precision, before.average_precision)
        np.testing.assert_array_equal(after.first_rank, before.first_rank)

    for chunk in (1, 700, 2000):
        monkeypatch.setattr('mmps.evaluation.functional.similarities.CHUNK_VALUES', chunk)
        unchanged()
    with monkeypatch.context() as patch:
        patch.setattr('mmps.evaluation.functional.search.FEW', 2)
        unchanged()
    original = Similarities.rows

    def shaken(self, queries, columns):
        for query, row in original(self, queries, columns):
            yield query, row + rng.uniform(-0.4, 0.4, row.shape).astype(np.float32) * self.margin

    monkeypatch.setattr(Similarities, 'rows', shaken)
    unchanged()


@settings(deadline=None, max_examples=30)
@given(**SEEDS, dim=st.sampled_from([5, 64]))
def test_a_perfect_ranking_is_exactly_one(seed, dim):
    """Everybody in at least two images of each of two cameras, nobody twice in an image."""
    rng = np.random.default_rng(seed)
    people, images = rng.integers(2, 6), 12
    shown = [rng.permutation(people)[: rng.integers(1, people + 1)] for _ in range(images - 4)]
    ids = [*shown, *[np.arange(people)] * 4]
    counts = [len(image) for image in ids]
    person_ids = np.concatenate(ids)
    bboxes = random_boxes(rng, len(person_ids))
    # side by side, so that nobody is mistaken for somebody else's detection
    bboxes[:, [0, 2]] += 1000 * np.arange(len(person_ids))[:, None]
    looks = random_embeddings(rng, people, dim)
    queries = rng.permutation(len(person_ids))[:20]
    annotations = SearchAnnotations(
        image_names=[f'{i}.jpg' for i in range(images)],
        cameras=np.arange(images) % 2,
        box_splits=np.cumsum([0, *counts]),
        bboxes=bboxes,
        person_ids=person_ids,
        query_images=np.repeat(np.arange(images), counts)[queries],
        query_bboxes=bboxes[queries],
        query_person_ids=person_ids[queries],
    )
    predictions = SearchPredictions(
        image_names=annotations.image_names,
        image_splits=annotations.box_splits,
        bboxes=bboxes,
        scores=np.ones(len(bboxes)),
        embeddings=looks[person_ids],
        query_embeddings=looks[annotations.query_person_ids],
        gt_embeddings=looks[person_ids],
    )
    metrics = EVERYTHING(annotations, predictions)
    # pycocotools adds an epsilon to each denominator
    assert {v for k, v in metrics.items() if 'queries' not in k and 'coco' not in k} == {1.0}
    assert metrics['det/coco_AP'] == pytest.approx(1, abs=1e-12)
