import argparse
from dataclasses import replace

import numpy as np
import pytest

from mmps.benchmark import evaluation
from mmps.benchmark.evaluation import FACTORS, scene_index, slope
from mmps.benchmark.search_sets import SIZES, Size, random_test_set
from mmps.evaluation.functional import evaluate_detection, evaluate_search
from mmps.formats.scene_index import to_search_annotations

SMALL = Size(images=40, boxes=120, labelled=90, people=6, queries=15, detections=200, dim=64)
LISTED = Size(
    images=120,
    boxes=300,
    labelled=50,
    people=20,
    queries=18,
    galleries=(8, 100),
    detections=200,
    dim=64,
)


def make(size):
    return random_test_set(size, np.random.default_rng(0))


def test_the_random_test_set_has_the_size_asked_for():
    annotations, predictions = make(SMALL)
    assert annotations.num_images == 40
    assert annotations.num_queries == 15
    assert len(annotations.bboxes) == 120
    assert (annotations.person_ids >= 0).sum() == 90
    assert predictions.embeddings.shape == (200, 64)
    assert not annotations.galleries


def test_its_predictions_are_neither_perfect_nor_empty():
    case = make(SMALL)
    assert 0.1 < evaluate_search(*case)['mAP'] < 0.95
    assert evaluate_detection(*case)['recall'] > 0.9
    case = make(LISTED)
    assert 0.1 < evaluate_search(*case, gallery_size=8)['mAP'] < 0.95


def test_fewer_detections_than_people():
    assert len(make(replace(SMALL, detections=50))[1].bboxes) == 50


def test_galleries_are_nested_and_show_everybody_there_is_to_find():
    annotations, _ = make(replace(LISTED, galleries=(8, 30)))
    small, large = annotations.galleries[8], annotations.galleries[30]
    image = np.repeat(np.arange(120), np.diff(annotations.box_splits))
    for query, own in enumerate(annotations.query_images):
        listed = large.images[30 * query : 30 * (query + 1)]
        np.testing.assert_array_equal(listed[:8], small.images[8 * query : 8 * (query + 1)])
        assert len(set(listed)) == 30 and own not in listed
        shown = image[annotations.person_ids == annotations.query_person_ids[query]]
        inside = large.positives[large.positives // 30 == query]
        assert set(large.images[inside]) == set(shown) - {own}
    assert len(set(annotations.query_person_ids)) == 18


@pytest.mark.parametrize('name', SIZES)
def test_the_sizes_are_consistent(name):
    size = SIZES[name]
    assert size.labelled <= size.boxes
    assert not size.galleries or 2 * size.people <= size.labelled


def test_the_index_written_for_the_tool_is_the_test_set():
    annotations, _ = make(replace(LISTED, galleries=(8,)))
    again = to_search_annotations(scene_index(annotations))
    for name in ('image_names', 'cameras', 'box_splits', 'bboxes', 'person_ids', 'query_images'):
        np.testing.assert_array_equal(getattr(again, name), getattr(annotations, name))
    assert again.galleries == annotations.galleries


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.setitem(SIZES, 'prw', SMALL)
    monkeypatch.setitem(SIZES, 'cuhk_sysu', LISTED)
    parser = argparse.ArgumentParser()
    evaluation.add_arguments(parser)
    return lambda *words: evaluation.run(parser.parse_args([*words, '--repeats=1']))


def test_the_subcommand_measures_evaluation_and_floor(measure):
    measurements = measure()
    assert [m.name for m in measurements] == [
        'matrix product',
        'search',
        'search, cross-camera',
        'search, all camera rules',
        'search, context matching',
        'detection',
        'bootstrap, 10,000 resamples',
        'peak memory of the process',
    ]
    assert all(m.value > 0 for m in measurements)


def test_the_subcommand_measures_galleries_and_whole_processes(measure, monkeypatch):
    processes, time_process = [], evaluation._time_process

    def real_once(*given):
        processes.append(processes[0] if processes else time_process(*given))
        return processes[0]

    monkeypatch.setattr(evaluation, '_time_process', real_once)
    measurements = measure('--set=cuhk_sysu', '--whole-process')
    assert len(processes) == 3
    names = [m.name for m in measurements]
    assert names[2:4] == ['search, galleries of 100', 'search, 2 gallery sizes']
    assert names[-4:] == [
        'eval_search.py, 2 gallery sizes',
        'eval_search.py, 2 gallery sizes, peak memory',
        'eval_search.py, gallery of 100',
        'eval_search.py, gallery of 100, peak memory',
    ]
    assert all(m.value > 0 for m in measurements)


def test_growth_is_measured_and_drawn(measure, tmp_path):
    path = tmp_path / 'growth.png'
    measurements = measure(f'--growth={path}', '--queries=6')
    assert path.read_bytes().startswith(b'\x89PNG')
    assert len(measurements) == 2 * (len(FACTORS) ** 2 + 1)
    assert measurements[-1].name == 'matrix product alone, per million'


def test_slope_of_a_line_through_the_origin():
    assert slope([1, 2, 5], [3, 6, 15]) == pytest.approx(3)
    assert slope([1, 2], [1, 0]) == pytest.approx(0.2)
