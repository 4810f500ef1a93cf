from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmps.datasets import IdentityBalancedBatchSampler, SeededIndex, SeededSampler
from mmps.registry import DATA_SAMPLERS


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
