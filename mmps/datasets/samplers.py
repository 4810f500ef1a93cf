"""A sampler whose indices carry a seed: augmentation depends on no worker, rank or resume."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import BatchSampler

from mmps.evaluation.functional.annotations import UNLABELLED
from mmps.registry import DATA_SAMPLERS


class SeededIndex(int):
    """A sample's index together with the seed of its random augmentation.

    It is an ``int`` to everything that does not know it, and survives the trip to a worker process.

    Example:
        >>> index = SeededIndex(7, seed=42)
        >>> index, index + 1, index.seed
        (7, 8, 42)

    Args:
        index: Position in the data set.
        seed: Seed below 2**32.
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> SeededIndex:
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __getnewargs__(self) -> tuple[int, int]:
        return int(self), self.seed


def sample_seed(seed: int, epoch: int, index: int, repeat: int = 0) -> int:
    """Mix run seed, epoch, index and how often it came before into one seed below 2**32.

    A sum would hand the augmentation of (seed, epoch + 1) to (seed + 1, epoch); a hash does not.
    """
    return int(np.random.SeedSequence([seed, epoch, index, repeat]).generate_state(1)[0])


@contextmanager
def seeded_by(index: int) -> Iterator[None]:
    """Seed ``random``, ``numpy.random`` and torch's CPU generator from a :class:`SeededIndex`.

    The state outside is restored on leaving, so that loading a sample in the main process cannot
    change what the training loop draws. A plain ``int`` changes nothing.
    """
    if not isinstance(index, SeededIndex):
        yield
        return
    python_state, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.default_generator.get_state()
    random.seed(index.seed)
    np.random.seed(index.seed)
    torch.default_generator.manual_seed(index.seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.default_generator.set_state(torch_state)


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler``, yielding :class:`SeededIndex`.

    The seed of a sample is a function of the run's seed, the epoch and the index alone. With a
    :class:`~mmps.datasets.PersonSearchDataset` an augmented sample is therefore the same for any
    number of workers and ranks, with persistent workers, and after a resume.

    Example:
        >>> [(index, index.seed) for index in SeededSampler(range(2), shuffle=False, seed=0)]
        [(0, 2968811710), (1, 3831201730)]

    Args:
        dataset: The data set to sample from.
        shuffle: Whether to draw a new order each epoch.
        seed: Seed of order and augmentation, the same on all ranks; drawn and shared if None.
        round_up: Whether to repeat samples so that all ranks get equally many.
    """

    def __iter__(self) -> Iterator[SeededIndex]:
        for index in super().__iter__():
            yield SeededIndex(index, sample_seed(self.seed, self.epoch, index))


@DATA_SAMPLERS.register_module()
class IdentityBalancedBatchSampler(BatchSampler):
    """PK sampling (Hermans et al., 2017) for scenes: each batch shows P identities in K images
    each.

    Identities are drawn equally often, however many images show them, and no two groups of one
    step, over all ranks, are of the same identity where there are enough. The images of an
    identity take turns. An image shows other people as well, so an identity may occur more often
    than K times; where an identity has fewer than K images, some of them come again, augmented
    differently.

    An epoch has as many batches as it would have without this sampler, equally many on every rank,
    and is a function of seed and epoch alone. Images without a labelled person are not drawn.

    Example:
        >>> class Scenes(list):  # of two people, in two images each
        ...     def get_data_info(self, index):
        ...         return dict(instances=[dict(bbox_label=self[index])])
        >>> sampler = SeededSampler(Scenes([0, 1, 0, 1]), seed=0)
        >>> sorted(sorted(batch) for batch in IdentityBalancedBatchSampler(sampler, batch_size=2))
        [[0, 2], [1, 3]]

    Args:
        sampler: A :class:`SeededSampler` of the training set: seed, epoch and rank are its.
        batch_size: Images per batch and rank, P x K.
        images_per_identity: K.
        drop_last: Whether to round the number of batches down instead of up.

    Raises:
        ValueError: K does not divide the batch size, or nobody is labelled.
    """

    def __init__(
        self,
        sampler: SeededSampler,
        batch_size: int,
        images_per_identity: int = 2,
        drop_last: bool = False,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last)
        if batch_size % images_per_identity:
            raise ValueError(
                f'images_per_identity={images_per_identity} does not divide '
                f'train_dataloader.batch_size={batch_size}'
            )
        self.images_per_identity = images_per_identity
        self.images: dict[int, list[int]] = {}
        for position in range(len(sampler.dataset)):
            instances = sampler.dataset.get_data_info(position)['instances']
            for identity in {instance['bbox_label'] for instance in instances} - {UNLABELLED}:
                self.images.setdefault(identity, []).append(position)
        if not self.images:
            raise ValueError(
                'IdentityBalancedBatchSampler: no image shows a labelled person; leave '
                'train_dataloader.batch_sampler out'
            )

    def __len__(self) -> int:
        per_step = self.batch_size * self.sampler.world_size
        rounded = math.floor if self.drop_last else math.ceil
        return rounded(len(self.sampler.dataset) / per_step)

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        """The batches of this rank: every rank draws all of them and keeps its own."""
        rng = np.random.default_rng([self.sampler.seed, self.sampler.epoch])
        per_rank = self.batch_size // self.images_per_identity
        groups = per_rank * self.sampler.world_size
        identities = _IdentityQueue(sorted(self.images), rng)
        turns = {identity: _Turns(images, rng) for identity, images in self.images.items()}
        shown: Counter[int] = Counter()
        first = per_rank * self.sampler.rank
        for _ in range(len(self)):
            step: list[list[SeededIndex]] = []
            used: set[int] = set()
            for identity in identities.take(groups):
                images = turns[identity].take(self.images_per_identity, used)
                used.update(images)
                step.append([])
                for image in images:
                    # An image that comes again is to look different.
                    again = sample_seed(self.sampler.seed, self.sampler.epoch, image, shown[image])
                    step[-1].append(SeededIndex(image, again))
                    shown[image] += 1
            yield sum(step[first : first + per_rank], [])


class _IdentityQueue:
    """All identities in random order, again and again."""

    def __init__(self, identities: list[int], rng: np.random.Generator) -> None:
        self._identities = identities
        self._rng = rng
        self._waiting: list[int] = []

    def take(self, count: int) -> list[int]:
        """The next ``count`` identities, different ones as long as there are as many."""
        taken: list[int] = []
        while len(taken) < count:
            # Those of a new round that were taken a moment ago wait until the next step.
            fresh = [identity for identity in self._waiting if identity not in taken]
            if not fresh:
                fresh = self._rng.permutation(self._identities).tolist()
                self._waiting += fresh
                if len(taken) < len(self._identities):
                    fresh = [identity for identity in fresh if identity not in taken]
            for identity in fresh[: count - len(taken)]:
                self._waiting.remove(identity)
                taken.append(identity)
        return taken


class _Turns:
    """The images of one identity in random order, again and again."""

    def __init__(self, images: list[int], rng: np.random.Generator) -> None:
        self._images = images
        self._rng = rng
        self._waiting: list[int] = []

    def take(self, count: int, used: set[int]) -> list[int]:
        """The next ``count`` images, different ones and none of ``used`` as far as possible."""
        taken: list[int] = []
        while len(taken) < count:
            if not self._waiting:
                self._waiting = self._rng.permutation(self._images).tolist()
            avoided = used.union(taken)
            image = next((i for i in self._waiting if i not in avoided), None)
            if image is None:
                others = [i for i in self._images if i not in avoided]
                others = others or [i for i in self._images if i not in taken]
                image = int(self._rng.choice(others or self._images))
            else:
                self._waiting.remove(image)
            taken.append(image)
        return taken
