import argparse
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.coloured_people import ColourNetwork, coloured_scene

from mmps.apis import PersonSearcher
from mmps.benchmark import cutouts
from mmps.evaluation.functional import SearchAnnotations, SearchPredictions
from mmps.visualization import write_image
from mmps.visualization.draw import inside

RED, BLUE = (20, 20, 220), (210, 40, 20)
BOX, OTHER = (10, 20, 34, 80), (120, 30, 140, 86)


@pytest.fixture
def test_set(tmp_path, monkeypatch):
    """Two scenes with the same two people each; the first of each person is a query."""
    names = ('a.png', 'b.png')
    for name in names:
        write_image(tmp_path / name, coloured_scene([(RED, BOX), (BLUE, OTHER)]))
    bboxes = np.array([BOX, OTHER] * 2, np.float32)
    annotations = SearchAnnotations(
        names, [1, 2], [0, 2, 4], bboxes, [0, 1, 0, 1], [0, 0], bboxes[:2], [0, 1]
    )
    network = ColourNetwork()
    (people, _) = network([coloured_scene([(RED, BOX), (BLUE, OTHER)])] * 2)
    rows = np.concatenate([people.embeddings] * 2)
    wrong = people.embeddings[::-1]  # as if predicted so: what is measured first
    predictions = SearchPredictions(names, [0, 2, 4], bboxes, np.ones(4), rows, wrong)
    searcher = PersonSearcher.of_network(network)
    protocols = SimpleNamespace(score_thr=0.5, cross_camera=False, gallery_sizes=(100,))
    for name, value in dict(
        load_config=None,
        test_annotations=annotations,
        test_image_root=tmp_path,
        search_protocols=protocols,
        load_predictions=predictions,
        PersonSearcher=searcher,
    ).items():
        monkeypatch.setattr(cutouts, name, lambda *given, value=value: value)


def test_queries_are_searched_for_each_way(test_set):
    arguments = argparse.Namespace(config='', checkpoint='', predictions='', cfg_options={})
    measured = cutouts.run(arguments)
    top1 = {one.stage: one.value for one in measured if one.name == 'top1'}
    assert top1.pop('in its scene') == 0 and set(top1.values()) == {1.0} and len(top1) == 4


def test_a_cut_is_of_whole_pixels_in_the_scene():
    scene = np.arange(48).reshape(4, 4, 3)
    np.testing.assert_array_equal(inside(scene, [-3, 0.6, 2.2, 9]), scene[1:, :2])


def test_a_picture_from_near_by():
    scene = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    picture, box = cutouts.near_by(scene, np.array([90.0, 50, 110, 130]))
    assert picture.shape == (500, 375 + 5, 3)  # 100 x 75 pixels, whose edges are between two
    np.testing.assert_array_equal(box[[1, 3]], [50, 450])
    np.testing.assert_array_equal(picture[50:450:5, int(box[0])], scene[50:130, 90])
