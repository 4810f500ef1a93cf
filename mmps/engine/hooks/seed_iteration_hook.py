import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmps.registry import HOOKS


@HOOKS.register_module()
class SeedIterationHook(Hook):
    """Makes the randomness of each training iteration a function of seed, iteration and rank.

    Checkpoints do not hold the state of random generators. With this hook, and samples seeded by
    :class:`SeededSampler`, a resumed run draws the numbers that an uninterrupted one would have
    drawn.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seeds Python, NumPy and torch (all devices)."""
        sequence = np.random.SeedSequence([runner.seed, runner.iter, get_rank()])
        python, numpy, torch_seed = (int(word) for word in sequence.generate_state(3))
        random.seed(python)
        np.random.seed(numpy)
        torch.manual_seed(torch_seed)
