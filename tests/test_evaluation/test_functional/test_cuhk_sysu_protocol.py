"""CUHK-SYSU's protocol from its files to the metrics, against a literal copy of the reference."""

import numpy as np
import pytest
from helpers.cuhk_sysu_files import write_tiny_cuhk_sysu
from helpers.cuhk_sysu_oracle import cuhk_sysu_oracle
from helpers.search_cases import random_predictions

from mmps.evaluation.functional import SearchProtocols
from mmps.formats import load_scenes
from mmps.formats.cuhk_sysu import SUBSETS, CUHKSYSUFiles, Entry, Search, write_cuhk_sysu
from mmps.formats.scene_index import to_search_annotations

SIZES = (6, 2, 4, 8, 10, 15)
SUBSET_QUERIES = {'occlusion': [0, -1], 'resolution': [11]}
PROTOCOLS = {
    **{size: (f'train_test/TestG{size}.mat', f'TestG{size}') for size in SIZES},
    **{name: (f'subset/{file}.mat', key) for name, (file, key) in SUBSETS.items()},
}


def annotations_of(root, **options):
    return to_search_annotations(load_scenes(CUHKSYSUFiles(root, True, **options))[0])


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('protocol')
    return write_tiny_cuhk_sysu(folder, test_images=16, num_ids=12, gallery_sizes=SIZES, traps=True)


@pytest.mark.parametrize('seed', range(8))
def test_every_protocol_equals_the_reference(root, seed):
    annotations = annotations_of(root, gallery_sizes=SIZES, subsets=tuple(SUBSETS))
    predictions = random_predictions(np.random.default_rng(seed), annotations)
    evaluate = SearchProtocols(gallery_sizes=(*SIZES, *SUBSETS))
    metrics = evaluate(annotations, predictions)
    for protocol, (file, key) in PROTOCOLS.items():
        queries = predictions.query_embeddings[SUBSET_QUERIES.get(protocol, slice(12))]
        path = root / 'annotation/test' / file
        wanted = cuhk_sysu_oracle(path, key, predictions, queries)
        suffix = f'_G{protocol}' if isinstance(protocol, int) else f'_{protocol}'
        suffix = '' if protocol == SIZES[0] else suffix
        found = {name: metrics[f'search/{name}{suffix}'] for name in wanted}
        assert found == pytest.approx(wanted, abs=1e-9)


def test_the_random_cases_reach_what_they_are_for(root):
    annotations = annotations_of(root, gallery_sizes=SIZES)
    width, height = (annotations.bboxes[:, 2:] - annotations.bboxes[:, :2]).T
    assert (width * height / ((width + 10) * (height + 10)) < 0.5).any()
    results = [
        SearchProtocols(gallery_sizes=(size,))(
            annotations, random_predictions(np.random.default_rng(0), annotations)
        )['search/mAP']
        for size in SIZES
    ]
    assert 0.05 < min(results) < max(results) < 0.9
    assert len(set(results)) == len(SIZES)


PERSON = (10, 10, 12, 20)
"""Below the usual IoU threshold: 12 * 20 / (22 * 30) = 0.364."""


def search_by_hand(tmp_path, gallery, detections):
    """Metrics of one query in ``s1.jpg``; ``detections``: by image, xywh box and similarity."""
    names = ['s1.jpg', 's2.jpg', 's3.jpg']
    write_cuhk_sysu(tmp_path, people={name: [PERSON, (50, 10, 12, 20)] for name in names})
    write_cuhk_sysu(tmp_path, pool=names)
    write_cuhk_sysu(tmp_path, protocols={100: [Search('p1', Entry('s1.jpg', PERSON), gallery)]})
    annotations = annotations_of(tmp_path)
    rows = [(image, *row) for image, name in enumerate(names) for row in detections.get(name, [])]
    boxes = np.array([row[1] for row in rows], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    angles = np.arccos([row[2] for row in rows])
    predictions = random_predictions(np.random.default_rng(0), annotations)
    predictions = type(predictions)(
        image_names=tuple(names),
        image_splits=np.searchsorted([row[0] for row in rows], range(4)),
        bboxes=boxes,
        scores=np.ones(len(rows)),
        embeddings=np.stack([np.cos(angles), np.sin(angles)], 1),
        query_embeddings=[[1.0, 0.0]],
    )
    metrics = SearchProtocols()(annotations, predictions)
    path = tmp_path / 'annotation/test/train_test/TestG100.mat'
    wanted = cuhk_sysu_oracle(path, 'TestG100', predictions, predictions.query_embeddings)
    assert metrics['search/mAP'] == pytest.approx(wanted['mAP'], abs=1e-9)
    assert metrics['search/top1'] == wanted['top1']
    return metrics['search/mAP']


FOUND = [(PERSON, 0.9)]


def test_an_image_without_detections_costs_recall(tmp_path):
    gallery = [Entry('s2.jpg', PERSON), Entry('s3.jpg', PERSON)]
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': FOUND, 's3.jpg': FOUND}) == 1
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': FOUND}) == 0.5


def test_a_repeated_image_is_searched_once_and_counted_twice(tmp_path):
    gallery = [Entry('s2.jpg', PERSON), Entry('s2.jpg', (50, 10, 12, 20))]
    both = [(PERSON, 0.8), ((50, 10, 12, 20), 0.9)]
    # the second entry's box is never looked for, and its detection ranks first
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': both}) == 0.5 * 0.5


def test_a_repeated_image_whose_first_entry_is_empty(tmp_path):
    gallery = [Entry('s2.jpg'), Entry('s2.jpg', PERSON), Entry('s3.jpg', PERSON)]
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': FOUND, 's3.jpg': [(PERSON, 0.95)]}) == 0.5


def test_the_querys_own_image_is_not_removed(tmp_path):
    gallery = [Entry('s1.jpg', PERSON), Entry('s2.jpg', PERSON)]
    assert search_by_hand(tmp_path, gallery, {'s1.jpg': FOUND, 's2.jpg': FOUND}) == 1
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': FOUND}) == 0.5


def test_small_boxes_have_a_lower_threshold(tmp_path):
    gallery = [Entry('s2.jpg', PERSON)]
    # shifted by x: IoU (12 - x) / (12 + x), which is 0.411 for 5 and 0.333 for 6
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': [((15, 10, 12, 20), 0.9)]}) == 1
    assert search_by_hand(tmp_path, gallery, {'s2.jpg': [((16, 10, 12, 20), 0.9)]}) == 0
