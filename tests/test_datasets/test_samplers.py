import pickle
import random
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.prw_files import write_tiny_prw
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmps.datasets import IdentityBalancedBatchSampler, PRWDataset, SeededIndex, SeededSampler
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


class Scenes:
    """A data set that knows who is in which image."""

    def __init__(self, people):
        self.people = people

    def __len__(self):
        return len(self.people)

    def get_data_info(self, index):
        return dict(instances=[dict(bbox_label=person) for person in self.people[index]])


def sampler(people, batch_size, images_per_identity=2, seed=0, epoch=0, rank=0, world=1, **kwargs):
    base = SeededSampler(Scenes(people), seed=seed)
    # What DefaultSampler does when the process group has that rank and size.
    base.rank, base.world_size = rank, world
    base.set_epoch(epoch)
    return DATA_SAMPLERS.build(
        dict(
            type='IdentityBalancedBatchSampler',
            images_per_identity=images_per_identity,
            **kwargs,
        ),
        default_args=dict(sampler=base, batch_size=batch_size),
    )


PEOPLE = st.lists(st.lists(st.integers(-1, 7), max_size=4), min_size=1, max_size=30).filter(
    lambda people: any(person >= 0 for ids in people for person in ids)
)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=100, deadline=None)
@given(PEOPLE, SHAPES, st.integers(0, 5), st.booleans())
def test_every_batch_shows_p_identities_k_times(people, shape, epoch, drop_last):
    per_rank, images_each, world = shape
    options = dict(batch_size=per_rank * images_each, images_per_identity=images_each)
    options.update(epoch=epoch, world=world, drop_last=drop_last)
    ranks = [list(sampler(people, rank=rank, **options)) for rank in range(world)]
    per_step = per_rank * images_each * world
    steps = len(people) // per_step if drop_last else -(-len(people) // per_step)
    assert [len(batches) for batches in ranks] == [steps] * world
    assert len(sampler(people, **options)) == steps
    identities = {person for ids in people for person in ids if person >= 0}
    holders = {i: {n for n, ids in enumerate(people) if i in ids} for i in identities}
    for step in zip(*ranks, strict=True):
        groups = []
        for batch in step:
            assert len(batch) == per_rank * images_each
            groups += [batch[i : i + images_each] for i in range(0, len(batch), images_each)]
        # Every group has an identity of its own, as far as there are enough of them.
        candidates = [{i for i in identities if holders[i].issuperset(g)} for g in groups]
        assert all(candidates)
        if len(groups) <= len(identities):
            assert matching_exists(candidates)
        for group, possible in zip(groups, candidates, strict=True):
            assert len(set(group)) >= min(images_each, min(len(holders[i]) for i in possible))


def matching_exists(candidates):
    """Whether different elements can be chosen from all sets (augmenting paths)."""
    owner = {}

    def place(group, seen):
        for identity in candidates[group] - seen:
            seen.add(identity)
            if identity not in owner or place(owner[identity], seen):
                owner[identity] = group
                return True
        return False

    return all(place(group, set()) for group in range(len(candidates)))


def batches_as_pairs(*args, **kwargs):
    return [[(int(i), i.seed) for i in batch] for batch in sampler(*args, **kwargs)]


def test_it_is_a_function_of_seed_and_epoch():
    people = [[n % 5, n % 3] for n in range(24)]
    first = batches_as_pairs(people, 4)
    assert first == batches_as_pairs(people, 4)
    assert first != batches_as_pairs(people, 4, seed=1)
    assert first != batches_as_pairs(people, 4, epoch=1)
    again = sampler(people, 4)  # a sampler that has been through an epoch already
    list(again)
    again.sampler.set_epoch(1)
    assert [list(map(int, b)) for b in again] == [
        [index for index, _ in b] for b in batches_as_pairs(people, 4, epoch=1)
    ]


def test_identities_are_drawn_equally_often_however_many_images_they_have():
    people = [[0]] * 30 + [[1]] * 6 + [[2]] * 6 + [[-1]] * 6
    drawn = Counter(people[i][0] for batch in sampler(people, 4) for i in batch)
    assert sorted(drawn) == [0, 1, 2]
    assert sum(drawn.values()) == 48
    assert max(drawn.values()) - min(drawn.values()) <= 2


def test_images_take_turns():
    people = [[0]] * 6 + [[1]] * 6
    seen = Counter(int(i) for batch in sampler(people, 4) for i in batch)
    assert seen == Counter(range(12))


def test_ranks_do_not_share_images_where_they_need_not():
    people = [[n % 8, 8 + n % 4] for n in range(64)]
    ranks = [list(sampler(people, 8, rank=rank, world=4)) for rank in range(4)]
    for step in zip(*ranks, strict=True):
        images = [int(i) for batch in step for i in batch]
        assert len(set(images)) == len(images) == 32


def test_an_image_that_comes_again_is_augmented_differently():
    people = [[0]] + [[1]] * 11
    drawn = [i for batch in sampler(people, 4) for i in batch]
    assert all(isinstance(i, SeededIndex) for i in drawn)
    assert Counter(map(int, drawn))[0] > 1
    assert len({i.seed for i in drawn}) == len(drawn)


def test_bad_arguments_name_the_key():
    with pytest.raises(ValueError, match='images_per_identity=3 .*train_dataloader.batch_size=4'):
        sampler([[0]], 4, images_per_identity=3)
    with pytest.raises(ValueError, match='no image shows a labelled person'):
        sampler([[-1], []], 4)


def test_mmengine_sets_its_epoch():
    from mmengine.hooks import DistSamplerSeedHook
    from torch.utils.data import DataLoader

    batches = sampler([[0], [1], [0], [1]], 2)
    assert isinstance(batches, IdentityBalancedBatchSampler)
    loader = DataLoader(batches.sampler.dataset, batch_sampler=batches)
    runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader), epoch=3)
    DistSamplerSeedHook().before_train_epoch(runner)
    assert batches.sampler.epoch == 3
