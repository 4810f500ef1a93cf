"""Person ids follow their boxes through every augmentation of the training pipeline."""

from pathlib import Path

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config

from mmps.datasets.transforms import PackPersonSearchInputs
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
