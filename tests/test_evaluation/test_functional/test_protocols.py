"""Every option of the protocols: its keys, and its numbers against the brute-force oracle."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.search_cases import random_annotations, random_galleries, random_predictions
from helpers.search_oracle import positives_oracle, search_oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.evaluation.functional import (
    ContextMatching,
    SearchAnnotations,
    SearchGalleries,
    SearchPredictions,
    SearchProtocols,
    align_predictions,
    evaluate_coco,
    evaluate_detection,
    evaluate_search,
    similarities,
    summarise_splits,
)
from mmps.evaluation.functional.protocols import queries_from_detections

TOPS = ('mAP', 'top1', 'top5', 'top10')
SEEDS = dict(seed=st.integers(0, 2**32 - 1))


def random_case(seed, sizes=(), **options):
    rng = np.random.default_rng(seed)
    annotations = random_annotations(rng, images=9, queries=8)
    galleries = {size: random_galleries(rng, annotations, 6) for size in sizes}
    annotations = replace(annotations, galleries=galleries)
    return annotations, random_predictions(rng, annotations, **options)


def numbers(metrics, suffix=''):
    return [metrics[f'search/{top}{suffix}'] for top in TOPS]


def means(aps, ranks, positives=None):
    """What the oracle's searches come to, those alone that have somebody to find."""
    kept = np.array(positives if positives is not None else np.ones(len(aps))) > 0
    aps, ranks = np.array(aps)[kept], np.array(ranks)[kept]
    tops = [((ranks > 0) & (ranks <= k)).mean() for k in (1, 5, 10)]
    return pytest.approx([np.mean(aps), *tops], abs=1e-9)


def check(metrics, suffix, oracle, positives):
    """The means are over searches with somebody to find, whose queries are counted if some miss."""
    found = int((positives > 0).sum())
    assert metrics.get(f'search/queries{suffix}', len(positives)) == found
    if found:
        assert numbers(metrics, suffix) == means(*oracle, positives)
    else:
        assert not [key for top in TOPS for key in metrics if key == f'search/{top}{suffix}']


def test_defaults_give_the_fields_keys_and_no_more():
    case = random_case(4)
    assert positives_oracle(case[0]).all()
    metrics = SearchProtocols()(*case)
    kinds = ('', '_iou75')
    assert set(metrics) == {
        *(f'search/{top}{kind}' for top in TOPS for kind in kinds),
        *(f'det/{key}{kind}' for key in ('AP', 'recall') for kind in kinds),
    }


@settings(deadline=None, max_examples=15)
@given(**SEEDS)
def test_everything_at_once_equals_one_at_a_time(seed):
    """Galleries, cameras and IoU rules that share the similarities do not disturb each other."""
    sizes = (3, 6, 'occlusion')
    case = random_case(seed, sizes, ties=True, with_gt=True)
    metrics = SearchProtocols(cross_camera=True, camera_pairs=True, gallery_sizes=(*sizes, 'all'))(
        *case
    )
    for suffix, size in (('', 3), ('_G6', 6), ('_occlusion', 'occlusion'), ('_all', 'all')):
        wanted = positives_oracle(case[0], gallery_size=size)
        check(metrics, suffix, search_oracle(*case, gallery_size=size), wanted)
    for suffix, option in (('_iou75', dict(iou_thr=0.75)), ('_cross_camera', dict(cross_camera=1))):
        cameras = {key: True for key in option if key == 'cross_camera'}
        wanted = positives_oracle(case[0], gallery_size=3, **cameras)
        check(metrics, suffix, search_oracle(*case, gallery_size=3, **option), wanted)


def test_similarities_are_computed_once(monkeypatch):
    made = []
    original = similarities.Similarities.rows
    monkeypatch.setattr(
        similarities.Similarities,
        'rows',
        lambda self, queries, columns: (
            made.append(len(queries)) or original(self, queries, columns)
        ),
    )
    protocols = SearchProtocols(cross_camera=True, camera_pairs=True, gallery_sizes=(3, 6, 'all'))
    protocols(*random_case(0, (3, 6)))
    assert made == [8]


@settings(deadline=None, max_examples=25)
@given(**SEEDS, listed=st.booleans())
def test_camera_pairs(seed, listed):
    annotations, predictions = case = random_case(seed, (3,) if listed else ())
    metrics = SearchProtocols(camera_pairs=True, gallery_sizes=(3,))(*case)
    camera_of_query = annotations.cameras[annotations.query_images]
    pairs = set()
    for gallery_camera in np.unique(annotations.cameras):
        aps, ranks = search_oracle(*case, gallery_size=3, camera=gallery_camera)
        for query_camera in np.unique(camera_of_query):
            # somebody to find there: with a perfect embedding the AP is not zero
            wanted = [
                query
                for query in np.flatnonzero(camera_of_query == query_camera)
                if positives_in(annotations, query, gallery_camera)
            ]
            if not wanted:
                continue
            suffix = f'_c{query_camera}_c{gallery_camera}'
            pairs.add(suffix)
            assert numbers(metrics, suffix) == means(*np.array([aps, ranks])[:, wanted])
            if len(wanted) < annotations.num_queries:
                assert metrics[f'search/queries{suffix}'] == len(wanted)
    assert pairs == {key[len('search/mAP') :] for key in metrics if key.startswith('search/mAP_c')}


def positives_in(annotations, query, camera):
    """Whether a query's person is to be found in a camera."""
    if annotations.galleries:
        listed = annotations.galleries[3]
        inside = (listed.positives >= listed.splits[query]) & (
            listed.positives < listed.splits[query + 1]
        )
        return (annotations.cameras[listed.images[listed.positives[inside]]] == camera).any()
    image = np.repeat(np.arange(annotations.num_images), np.diff(annotations.box_splits))
    same = annotations.person_ids == annotations.query_person_ids[query]
    same &= image != annotations.query_images[query]
    return (annotations.cameras[image[same]] == camera).any()


def test_camera_pairs_need_cameras():
    annotations, predictions = random_case(0)
    unknown = replace(annotations, cameras=np.full(annotations.num_images, -1))
    with pytest.raises(ValueError, match='camera_pairs: the camera of .* is unknown'):
        SearchProtocols(camera_pairs=True)(unknown, predictions)


@settings(deadline=None, max_examples=25)
@given(**SEEDS, score_thr=st.sampled_from([0.0, 0.5, 0.9]))
def test_queries_described_by_detections(seed, score_thr):
    case = random_case(seed, with_gt=True)
    options = dict(score_thr=score_thr, query_source='detection')
    zero = SearchProtocols(**options)(*case)
    aps, ranks = search_oracle(*case, score_thr=score_thr, detected_queries=True)
    wanted = positives_oracle(case[0])
    check(zero, '', (aps, ranks), wanted)
    if not wanted.any():
        return
    assert numbers(zero, '_gt_boxes') == numbers(SearchProtocols()(*case), '_gt_boxes')
    detected = np.array([query_is_detected(*case, q, score_thr) for q in range(8)])
    skip = SearchProtocols(**options, undetected_queries='skip')(*case)
    check(skip, '', (aps, ranks), np.where(detected, wanted, 0))


def query_is_detected(annotations, predictions, query, score_thr):
    image = annotations.query_images[query]
    rows = slice(*predictions.image_splits[image : image + 2])
    x1, y1, x2, y2 = annotations.query_bboxes[query]
    boxes, scores = predictions.bboxes[rows], predictions.scores[rows]
    overlaps = (boxes[:, 0] < x2) & (boxes[:, 2] > x1) & (boxes[:, 1] < y2) & (boxes[:, 3] > y1)
    return (overlaps & (scores >= score_thr)).any()


def test_context_matching_of_detected_queries_equals_the_oracle():
    case = random_case(5)
    context = ContextMatching(k1=9, k2=3)
    metrics = SearchProtocols(query_source='detection', context_matching=context)(*case)
    want = search_oracle(*case, detected_queries=True, context_matching=context)
    assert numbers(metrics) == means(*want, positives_oracle(case[0]))


def test_detection_keys():
    case = random_case(1)
    metrics = SearchProtocols(labelled_recall=True, coco_ap=True, score_thr=0.8)(*case)
    for suffix, iou_thr in (('', 0.5), ('_iou75', 0.75)):
        options = dict(score_thr=0.8, iou_thr=iou_thr)
        everybody = evaluate_detection(*case, **options)
        labelled = evaluate_detection(*case, labelled_only=True, **options)
        assert metrics[f'det/AP{suffix}'] == everybody['AP']
        assert metrics[f'det/recall{suffix}'] == everybody['recall']
        assert metrics[f'det/recall_labelled{suffix}'] == labelled['recall']
    coco = {key: metrics[f'det/{key}'] for key in ('coco_AP', 'coco_AP50', 'coco_AP75')}
    # COCO has no score threshold
    assert coco == evaluate_coco(*case) != evaluate_coco(case[0], cut(*case, 0.8))


def cut(annotations, predictions, score_thr):
    from mmps.evaluation.functional.predictions import keep_confident

    return keep_confident(align_predictions(predictions, annotations), score_thr)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(query_source='annotation'), "query_source: 'annotation' given; use one of"),
        (dict(undetected_queries='drop'), "undetected_queries: 'drop' given; use one of"),
        (dict(gallery_sizes=()), 'gallery_sizes'),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SearchProtocols(**options)


def lonely_case(**changes):
    """Perfect predictions of four images by two cameras; query 1 is shown nowhere else.

    Person 7 is in images 0 and 2, both of camera 1; the query of person 8 is in image 1.
    """
    box = [0.0, 0.0, 20.0, 40.0]
    annotations = SearchAnnotations(
        image_names=[f'{n}.jpg' for n in range(4)],
        cameras=[1, 2, 1, 2],
        box_splits=range(5),
        bboxes=[box] * 4,
        person_ids=[7, 8, 7, 9],
        query_images=[0, 1],
        query_bboxes=[box] * 2,
        query_person_ids=[7, 8],
    )
    annotations = replace(annotations, **changes)
    looks = np.eye(4)[[0, 1, 0, 2]]
    predictions = SearchPredictions(
        annotations.image_names,
        range(5),
        [box] * 4,
        np.ones(4),
        looks,
        looks[:2],
        gt_embeddings=looks,
    )
    return annotations, predictions


@pytest.mark.parametrize('source', ['ground_truth', 'detection'])
def test_a_query_with_nobody_to_find_is_left_out_and_counted(source):
    protocols = SearchProtocols(cross_camera=True, camera_pairs=True, query_source=source)
    metrics = protocols(*lonely_case())
    for suffix in ('', '_iou75', '_gt_boxes', '_c1_c1'):
        assert numbers(metrics, suffix) == [1, 1, 1, 1]
        assert metrics[f'search/queries{suffix}'] == 1
    # both are shown by no other camera: no mean, and certainly not 0
    assert metrics['search/queries_cross_camera'] == 0
    assert not [key for key in metrics if 'cross_camera' in key and 'queries' not in key]
    assert metrics['det/AP'] == metrics['det/recall'] == 1
    assert all(value == 1 for key, value in metrics.items() if 'queries' not in key)


def test_listed_galleries_that_show_nobody():
    box = [[0, 0, 20, 40]]
    galleries = {
        2: SearchGalleries([0, 2, 4], [1, 2, 2, 3], [1], box),
        'empty': SearchGalleries([0, 1, 2], [3, 3], [], []),
    }
    case = lonely_case(galleries=galleries)
    metrics = SearchProtocols(gallery_sizes=(2, 'empty', 'all'))(*case)
    assert numbers(metrics) == numbers(metrics, '_all') == [1, 1, 1, 1]
    assert metrics['search/queries'] == metrics['search/queries_all'] == 1
    assert metrics['search/queries_empty'] == 0
    assert 'search/mAP_empty' not in metrics
    assert evaluate_search(*case, gallery_size='empty') == {}
    assert evaluate_search(*case, gallery_size=2)['mAP'] == 1


@settings(deadline=None, max_examples=30)
@given(**SEEDS)
def test_a_lonely_query_changes_no_mean(seed):
    """Taken away from the test set, it leaves every other number as it was, to the bit."""
    annotations, predictions = random_case(seed, with_gt=True)
    kept = positives_oracle(annotations) > 0
    if not kept.any():
        return
    fields = ('query_images', 'query_bboxes', 'query_person_ids')
    fewer = replace(annotations, **{name: getattr(annotations, name)[kept] for name in fields})
    rest = replace(predictions, query_embeddings=predictions.query_embeddings[kept])
    metrics = SearchProtocols()(annotations, predictions)
    counts = {key: metrics.pop(key) for key in list(metrics) if key.startswith('search/queries')}
    assert metrics == SearchProtocols()(fewer, rest)
    assert set(counts.values()) == (set() if kept.all() else {kept.sum()})


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


def test_by_hand():
    splits = {
        0: {'search/mAP': 0.2, 'det/AP': 1.0, 'search/queries': 7.0},
        1: {'search/mAP': 0.4, 'det/AP': 1.0},
        7: {'det/AP': 1.0, 'search/mAP': 0.6, 'search/mAP_gt_boxes': 0.5},
    }
    summary = summarise_splits(splits)
    assert summary.mean == pytest.approx({'search/mAP': 0.4, 'det/AP': 1.0})
    # squares of -0.2, 0 and 0.2, divided by two
    assert summary.deviation == pytest.approx({'search/mAP': 0.2, 'det/AP': 0.0})
    assert list(summary.mean) == ['search/mAP', 'det/AP']


def test_one_split_has_no_deviation():
    with pytest.raises(ValueError, match='1 split given; .* two at least'):
        summarise_splits({3: {'det/AP': 0.5}})
