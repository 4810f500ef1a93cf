from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import random_annotations, random_embeddings, random_predictions
from helpers.search_oracle import best_assignment, search_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchPredictions,
    rank_queries,
)
from mmps.evaluation.functional.context_matching import match_context, query_contexts
from mmps.evaluation.functional.similarities import Similarities


def revised(weights, options, splits=(0, None)):
    """Similarities of one query after matching; ``weights[r, d]`` of context r and detection d."""
    weights = np.float32(weights)
    splits = np.array([weights.shape[1] if s is None else s for s in splits])
    # with one-hot embeddings the context rows are the edges themselves
    similarities = Similarities(weights[:1], np.eye(weights.shape[1], dtype=np.float32))
    row = weights[0].copy()
    match_context(0, row, np.arange(len(row)), weights, splits, similarities, options)
    return row.tolist()


def test_a_companion_lifts_the_query_by_hand():
    # the query goes to detection 1 although detection 0 is more similar: its companion fits 0
    weights = [[0.6, 0.5], [0.875, 0.1]]
    assert revised(weights, ContextMatching()) == pytest.approx([0.6, 0.875])
    assert revised(weights, ContextMatching(similarity='mean')) == pytest.approx([0.6, 0.6875])
    assert revised(weights, ContextMatching(similarity='sum')) == pytest.approx([0.6, 1.375])


def test_a_query_that_is_not_assigned_keeps_its_similarity():
    # one detection, and the companion fits it better
    assert revised([[0.2], [0.9]], ContextMatching()) == pytest.approx([0.2])


def test_only_images_near_the_top_are_matched():
    weights = [[0.6, 0.5, 0.3, 0.2], [0.9, 0.1, 0.9, 0.1]]
    after = revised(weights, ContextMatching(k1=2), splits=(0, 2, None))
    assert after == pytest.approx([0.6, 0.9, 0.3, 0.2])
    after = revised(weights, ContextMatching(k1=3), splits=(0, 2, None))
    assert after == pytest.approx([0.6, 0.9, 0.3, 0.9])


def test_a_query_without_companions_keeps_its_similarities_to_the_last_bit():
    embeddings = random_embeddings(np.random.default_rng(0), 6)
    similarities = Similarities(embeddings[:1], embeddings)
    before = similarities.exact(0, np.arange(6))
    row, splits, options = before.copy(), np.array([0, 3, 6]), ContextMatching()
    match_context(0, row, np.arange(6), embeddings[:1], splits, similarities, options)
    np.testing.assert_array_equal(row, before)


def test_an_empty_gallery_is_left_alone():
    query, nothing = np.ones((1, 1), np.float32), np.zeros((0, 1), np.float32)
    columns, splits = np.zeros(0, np.int64), np.array([0, 0])
    similarities = Similarities(query, nothing)
    match_context(0, nothing[:, 0], columns, query, splits, similarities, ContextMatching())


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), people=st.integers(1, 4), detections=st.integers(1, 5))
def test_equals_the_best_of_all_assignments(seed, people, detections):
    weights = np.random.default_rng(seed).uniform(-1, 1, (people, detections))
    want = np.float32(weights[0])
    pairs = best_assignment(np.float32(weights))
    for row, column in pairs:
        if row == 0:
            want[column] = max(np.float32(weights)[r, c] for r, c in pairs)
    np.testing.assert_allclose(revised(weights, ContextMatching()), want, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    gallery=st.sampled_from([0, 6]),
    k1=st.integers(1, 6),
    k2=st.integers(1, 4),
    similarity=st.sampled_from(['max', 'mean', 'sum']),
    given_context=st.booleans(),
    weighting=st.booleans(),
    few=st.booleans(),
)
def test_equals_the_oracle(seed, gallery, k1, k2, similarity, given_context, weighting, few):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, gallery=gallery)
    predictions = random_predictions(rng, annotations)
    if given_context:
        counts = rng.integers(1, 4, annotations.num_queries)
        splits = np.concatenate([[0], np.cumsum(counts)])
        context = random_embeddings(rng, splits[-1])
        context[splits[:-1]] = predictions.query_embeddings
        predictions = replace(
            predictions, query_context_splits=splits, query_context_embeddings=context
        )
    options = dict(
        gallery_size=gallery,
        confidence_weighting=weighting,
        context_matching=ContextMatching(k1, k2, similarity),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmps.evaluation.functional.search.FEW', 2 if few else 0)
        (result,) = rank_queries(annotations, predictions, **options)
    aps, ranks = search_oracle(annotations, predictions, **options)
    np.testing.assert_allclose(result.average_precision, aps, atol=1e-6)
    np.testing.assert_array_equal(result.first_rank, ranks)


def two_people():
    """One image with the query, a slightly shifted detection of it, and two companions."""
    box = [0, 0, 20, 40]
    annotations = SearchAnnotations(
        image_names=('a.jpg',),
        cameras=[0],
        box_splits=[0, 1],
        bboxes=[box],
        person_ids=[1],
        query_images=[0],
        query_bboxes=[box],
        query_person_ids=[1],
    )
    predictions = SearchPredictions(
        image_names=('a.jpg',),
        image_splits=[0, 3],
        bboxes=[[50, 0, 70, 40], [1, 0, 20, 40], [90, 0, 110, 40]],
        scores=[0.6, 0.9, 0.8],
        embeddings=np.eye(4)[1:],
        query_embeddings=np.eye(1, 4),
    )
    return annotations, predictions


@pytest.mark.parametrize(('k2', 'rows'), [(1, [0]), (2, [0, 3]), (3, [0, 3, 1]), (9, [0, 3, 1])])
def test_context_is_the_own_image_by_score_without_the_query(k2, rows):
    (context,) = query_contexts(*two_people(), k2)
    np.testing.assert_array_equal(context, np.eye(4)[rows])


def test_a_given_context_must_begin_with_the_query():
    annotations, predictions = two_people()
    wrong = replace(
        predictions, query_context_splits=[0, 2], query_context_embeddings=np.eye(4)[[2, 0]]
    )
    with pytest.raises(ValueError, match='the first row of query 0 is not the query'):
        rank_queries(annotations, wrong, context_matching=ContextMatching())


@pytest.mark.parametrize('options', [dict(k1=0), dict(k2=0), dict(similarity='min')])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match='context_matching: k1 and k2 must be at least 1'):
        ContextMatching(**options)
