"""Person ids follow their boxes through every augmentation of the training pipeline."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config

from mmps.datasets.transforms import (
    PackPersonSearchInputs,
    RandomCropPad,
    RandomGaussianBlur,
    RandomGaussianNoise,
    RandomPerspective,
    RandomSceneAffine,
    move_boxes,
    project_boxes,
)
from mmps.registry import TRANSFORMS

CONFIG = Path(__file__).parents[3] / 'configs/_base_/datasets/prw.py'
SEEDS = range(30)
IDS = [-1, *range(100, 111)]


def augmentations():
    """name -> configuration of each random step of the paper's pipeline, always applied."""
    steps = {}
    for step in Config.fromfile(CONFIG).train_pipeline:
        if step['type'] == 'RandomApply':
            (step,) = step['transforms']
        if not step['type'].startswith(('Load', 'Pack')):
            steps[step['type']] = step | (dict(prob=1.0) if step['type'] == 'RandomFlip' else {})
    return steps


# A smaller image than the paper's tests the same and takes a third of the time.
STEPS = augmentations()
STEPS['Resize']['scale'] = (750, 450)
# Strong enough that boxes leave the image in most samples, or nothing would be proven.
STRONG = {
    'RandomSceneAffine': dict(max_shift=0.4, scale_range=(0.8, 1.3), max_rotate=10),
    'RandomPerspective': dict(max_shift=0.24, min_visible=0.8),
    'RandomCropPad': dict(max_ratio=0.4),
}

GREYS_CHANGE = ('PhotoMetricDistortion', 'CutOut')


def grey_of(person_id):
    return 60 + 16 * IDS.index(person_id)


def make_scene(seed):
    """640 x 480 black scene of 12 boxes, ids in random places, each painted in its id's grey."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(IDS)
    image = np.zeros((480, 640, 3), np.uint8)
    boxes = []
    for place, person_id in enumerate(ids):
        x, y = 160 * (place % 4) + rng.integers(5, 40), 160 * (place // 4) + rng.integers(5, 30)
        width, height = rng.integers(60, 110), rng.integers(90, 120)
        image[y : y + height, x : x + width] = grey_of(person_id)
        boxes.append([x, y, x + width, y + height])
    return dict(
        img=image,
        img_shape=image.shape[:2],
        img_path='scene.png',
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32)),
        gt_bboxes_labels=ids.astype(np.int64),
        gt_ignore_flags=np.zeros(len(ids), bool),
    )


def seen_greys(results):
    """Grey level in the middle of each box that is left."""
    greys = []
    for x1, y1, x2, y2 in results['gt_bboxes'].numpy():
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        dx, dy = max((x2 - x1) / 6, 1), max((y2 - y1) / 6, 1)
        patch = results['img'][int(y - dy) : int(y + dy) + 1, int(x - dx) : int(x + dx) + 1]
        greys.append(np.median(patch))
    return np.array(greys)


def run(transform, seed):
    np.random.seed(seed)
    results = transform(make_scene(seed))
    assert len(results['gt_bboxes']) == len(results['gt_bboxes_labels'])
    assert len(results['gt_bboxes']) == len(results['gt_ignore_flags'])
    return results


def out_of_step(results):
    wanted = np.array([grey_of(i) for i in results['gt_bboxes_labels']])
    return (np.abs(seen_greys(results) - wanted) > 7).any()


@pytest.mark.parametrize('name', ['RandomSceneAffine', 'RandomPerspective', 'RandomCropPad'])
def test_geometric_steps_at_strength(name):
    transform = TRANSFORMS.build(dict(type=name) | STRONG[name])
    samples = [run(transform, seed) for seed in SEEDS]
    assert sum(out_of_step(sample) for sample in samples) == 0
    # The check must have had boxes to lose.
    assert sum(len(sample['gt_bboxes']) < 12 for sample in samples) >= 15
    assert sum(len(sample['gt_bboxes']) for sample in samples) >= 60


def test_the_check_notices_ids_out_of_step():
    transform = TRANSFORMS.build(dict(type='RandomSceneAffine') | STRONG['RandomSceneAffine'])
    for seed in SEEDS:
        results = run(transform, seed)
        if len(results['gt_bboxes']) > 1:
            results['gt_bboxes_labels'] = np.roll(results['gt_bboxes_labels'], 1)
            assert out_of_step(results)


@pytest.mark.parametrize('name', sorted(set(STEPS) - set(GREYS_CHANGE)))
def test_every_configured_step(name):
    transform = TRANSFORMS.build(STEPS[name])
    assert sum(out_of_step(run(transform, seed)) for seed in SEEDS) == 0


@pytest.mark.parametrize(
    'name', ['CutOut', 'RandomGaussianBlur', 'RandomGaussianNoise', 'PhotoMetricDistortion']
)
def test_pixel_steps_touch_neither_boxes_nor_ids(name):
    transform = TRANSFORMS.build(STEPS[name])
    for seed in SEEDS:
        before, after = make_scene(seed), run(transform, seed)
        np.testing.assert_array_equal(after['gt_bboxes'].numpy(), before['gt_bboxes'].numpy())
        np.testing.assert_array_equal(after['gt_bboxes_labels'], before['gt_bboxes_labels'])
    assert not np.array_equal(after['img'], before['img'])


def test_whole_training_pipeline():
    """All steps but the dropping of regions, which hides the greys; contrast keeps their order."""
    names = [name for name in STEPS if name != 'CutOut']
    steps = [TRANSFORMS.build(STEPS[name]) for name in names]
    pack = PackPersonSearchInputs()
    compared = 0
    for seed in SEEDS:
        np.random.seed(seed)
        results = make_scene(seed)
        for step in steps:
            results = step(results)
        order = np.argsort([grey_of(i) for i in results['gt_bboxes_labels']])
        assert (np.diff(seen_greys(results)[order]) > 0).all()
        compared += len(order)
        ids = results['gt_bboxes_labels'].tolist()
        assert pack(results)['data_samples'].gt_instances.person_ids.tolist() == ids
    assert compared > 200


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


def warp(results, matrix, pad_val):
    transform = RandomPerspective(min_visible=0.3, pad_val=pad_val)
    transform.draw_matrix = lambda width, height: matrix
    transform(results)


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
    warp(results, np.array(matrix, float), (0, 0, 0))
    box = results['gt_bboxes'].numpy()[0]
    assert np.abs(np.array(extent(results['img'])) - box).max() <= (0 if matrix[2][1] == 0 else 1)


def test_border_is_filled():
    results = scene([])
    warp(results, SHIFT, (1, 2, 3))
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


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_noise_has_the_drawn_deviation_and_no_bias(dtype, monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: high)
    grey = np.full((200, 200, 3), 128, dtype)
    image = RandomGaussianNoise(max_sigma=10)(dict(img=grey.copy()))['img']
    assert image.dtype == dtype
    difference = image.astype(np.float64) - grey
    assert abs(difference.mean()) < 0.2
    assert abs(difference.std() - 10) < 0.2
    # Channels are independent of each other.
    assert abs(np.corrcoef(difference.reshape(-1, 3).T)[0, 1]) < 0.02


def test_noise_saturates_instead_of_wrapping():
    for value in (0, 255):
        image = RandomGaussianNoise(40)(dict(img=np.full((50, 50, 3), value, np.uint8)))['img']
        assert abs(image.astype(int) - value).max() < 220


def test_noise_depends_on_numpys_seed_alone():
    def noisy(seed):
        np.random.seed(seed)
        return RandomGaussianNoise()(dict(img=np.full((20, 20, 3), 99, np.uint8)))['img']

    first = noisy(3)
    assert not np.array_equal(noisy(4), first)
    np.testing.assert_array_equal(noisy(3), first)


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_blur_spreads_a_point_as_a_gaussian(dtype, monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: high)
    image = np.zeros((41, 41, 3), dtype)
    image[20, 20] = 255
    blurred = RandomGaussianBlur(max_sigma=1.5)(dict(img=image.copy()))['img'].astype(np.float64)
    assert blurred.shape == image.shape
    assert abs(blurred[..., 0].sum() - 255) < 8
    spread = np.sqrt(
        (blurred[..., 0].sum(0) * (np.arange(41) - 20) ** 2).sum() / blurred[..., 0].sum()
    )
    assert abs(spread - 1.5) < 0.15


@pytest.mark.parametrize('transform', [RandomGaussianBlur, RandomGaussianNoise])
def test_strength_has_to_be_positive(transform):
    with pytest.raises(ValueError, match='max_sigma'):
        transform(max_sigma=0)
