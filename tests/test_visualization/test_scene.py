from types import SimpleNamespace

import numpy as np
import torch

from mmps.visualization import draw_packed, draw_people
from mmps.visualization.draw import identity_colour


def test_people_are_outlined_in_their_colours():
    image = np.zeros((100, 150, 3), np.uint8)
    bboxes = np.array([[10, 30, 40, 90], [80, 0, 120, 70]], np.float32)
    drawn = draw_people(image, bboxes, [4, -1])
    assert image.sum() == 0
    assert (drawn[89, 15:35] == identity_colour(4)).all()
    assert (drawn[40:60, 80] == identity_colour(-1)).all()
    assert drawn[50:60, 50:70].sum() == 0


def test_tags_stay_inside_the_image_and_hide_nobody():
    bboxes = np.array([[5, 0, 40, 60], [5, 40, 40, 60]], np.float32)
    tags = [draw_people(np.zeros((80, 60, 3), np.uint8), box[None], [7]) for box in bboxes]
    assert (tags[0][62, 6:9] == identity_colour(7)).all()  # below a box that touches the edge
    assert (tags[1][24, 6:9] == identity_colour(7)).all()  # above any other
    assert tags[0][2:58, 8:38].sum() == tags[1][45:55, 10:30].sum() == 0


def test_no_tag_hides_another_one():
    image = np.zeros((100, 150, 3), np.uint8)
    bboxes = np.array([[60, 40, 70, 70], [62, 40, 72, 70]], np.float32)
    white = [
        (draw_people(image, bboxes[rows], [8] * len(rows), ['88'] * len(rows)) == 255).all(2).sum()
        for rows in ([0], [1], [0, 1])
    ]
    assert 0 < white[0] == white[1] and white[2] == 2 * white[0]


def packed(bboxes, **meta):
    instances = SimpleNamespace(
        bboxes=torch.tensor(bboxes, dtype=torch.float32), person_ids=torch.tensor([2])
    )
    sample = SimpleNamespace(gt_instances=instances, **meta)
    return dict(inputs=torch.zeros(3, 60, 80, dtype=torch.uint8), data_samples=sample)


def test_annotations_in_original_pixels_are_drawn_where_the_person_is():
    trained = draw_packed(packed([[20.0, 30.0, 40.0, 50.0]]), original_pixels=False)
    tested = draw_packed(
        packed([[10.0, 60.0, 20.0, 100.0]], scale_factor=(2.0, 0.5)), original_pixels=True
    )
    assert trained.shape == (60, 80, 3)
    np.testing.assert_array_equal(trained, tested)
