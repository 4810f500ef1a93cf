from dataclasses import replace

import numpy as np
import pytest

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions
from mmps.evaluation.functional.query_source import queries_from_detections

BOX = [0, 0, 10, 20]


@pytest.fixture
def case():
    """Two queries in image 1, which three detections overlap, and one in image 0, which none do."""
    annotations = SearchAnnotations(
        image_names=['a', 'b'],
        cameras=[-1, -1],
        box_splits=[0, 0, 0],
        bboxes=[],
        person_ids=[],
        query_images=[1, 0, 1],
        query_bboxes=[BOX, BOX, [2, 0, 12, 20]],
        query_person_ids=[1, 2, 3],
    )
    predictions = SearchPredictions(
        image_names=['a', 'b'],
        image_splits=[0, 1, 4],
        bboxes=[[50, 0, 60, 20], [0, 0, 10, 18], [0, 2, 10, 20], [4, 0, 14, 20]],
        scores=[1, 0.5, 0.6, 0.7],
        embeddings=np.eye(5)[:4],
        query_embeddings=np.eye(5)[[4, 4, 4]],
    )
    return annotations, predictions


def test_the_best_overlapping_detection_describes_the_query(case):
    found, detected = queries_from_detections(*case)
    # rows 1 and 2 overlap the first query equally, and 2 has the higher score
    np.testing.assert_array_equal(found.query_embeddings, np.eye(5)[[2, 4, 3]])
    assert detected.tolist() == [True, False, True]


def test_equal_overlaps_and_scores_do_not_depend_on_the_order(case):
    annotations, predictions = case
    equal = replace(predictions, scores=np.ones(4))
    swapped = replace(
        equal, bboxes=equal.bboxes[[0, 2, 1, 3]], embeddings=equal.embeddings[[0, 2, 1, 3]]
    )
    one, other = (queries_from_detections(annotations, p)[0] for p in (equal, swapped))
    np.testing.assert_array_equal(one.query_embeddings, other.query_embeddings)


def test_a_given_context_begins_with_the_new_query(case):
    annotations, predictions = case
    around = replace(
        predictions,
        query_context_splits=[0, 2, 3, 4],
        query_context_embeddings=np.eye(5)[[4, 0, 4, 4]],
    )
    found, _ = queries_from_detections(annotations, around)
    np.testing.assert_array_equal(found.query_context_embeddings, np.eye(5)[[2, 0, 4, 3]])
