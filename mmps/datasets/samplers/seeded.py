"""A sampler whose indices carry a seed: augmentation depends on no worker, rank or resume."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dataset import DefaultSampler

from mmps.registry import DATA_SAMPLERS


class SeededIndex(int):
    """A sample's index together with the seed of its random augmentation.

    It is an ``int`` to everything that does not know it, and survives the trip to a worker process.

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

    Args:
        dataset: The data set to sample from.
        shuffle: Whether to draw a new order each epoch.
        seed: Seed of order and augmentation, the same on all ranks; drawn and shared if None.
        round_up: Whether to repeat samples so that all ranks get equally many.
    """

    def __iter__(self) -> Iterator[SeededIndex]:
        for index in super().__iter__():
            yield SeededIndex(index, sample_seed(self.seed, self.epoch, index))
