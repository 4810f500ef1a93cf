"""Rankings of random test sets, by brute force."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import (
    random_annotations,
    random_galleries,
    random_options,
    random_predictions,
)
from helpers.search_oracle import search_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import rank_queries


def random_case(rng, images=8, searches=None, ties=False):
    """A test set with galleries of 3 and 6 images; ``searches`` of random queries, or all once."""
    annotations = random_annotations(rng, images=images)
    galleries = {size: random_galleries(rng, annotations, size, searches) for size in (3, 6)}
    annotations = replace(annotations, galleries=galleries)
    return annotations, random_predictions(rng, annotations, ties=ties)


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    gallery=st.sampled_from([0, 6]),
    ties=st.booleans(),
    iou_thr=st.sampled_from(['adaptive', 0.5, 0.75]),
)
def test_equals_the_oracle(seed, images, gallery, ties, iou_thr):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=images, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=ties)
    options = random_options(rng, gallery)
    (result,) = rank_queries(annotations, predictions, [iou_thr], **options)
    aps, ranks = search_oracle(annotations, predictions, iou_thr=iou_thr, **options)
    np.testing.assert_allclose(result.average_precision, aps, atol=1e-9)
    np.testing.assert_array_equal(result.first_rank, ranks)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    gallery=st.sampled_from([3, 6, 'all']),
    searches=st.sampled_from([None, 1, 3, 12]),
    ties=st.booleans(),
    few=st.booleans(),
)
def test_explicit_searches_equal_the_oracle(seed, gallery, searches, ties, few):
    """Queries that are searched several times, or not at all, in any order."""
    rng = np.random.default_rng(seed)
    case = random_case(rng, searches=searches, ties=ties)
    options = random_options(rng, gallery)
    # the way that galleries of few images are searched, for all or for none
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmps.evaluation.functional.ranking.FEW', 2 if few else 0)
        (result,) = rank_queries(*case, **options)
    aps, ranks = search_oracle(*case, **options)
    np.testing.assert_allclose(result.average_precision, aps, atol=1e-9)
    np.testing.assert_array_equal(result.first_rank, ranks)
    assert (np.diff(result.queries) >= 0).all()
    assert len(result.queries) == (searches or case[0].num_queries)
