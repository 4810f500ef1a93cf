import numpy as np
import pytest
from helpers.one_query import BOX, HERE, one_query

from mmps.evaluation.functional import SearchAnnotations, SearchPredictions, rank_queries
from mmps.evaluation.functional.top_matches import top_matches

FAR = [60.0, 10.0, 90.0, 90.0]


def make_case(detections):
    """The person in images 0 (the query), 1 and 2; nobody known in 3. Detections: image, box,
    similarity to the query."""
    found = [[rest for image, *rest in detections if image == number] for number in range(4)]
    return one_query([HERE, HERE, HERE, []], found, cameras=[1, 1, 2, 3])


def test_hand_computed_ranking():
    case = make_case(
        [
            (0, BOX, 1.0),  # the query's own image is not searched
            (1, BOX, 0.7),  # right
            (1, FAR, 0.9),  # right person's image, wrong place
            (2, BOX, 0.5),  # the person again, but less similar than the next
            (2, BOX, 0.6),  # right
            (3, FAR, 0.8),  # nobody known
        ]
    )
    (matches,) = top_matches(*case, [0])
    shown = [(match.image, round(match.similarity, 6), match.correct) for match in matches]
    assert shown == [
        (1, 0.9, False),
        (3, 0.8, False),
        (1, 0.7, True),
        (2, 0.6, True),
        (2, 0.5, False),
    ]
    np.testing.assert_array_equal(matches[0].bbox, FAR)
    assert [match.image for match in top_matches(*case, [0], top_k=2)[0]] == [1, 3]


def test_wrong_stands_before_right_where_both_are_as_similar():
    (matches,) = top_matches(*make_case([(1, BOX, 0.5), (3, FAR, 0.5)]), [0])
    assert [match.correct for match in matches] == [False, True]


def test_cross_camera_leaves_out_the_query_camera():
    case = make_case([(1, BOX, 0.9), (2, BOX, 0.5)])
    (matches,) = top_matches(*case, [0], cross_camera=True)
    assert [match.image for match in matches] == [2]


def test_confidence_weighting_demotes_doubtful_detections():
    annotations, predictions = make_case([(1, BOX, 0.9), (2, BOX, 0.8)])
    predictions.scores[0] = 0.6
    (matches,) = top_matches(annotations, predictions, [0], confidence_weighting=True)
    shown = [(match.image, round(match.similarity, 6)) for match in matches]
    assert shown == [(2, 0.8), (1, 0.54)]


def test_unconfident_detections_are_dropped():
    annotations, predictions = make_case([(1, BOX, 0.9), (2, BOX, 0.5)])
    predictions.scores[0] = 0.3
    (matches,) = top_matches(annotations, predictions, [0])
    assert [match.image for match in matches] == [2]
    assert len(top_matches(annotations, predictions, [0], score_thr=0.1)[0]) == 2


def test_query_that_does_not_exist():
    with pytest.raises(ValueError, match='queries: row 1 is 3, but there are 1 queries'):
        top_matches(*make_case([(1, BOX, 0.9)]), [0, 3])


@pytest.mark.parametrize('cross_camera', [False, True])
@pytest.mark.parametrize('seed', range(5))
def test_agrees_with_the_metric(seed, cross_camera):
    """First right rank and number of images found are those of the metric, on random cases."""
    rng = np.random.default_rng(seed)
    images, people = 12, 40
    image = np.sort(rng.integers(0, images, people))
    corner = rng.uniform(0, 200, (people, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (people, 2))], 1)
    ids = rng.integers(-1, 6, people)
    queries = np.flatnonzero(ids >= 0)[:8]
    names = [f'i{i}' for i in range(images)]
    splits = np.searchsorted(image, range(images + 1))
    annotations = SearchAnnotations(
        names,
        rng.integers(1, 4, images),
        splits,
        boxes,
        ids,
        image[queries],
        boxes[queries],
        ids[queries],
    )

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    predictions = SearchPredictions(
        names,
        splits,
        boxes + rng.normal(0, 2, boxes.shape),
        rng.uniform(0.3, 1, people),
        unit(rng.normal(size=(people, 4))),
        unit(rng.normal(size=(len(queries), 4))),
    )
    (metric,) = rank_queries(annotations, predictions, cross_camera=cross_camera)
    rankings = top_matches(
        annotations, predictions, range(len(queries)), top_k=people, cross_camera=cross_camera
    )
    for query, matches in enumerate(rankings):
        right = [rank for rank, match in enumerate(matches, 1) if match.correct]
        assert len(right) == metric.found[query]
        assert min(right, default=0) == metric.first_rank[query]
