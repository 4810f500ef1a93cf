import pickle
import random

import numpy as np
import pytest
import torch
from helpers.prw_files import write_tiny_prw
from torch.utils.data import DataLoader

from mmps.datasets import PRWDataset, SeededIndex, SeededSampler
from mmps.datasets.samplers import sample_seed, seeded_by
from mmps.registry import DATA_SAMPLERS

PIPELINE = [
    dict(type='LoadSceneImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomSceneAffine'),
    dict(type='RandomGaussianNoise'),
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackPersonSearchInputs'),
]


@pytest.fixture
def dataset(tmp_path):
    return PRWDataset(data_root=str(write_tiny_prw(tmp_path / 'PRW')), pipeline=PIPELINE)


def test_seeded_index_is_an_int_that_keeps_its_seed():
    index = SeededIndex(3, 99)
    assert index == 3
    assert [10, 11, 12, 13][index] == 13
    again = pickle.loads(pickle.dumps(index))
    assert (again, again.seed, type(again)) == (3, 99, SeededIndex)


def test_seeds_of_neighbouring_samples_differ():
    seeds = {sample_seed(s, e, i) for s in range(8) for e in range(8) for i in range(32)}
    assert len(seeds) == 8 * 8 * 32
    assert all(0 <= seed < 2**32 for seed in seeds)


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_seeded_by_fixes_and_restores_all_three_generators():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    undisturbed = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    first = draw()
    with seeded_by(SeededIndex(0, 5)):
        inside = draw()
    with pytest.raises(ZeroDivisionError), seeded_by(SeededIndex(4, 5)):
        assert draw() == inside
        1 / 0  # noqa: B018
    assert [first, draw()] == undisturbed
    with seeded_by(7):
        assert draw() != inside


def test_order_is_mmengines_and_seeds_change_with_the_epoch():
    from mmengine.dataset import DefaultSampler

    data = list(range(9))
    sampler = DATA_SAMPLERS.build(dict(type='SeededSampler', dataset=data, seed=3))
    assert isinstance(sampler, SeededSampler)
    seeds = []
    for epoch in range(2):
        plain = DefaultSampler(data, seed=3)
        for each in (sampler, plain):
            each.set_epoch(epoch)
        indices = list(sampler)
        assert indices == list(plain)
        assert all(i.seed == sample_seed(3, epoch, i) for i in indices)
        seeds += [i.seed for i in indices]
    assert len(set(seeds)) == 18


def load(dataset, workers, epochs, world=1):
    """All samples by (epoch, image): what the ranks of ``world`` load."""
    loaded = {}
    for rank in range(world):
        sampler = SeededSampler(dataset, seed=11)
        # What DefaultSampler does when the process group has that rank and size.
        sampler.rank, sampler.world_size = rank, world
        loader = DataLoader(
            dataset,
            batch_size=2,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=list,
        )
        for epoch in epochs:
            sampler.set_epoch(epoch)
            for sample in (sample for batch in loader for sample in batch):
                loaded[epoch, sample['data_samples'].img_name] = sample
    return loaded


def same(one, other):
    boxes = (sample['data_samples'].gt_instances for sample in (one, other))
    first, second = boxes
    return (
        torch.equal(one['inputs'], other['inputs'])
        and torch.equal(first.bboxes, second.bboxes)
        and torch.equal(first.person_ids, second.person_ids)
    )


@pytest.mark.parametrize(
    ('workers', 'world', 'epochs'),
    [
        (2, 1, (0, 1)),  # persistent workers
        (0, 2, (0, 1)),  # two ranks
        (0, 1, (1,)),  # resumed after the first epoch
    ],
)
def test_augmentation_is_a_function_of_seed_epoch_and_index(dataset, workers, world, epochs):
    reference = load(dataset, 0, (0, 1))
    assert len(reference) == 8
    assert not same(reference[0, 'c1s1_000000.jpg'], reference[1, 'c1s1_000000.jpg'])
    np.random.seed(4)  # state left behind by whatever ran before
    other = load(dataset, workers, epochs, world)
    assert len(other) == 4 * len(epochs)
    for key, sample in other.items():
        assert same(sample, reference[key]), key


class Shapes(list):
    """A data set of (width, height)."""

    def get_data_info(self, index):
        width, height = self[index]
        return dict(width=width, height=height)


@pytest.mark.parametrize('world', [1, 3])
def test_mmdets_aspect_ratio_batches_keep_seeds_and_ranks_in_step(world):
    """What configs rely on: batches of one shape but for the last, equally many on every rank."""
    shapes = Shapes([(4, 3), (3, 4), (4, 3)] * 13)
    lengths, seen = set(), set()
    for rank in range(world):
        base = SeededSampler(shapes, seed=2)
        base.rank, base.world_size = rank, world
        base.num_samples = base.total_size = len(shapes)
        base.num_samples //= world
        sampler = DATA_SAMPLERS.build(
            dict(type='AspectRatioBatchSampler'), default_args=dict(sampler=base, batch_size=2)
        )
        batches = list(sampler)
        mixed = [batch for batch in batches if len({shapes[i] for i in batch}) > 1]
        assert len(mixed) <= 1
        assert all(i.seed == sample_seed(2, 0, i) for batch in batches for i in batch)
        lengths.add(len(batches))
        seen.update(int(i) for batch in batches for i in batch)
    assert lengths == {-(-len(shapes) // world // 2)}
    assert seen == set(range(len(shapes)))
