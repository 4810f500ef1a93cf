"""Groups of the loss: hand-computed ones, and that they add up on random cases."""

import json

import numpy as np
import pytest
from helpers.search_cases import random_annotations, random_predictions
from helpers.search_oracle import positives_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import SearchAnnotations, SearchGalleries, SearchPredictions
from mmps.evaluation.functional.breakdowns import break_down, covered_share, diagnosis_report
from mmps.evaluation.functional.diagnosis import diagnose_search
from mmps.evaluation.functional.search_loss import Part

SMALL, LARGE = [0, 0, 20, 40], [0, 0, 50, 120]
FRONT = [10, 0, 60, 120]  # covers half of SMALL and 0.8 of LARGE


@pytest.fixture
def case():
    """Two people, a query each, both found in camera 2 and missed in camera 3.

    The first one's gallery boxes are 40 and 120 pixels high, and in camera 3 somebody stands beside
    the person. In camera 2, background stands above the first one.
    """
    names = [f'{i}.jpg' for i in range(6)]
    annotations = SearchAnnotations(
        image_names=names,
        cameras=[1, 2, 3, 1, 2, 3],
        box_splits=[0, 1, 2, 4, 5, 6, 7],
        bboxes=[SMALL, SMALL, LARGE, FRONT, LARGE, LARGE, LARGE],
        person_ids=[5, 5, 5, -1, 6, 6, 6],
        query_images=[0, 3],
        query_bboxes=[SMALL, LARGE],
        query_person_ids=[5, 6],
    )
    predictions = SearchPredictions(
        image_names=names,
        image_splits=[0, 0, 2, 2, 2, 3, 3],
        bboxes=[SMALL, [200, 0, 220, 40], LARGE],
        scores=[1, 1, 1],
        embeddings=[[0.6, 0.8, 0], [0.8, 0.6, 0], [0, 0, 1]],
        query_embeddings=[[1, 0, 0], [0, 0, 1]],
    )
    return annotations, predictions


def rows_of(breakdown, part):
    """``{group: (worth, lost in all, lost by the part)}``."""
    return {
        tuple(group.values()): (
            pytest.approx(breakdown.worth[row]),
            pytest.approx(breakdown.parts[row].sum()),
            pytest.approx(breakdown.parts[row, part]),
        )
        for row, group in enumerate(breakdown.groups)
    }


def test_groups_by_hand(case):
    loss = diagnose_search(*case)
    # each search misses one of two; in the first, background halves the precision of the other
    assert loss.average_precision == pytest.approx([1 / 4, 1 / 2])
    groups = break_down(case[0], loss)
    pairs = {
        (1, 2): (1 / 2, 1 / 8, 0),
        (1, 3): (1 / 2, 1 / 2, 1 / 2),
    }
    assert rows_of(groups['camera_pair'], Part.MISSED) == pairs
    assert groups['camera_pair'].reached == pytest.approx([3 / 4, 0])
    assert groups['camera_pair'].appearances.tolist() == [2, 2]
    assert groups['camera_pair'].searches.tolist() == [2, 2]
    assert rows_of(groups['query_height'], Part.BACKGROUND) == {
        (0, 50): (1 / 2, 3 / 8, 1 / 8),
        (100, 150): (1 / 2, 1 / 4, 0),
    }
    assert groups['query_height'].reached == pytest.approx(loss.average_precision)
    assert rows_of(groups['gallery_height'], Part.MISSED) == {
        (0, 50): (1 / 4, 1 / 8, 0),
        (100, 150): (3 / 4, 1 / 2, 1 / 2),
    }
    assert rows_of(groups['gallery_occlusion'], Part.MISSED) == {
        (0.0, 0.01): (3 / 4, 3 / 8, 1 / 4),
        (0.5, None): (1 / 4, 1 / 4, 1 / 4),
    }
    assert rows_of(groups['query_occlusion'], Part.MISSED) == {
        (0.0, 0.01): (1, 5 / 8, 1 / 2),
    }
    assert groups['query_occlusion'].appearances.tolist() == [4]
    assert rows_of(groups['appearances'], Part.MISSED) == {(2, 4): (1, 5 / 8, 1 / 2)}


def test_what_is_lost_at_no_appearance_has_its_own_group(case):
    annotations, predictions = case
    # the first search lists its person's image twice, the second has nobody to find, left out
    annotations.galleries[2] = SearchGalleries([0, 2, 3], [1, 1, 0], [0, 1], [SMALL, SMALL])
    loss = diagnose_search(annotations, predictions, gallery_size=2)
    groups = break_down(annotations, loss)
    assert rows_of(groups['gallery_height'], Part.REPEATED) == {
        (0, 50): (1 / 2, 1 / 4, 0),
        (None, None): (1 / 2, 1 / 2, 1 / 2),
    }
    assert rows_of(groups['camera_pair'], Part.REPEATED) == {
        (1, 2): (1 / 2, 1 / 4, 0),
        (1, None): (1 / 2, 1 / 2, 1 / 2),
    }
    assert groups['camera_pair'].appearances.tolist() == [1, 0]
    assert groups['camera_pair'].searches.tolist() == [1, 1]
    assert rows_of(groups['appearances'], Part.REPEATED) == {(2, 4): (1, 3 / 4, 1 / 2)}


def test_no_camera_pairs_without_cameras(case):
    annotations, predictions = case
    annotations.cameras[:] = -1
    assert 'camera_pair' not in break_down(annotations, diagnose_search(annotations, predictions))


def test_covered_share(case):
    annotations, _ = case
    images, boxes = np.array([2, 2, 1, 2]), np.array([LARGE, SMALL, LARGE, FRONT], np.float32)
    # the person's own box does not count, the one with another id does
    share = covered_share(annotations, images, boxes, np.array([5, 5, 5, -1]))
    np.testing.assert_allclose(share, [0.8, 0.5, 0, 0.8])
    assert covered_share(annotations, images[:0], boxes[:0], images[:0]).tolist() == []


def test_report(case):
    annotations, predictions = case
    loss = diagnose_search(annotations, predictions)
    report = json.loads(
        json.dumps(diagnosis_report(annotations, loss, break_down(annotations, loss)))
    )
    assert report['mAP'] == pytest.approx(3 / 8)
    assert sum(report['parts'].values()) == pytest.approx(5 / 8)
    assert report['appearances'] == dict(wanted=4, found=2, missed=2, cut=0, localised=0)
    assert report['searches']['image'] == ['0.jpg', '3.jpg']
    assert report['searches']['missed'] == [0.5, 0.5]
    assert {len(column) for column in report['searches'].values()} == {2}
    first = report['breakdowns']['camera_pair'][0]
    assert (first['query_camera'], first['gallery_camera'], first['appearances']) == (1, 2, 2)
    assert first['reached'] == pytest.approx(3 / 4)
    assert first['parts']['background'] == pytest.approx(1 / 8)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 9),
    gallery=st.sampled_from([0, 6]),
    cross_camera=st.booleans(),
)
def test_every_breakdown_adds_up(seed, images, gallery, cross_camera):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=images, gallery=gallery)
    predictions = random_predictions(rng, annotations, ties=True)
    if not positives_oracle(annotations, cross_camera=cross_camera, gallery_size=gallery).any():
        return  # which is an error, tested beside the diagnosis
    loss = diagnose_search(
        annotations, predictions, cross_camera=cross_camera, gallery_size=gallery
    )
    for breakdown in break_down(annotations, loss).values():
        assert breakdown.worth.sum() == pytest.approx(1, abs=1e-12)
        np.testing.assert_allclose(breakdown.parts.sum(0), loss.mean_parts, atol=1e-12)
        assert breakdown.appearances.sum() == len(loss.appearances.images)
        assert (breakdown.searches <= len(loss.queries)).all()
        assert ((breakdown.reached >= 0) & (breakdown.reached <= 1)).all()
        assert (breakdown.parts.sum(1) <= breakdown.worth + 1e-12).all()
        rows = [len(breakdown.groups), len(breakdown.searches), len(breakdown.parts)]
        assert len(set(rows)) == 1
