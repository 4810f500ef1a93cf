from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmps.visualization import draw, draw_packed, draw_people
from mmps.visualization.draw import identity_colour, place_labels


def blank(height=60, width=200):
    return np.full((height, width, 3), draw.PAPER, np.uint8)


def inked(image):
    """Bounding rows and columns of what is not paper."""
    rows, columns = np.nonzero((image != draw.PAPER).any(2))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_a_format_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'found\.xyz: no image can be written in this format'):
        draw.write_image(tmp_path / 'found.xyz', np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_text_stands_on_its_baseline_and_has_its_width():
    image = blank()
    draw.draw_text(image, 'HEH', 20, 40, size=20)
    top, bottom, left, right = inked(image)
    assert bottom in (39, 40)
    assert 12 <= bottom - top <= 16
    assert 20 <= left <= 23
    assert right <= 20 + draw.text_width('HEH', 20)
    assert right >= 20 + draw.text_width('HEH', 20) - 4


def test_text_has_the_colour_and_bold_has_more_ink():
    plain, bold = blank(), blank()
    draw.draw_text(plain, 'HHH', 5, 40, size=30, colour=(255, 0, 0))
    draw.draw_text(bold, 'HHH', 5, 40, size=30, colour=(255, 0, 0), bold=True)
    assert (plain[..., 0] == 255).all()  # blue on white: blue stays, the others go
    assert plain[..., 1].min() == 0
    assert bold[..., 1].sum() < plain[..., 1].sum()


@pytest.mark.parametrize(('left', 'baseline'), [(-10, 40), (190, 40), (20, 3), (20, 70), (500, 9)])
def test_text_is_cut_off_at_the_edges(left, baseline):
    whole, part = np.full((400, 900, 3), 255, np.uint8), blank()
    draw.draw_text(whole, 'Hagel', 300 + left, 100 + baseline, size=22)
    draw.draw_text(part, 'Hagel', left, baseline, size=22)
    np.testing.assert_array_equal(part, whole[100:160, 300:500])


def test_an_outline_stands_inside_the_box_on_all_four_sides():
    image = blank(20, 30)
    draw.outline(image, [4.4, 3, 14.4, 13], draw.WRONG, thickness=2)
    want = np.zeros((20, 30), bool)
    want[3:13, 4:14] = True
    want[5:11, 6:12] = False
    np.testing.assert_array_equal((image == draw.WRONG).all(2), want)
    np.testing.assert_array_equal((image == draw.PAPER).all(2), ~want)


def test_shorten_keeps_both_ends():
    text = 'c1s1_000151_and_much_more_that_does_not_fit'
    short = draw.shorten(text, 80, 11)
    assert draw.text_width(short, 11) <= 80
    assert short.startswith('c1s') and short.endswith('fit') and '..' in short
    assert draw.shorten('short', 80, 11) == 'short'


@pytest.mark.parametrize('thickness', [1, 2, 3])
def test_outline_lies_on_the_box(thickness):
    image = blank()
    draw.outline(image, np.array([20.2, 10.4, 60.1, 49.8]), draw.RIGHT, thickness)
    assert inked(image) == (10, 49, 20, 59)
    assert (image[10, 20:60] == draw.RIGHT).all()
    assert (image[10 + thickness : 50 - thickness, 20 + thickness : 60 - thickness] == 255).all()


def test_tag_is_moved_into_the_image():
    image = blank()
    draw.draw_tag(image, '1234', 190, 20, draw.WRONG)
    top, bottom, left, right = inked(image)
    assert (top, right) == (20, 199)
    assert right - left + 1 == draw.text_width('1234', 12) + 9
    assert bottom == 38


def test_image_survives_writing(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (7, 5, 3), np.uint8)
    path = tmp_path / 'new_folder' / 'a.png'
    draw.write_image(path, image)
    np.testing.assert_array_equal(draw.read_image(path), image)
    assert [file.name for file in path.parent.iterdir()] == ['a.png']


def test_unreadable_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.jpg does not exist'):
        draw.read_image(tmp_path / 'none.jpg')
    (tmp_path / 'bad.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='bad.jpg cannot be read as an image'):
        draw.read_image(tmp_path / 'bad.jpg')


def test_identity_colours_are_stable_and_carry_white_text():
    assert draw.identity_colour(3) == draw.identity_colour(3)
    assert draw.identity_colour(-1) == draw.MUTED
    assert len({draw.identity_colour(i) for i in range(8)}) == 8
    for person in range(-1, 20):
        blue, green, red = (c / 255 for c in draw.identity_colour(person))
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
        ]
        luminance = np.dot([0.2126, 0.7152, 0.0722], linear)
        assert 1.05 / (luminance + 0.05) >= 4.5, person  # WCAG AA


def places(bboxes, size=(20, 10), frame=(200, 100)):
    return place_labels(np.array(bboxes, float), [size] * len(bboxes), frame)


def test_above_the_box_where_there_is_room():
    (label,) = places([[50, 30, 80, 90]])
    assert (label.place, label.left, label.top) == ('above-left', 50, 20)


@pytest.mark.parametrize(
    ('box', 'expected'),
    [
        ([50, 5, 80, 60], 'below-left'),  # half of it would be outside of the image
        ([190, 30, 200, 90], 'above-right'),
        ([50, 0, 80, 100], 'beside-left'),
        ([0, 0, 30, 100], 'beside-right'),
        ([0, 0, 200, 100], 'inside-top'),
    ],
)
def test_at_an_edge(box, expected):
    assert places([box])[0].place == expected


def test_of_neighbours_no_label_hides_another_one():
    # the first would hide the second's head, and the second's label the first one's
    first, second = places([[50, 30, 60, 90], [62, 25, 72, 85]])
    assert (first.place, first.left) == ('above-right', 40)
    assert second.place == 'above-left'


def test_far_labels_are_for_those_who_have_no_room_beside_them():
    chosen = [label.place for label in places([[90, 40, 100, 60]] * 7)]
    assert chosen[:5] == [
        'above-left',
        'below-left',
        'beside-left',
        'beside-right',
        'inside-bottom',
    ]
    assert chosen[5:] == ['higher-left', 'lower-left']


def test_a_crowd():
    rng = np.random.default_rng(0)
    left, top, width = rng.uniform([0, 0, 20], [900, 400, 60], (25, 3)).T
    bboxes = np.stack([left, top, left + width, top + 3 * width], 1)
    labels = place_labels(bboxes, [(24, 18)] * 25, (1000, 600))
    for one, other in combinations(labels, 2):
        assert abs(one.left - other.left) >= 24 or abs(one.top - other.top) >= 18
    assert all(0 <= label.left <= 976 and 0 <= label.top <= 582 for label in labels)


def test_nobody():
    assert places(np.zeros((0, 4))) == []


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
