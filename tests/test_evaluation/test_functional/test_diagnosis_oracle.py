"""Losses of random test sets, by brute force, and what they add up to."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.diagnosis_oracle import diagnosis_oracle
from helpers.search_cases import random_annotations, random_options, random_predictions
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import ContextMatching, rank_queries
from mmps.evaluation.functional.diagnosis import diagnose_search
from mmps.evaluation.functional.search_loss import Part


def random_case(seed, images=8, gallery=0, ties=True):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=images, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=ties)
    return annotations, predictions, random_options(rng, gallery)


@settings(deadline=None, max_examples=120)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    gallery=st.sampled_from([0, 6]),
    ties=st.booleans(),
    iou_thr=st.sampled_from(['adaptive', 0.05, 0.5, 0.75]),
)
def test_parts_equal_the_oracle_and_add_up(seed, images, gallery, ties, iou_thr):
    annotations, predictions, options = random_case(seed, images, gallery, ties)
    (result,) = rank_queries(annotations, predictions, [iou_thr], **options)
    result = result.answerable
    if not len(result):
        with pytest.raises(ValueError, match='anybody to find'):
            diagnose_search(annotations, predictions, iou_thr=iou_thr, **options)
        return
    loss = diagnose_search(annotations, predictions, iou_thr=iou_thr, **options)
    np.testing.assert_allclose(loss.average_precision, result.average_precision, atol=1e-12)
    np.testing.assert_allclose(loss.parts.sum(1), 1 - result.average_precision, rtol=0, atol=1e-12)
    assert loss.mean_parts.sum() == pytest.approx(1 - loss.mean_average_precision, abs=1e-12)
    oracle = diagnosis_oracle(annotations, predictions, iou_thr=iou_thr, **options)
    want = [[parts[part] for part in Part] for parts in oracle]
    np.testing.assert_allclose(loss.parts, want, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    gallery=st.sampled_from([0, 6]),
    ties=st.booleans(),
    k1=st.integers(1, 12),
    similarity=st.sampled_from(['max', 'mean']),
)
def test_parts_add_up_with_context_matching(seed, gallery, ties, k1, similarity):
    annotations, predictions, options = random_case(seed, gallery=gallery, ties=ties)
    options['context_matching'] = ContextMatching(k1, 3, similarity)
    (result,) = rank_queries(annotations, predictions, **options)
    result = result.answerable
    if not len(result):
        return
    loss = diagnose_search(annotations, predictions, **options)
    np.testing.assert_allclose(loss.average_precision, result.average_precision, atol=1e-12)
    np.testing.assert_allclose(loss.parts.sum(1), 1 - result.average_precision, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_changes_nothing(seed):
    annotations, predictions, options = random_case(seed)
    rng = np.random.default_rng(seed)

    def shuffle(splits):
        image = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
        return np.lexsort((rng.random(len(image)), image))

    # which of two boxes of one id in an image counts is the protocol's order, so keep that
    people = shuffle(annotations.box_splits)
    image = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
    twice = len(np.unique(np.stack([image, annotations.person_ids]), axis=1).T) < len(image)
    people = np.sort(people) if twice else people
    rows = shuffle(predictions.image_splits)
    moved = replace(
        annotations,
        bboxes=annotations.bboxes[people],
        person_ids=annotations.person_ids[people],
    )
    found = replace(
        predictions,
        bboxes=predictions.bboxes[rows],
        scores=predictions.scores[rows],
        embeddings=predictions.embeddings[rows],
    )
    if not rank_queries(annotations, predictions, **options)[0].positives.any():
        return
    before = diagnose_search(annotations, predictions, **options)
    after = diagnose_search(moved, found, **options)
    np.testing.assert_array_equal(after.parts, before.parts)


@pytest.mark.parametrize('gallery', [0, 6])
def test_a_query_searched_several_times(gallery):
    annotations, predictions, options = random_case(3, gallery=gallery)
    if gallery:
        listed = annotations.galleries[gallery]
        annotations.galleries[gallery] = replace(listed, queries=[2, 0, 2, 4, 0])
    loss = diagnose_search(annotations, predictions, **options)
    (result,) = rank_queries(annotations, predictions, **options)
    result = result.answerable
    np.testing.assert_array_equal(loss.queries, result.queries)
    np.testing.assert_allclose(loss.parts.sum(1), 1 - result.average_precision, atol=1e-12)
    oracle = diagnosis_oracle(annotations, predictions, **options)
    np.testing.assert_allclose(loss.parts, [list(parts.values()) for parts in oracle], atol=1e-12)


def test_worst_queries():
    annotations, predictions, _ = random_case(5, gallery=6)
    loss = diagnose_search(annotations, predictions, gallery_size=6)
    loss = replace(
        loss,
        queries=np.array([0, 1, 1, 3, 4]),
        average_precision=np.array([0.5, 0.3, 0.0, 0.0, 0.3]),
    )
    # of query 1 the first search counts
    assert loss.worst_queries == [3, 1, 4, 0]
