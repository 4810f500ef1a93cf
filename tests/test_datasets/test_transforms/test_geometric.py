import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes

from mmps.datasets.transforms import RandomCropPad, RandomPerspective, RandomSceneAffine
from mmps.datasets.transforms.geometric import clip_boxes, move_boxes, project_boxes, warp_scene

SHIFT = np.array([[1, 0, 10], [0, 1, -4], [0, 0, 1.0]])


def scene(boxes, ids=None, size=(80, 60)):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    ids = np.arange(len(boxes)) if ids is None else np.array(ids)
    return dict(
        img=np.zeros((size[1], size[0], 3), np.uint8),
        img_shape=(size[1], size[0]),
        gt_bboxes=HorizontalBoxes(boxes),
        gt_bboxes_labels=ids.astype(np.int64),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def paint(results, colour=255):
    for x1, y1, x2, y2 in results['gt_bboxes'].numpy().astype(int):
        results['img'][y1:y2, x1:x2] = colour
    return results


def extent(image):
    """xyxy of the pixels brighter than half, in box coordinates."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_project_by_hand():
    boxes = np.array([[0, 0, 2, 4.0], [1, 1, 3, 3]])
    assert project_boxes(boxes, SHIFT).tolist() == [[10, -4, 12, 0], [11, -3, 13, -1]]
    quarter_turn = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    assert project_boxes(boxes, quarter_turn).tolist() == [[-4, 0, 0, 2], [-3, 1, -1, 3]]
    # x' = x / (1 + x): the homogeneous coordinate has to be divided out.
    tilt = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1.0]])
    assert project_boxes(boxes[1:], tilt).tolist() == [[0.5, 0.25, 0.75, 1.5]]
    assert project_boxes(np.empty((0, 4)), tilt).shape == (0, 4)


def test_clip_by_hand():
    assert clip_boxes(np.array([[-1.0, 2, 90, 70]]), (80, 60)).tolist() == [[0, 2, 80, 60]]


def test_visible_fraction_decides_and_ids_follow():
    # After moving 10 to the right on an image of width 80: whole, 60 %, 50 %, 40 %, 0 % visible.
    boxes = [[x, 20, x + 10, 30] for x in (0, 64, 65, 66, 72)]
    results = scene(boxes, ids=[5, -1, 7, 8, 9])
    results['gt_ignore_flags'][2] = True
    move_boxes(results, SHIFT, (80, 60), min_visible=0.5)
    assert results['gt_bboxes'].numpy().tolist() == [
        [10, 16, 20, 26],
        [74, 16, 80, 26],
        [75, 16, 80, 26],
    ]
    assert results['gt_bboxes_labels'].tolist() == [5, -1, 7]
    assert results['gt_ignore_flags'].tolist() == [False, False, True]


def test_a_box_wholly_outside_is_dropped_whatever_the_threshold():
    results = scene([[75, 20, 79, 30], [0, 20, 5, 30]])
    move_boxes(results, SHIFT, (80, 60), min_visible=0)
    assert results['gt_bboxes_labels'].tolist() == [1]


def test_nothing_to_move():
    results = scene([])
    move_boxes(results, SHIFT, (80, 60), 0.3)
    assert results['gt_bboxes'].numpy().shape == (0, 4)
    bare = dict(img=np.zeros((60, 80, 3), np.uint8))
    for transform in (RandomSceneAffine(), RandomPerspective(), RandomCropPad()):
        assert set(transform(dict(bare))) <= {'img', 'img_shape'}


@pytest.mark.parametrize(
    'matrix',
    [
        [[2, 0, 0], [0, 2, 0], [0, 0, 1]],
        [[0.5, 0, 20], [0, 0.5, 10], [0, 0, 1]],
        [[2, 0, 0], [0, 2, 0], [1e-9, 0, 1]],
        [[1, 0, 7], [0, 1, 3], [1e-3, 2e-3, 1]],
    ],
)
def test_pixels_and_boxes_agree_to_the_pixel(matrix):
    # Box coordinates start at the corner of a pixel, cv2's in its middle; mixing them up would show
    # as half a pixel here.
    results = paint(scene([[8, 10, 28, 24]]))
    warp_scene(results, np.array(matrix, float), 0.3, (0, 0, 0))
    box = results['gt_bboxes'].numpy()[0]
    assert np.abs(np.array(extent(results['img'])) - box).max() <= (0 if matrix[2][1] == 0 else 1)


def test_border_is_filled():
    results = scene([])
    warp_scene(results, SHIFT, 0.3, (1, 2, 3))
    assert results['img'][:, :10].reshape(-1, 3).tolist() == [[1, 2, 3]] * 600
    assert results['img'][:, 11].max() == 3  # the rows shifted out at the top come in at the bottom
    assert results['img'][:-5, 11:].max() == 0


def test_affine_without_range_is_the_identity():
    still = RandomSceneAffine(max_rotate=0, scale_range=(1, 1), max_shear=0, max_shift=0)
    results = scene([[3, 4, 20, 40]])
    results['img'] = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    wanted = results['img'].copy()
    results = still(results)
    np.testing.assert_array_equal(results['img'], wanted)
    assert results['gt_bboxes'].numpy().tolist() == [[3, 4, 20, 40]]


def test_affine_turns_about_the_middle():
    for seed in range(20):
        np.random.seed(seed)
        matrix = RandomSceneAffine(max_rotate=30, max_shift=0).draw_matrix(80, 60)
        np.testing.assert_allclose(matrix @ (40, 30, 1), (40, 30, 1))
        # scale**2, as neither rotation nor shear along x changes areas
        assert 0.8**2 <= np.linalg.det(matrix) <= 1.25**2


def test_perspective_moves_each_corner_within_its_range():
    corners = np.array([[0, 0, 1], [80, 0, 1], [80, 60, 1], [0, 60, 1.0]])
    largest = 0
    for seed in range(50):
        np.random.seed(seed)
        moved = corners @ RandomPerspective(max_shift=0.1).draw_matrix(80, 60).T
        moves = np.abs(moved[:, :2] / moved[:, 2:] - corners[:, :2]) / (80, 60)
        assert moves.max() <= 0.1 + 1e-6
        largest = max(largest, moves.max())
    assert largest > 0.09


@given(seed=st.integers(0, 10**6))
@settings(deadline=None, max_examples=50)
def test_crop_and_pad_move_pixels_and_boxes_exactly(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (60, 80, 3), np.uint8)
    results = scene([[30, 20, 50, 45]]) | dict(img=image.copy())
    np.random.seed(seed)
    results = RandomCropPad(max_ratio=0.2, pad_val=(0, 0, 0))(results)
    height, width = results['img'].shape[:2]
    assert results['img_shape'] == (height, width)
    assert 60 * 0.6 - 1 <= height <= 60 * 1.4 + 1
    assert 80 * 0.6 - 1 <= width <= 80 * 1.4 + 1
    # 20 % from any border, this box is never cut.
    x1, y1, x2, y2 = results['gt_bboxes'].numpy()[0].astype(int)
    np.testing.assert_array_equal(results['img'][y1:y2, x1:x2], image[20:45, 30:50])


def test_crop_pad_on_all_four_sides(monkeypatch):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    moves = np.array([0.25, -0.25, -0.5, 0.25])  # left out, top in, right in, bottom out
    monkeypatch.setattr(np.random, 'uniform', lambda low, high, size: moves)
    results = RandomCropPad(pad_val=(9, 9, 9))(dict(img=image))
    wanted = cv2.copyMakeBorder(image[1:, :2], 0, 1, 1, 0, cv2.BORDER_CONSTANT, value=(9, 9, 9))
    np.testing.assert_array_equal(results['img'], wanted)


@pytest.mark.parametrize(
    ('transform', 'options', 'problem'),
    [
        (RandomSceneAffine, dict(scale_range=(1.2, 0.8)), 'scale_range'),
        (RandomSceneAffine, dict(scale_range=(0, 1)), 'scale_range'),
        (RandomPerspective, dict(max_shift=0.3), 'max_shift'),
        (RandomCropPad, dict(max_ratio=0.5), 'max_ratio'),
    ],
)
def test_ranges_are_checked(transform, options, problem):
    with pytest.raises(ValueError, match=problem):
        transform(**options)
