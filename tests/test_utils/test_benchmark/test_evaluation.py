import argparse

import numpy as np

from mmps.evaluation.functional import evaluate_detection, evaluate_search
from mmps.utils.benchmark import evaluation
from mmps.utils.benchmark.evaluation import Size

SMALL = Size(images=40, boxes=120, labelled=90, people=6, queries=15, detections=200, dim=64)


def test_the_random_test_set_has_the_size_asked_for():
    annotations, predictions = evaluation.random_test_set(SMALL, np.random.default_rng(0))
    assert annotations.num_images == 40
    assert annotations.num_queries == 15
    assert len(annotations.bboxes) == 120
    assert (annotations.person_ids >= 0).sum() == 90
    assert predictions.embeddings.shape == (200, 64)


def test_its_predictions_are_neither_perfect_nor_empty():
    case = evaluation.random_test_set(SMALL, np.random.default_rng(0))
    assert 0.1 < evaluate_search(*case)['mAP'] < 0.95
    assert evaluate_detection(*case)['recall'] > 0.9


def test_fewer_detections_than_people():
    few = Size(**{**vars(SMALL), 'detections': 50})
    _, predictions = evaluation.random_test_set(few, np.random.default_rng(0))
    assert len(predictions.bboxes) == 50


def test_the_subcommand_measures_evaluation_and_floor():
    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    sizes = [f'--{name}={value}' for name, value in vars(SMALL).items()]
    measurements = evaluation.run(parser.parse_args([*sizes, '--repeats=1']))
    assert [m.name for m in measurements] == [
        'matrix product',
        'search',
        'search, cross-camera',
        'search, context matching',
        'detection',
        'peak memory of the process',
    ]
    assert all(m.value > 0 for m in measurements)
