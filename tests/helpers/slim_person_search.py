"""The slim model and those of configs, built, trained a step and run on random scenes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mmdet.structures import SampleList
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from mmps.models.losses import OIMLoss
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.testing.tiny_models import slim_model


def build(**overrides: object) -> nn.Module:
    """A :func:`slim_model` with random weights."""
    model = MODELS.build(slim_model(**overrides))
    model.init_weights()
    return model


def losses(model: nn.Module, person_ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Losses of random scenes with such people in each."""
    data = model.data_preprocessor(random_scenes(person_ids), True)
    return model(**data, mode='loss')


def predict(model: nn.Module, scenes: dict) -> SampleList:
    """What the model finds in scenes, which stay as they are."""
    with torch.no_grad():
        return model.eval().test_step(copy.deepcopy(scenes))


def a_step(cfg: Config) -> tuple[nn.Module, SampleList, set[str]]:
    """Build the model of a config and train it one step.

    Returns:
        The model, what it finds then in the two scenes, the first of which has a query, and the
        names of the parameters that have moved.
    """
    model = MODELS.build(cfg.model)
    model.init_weights()
    # All that is needed of a runner.
    runner = SimpleNamespace(model=model)
    optim_wrapper = Runner.build_optim_wrapper(runner, cfg.optim_wrapper)
    for part in model.modules():
        if isinstance(part, OIMLoss):
            # Else there may be nobody to be told apart from.
            part.lut.copy_(F.normalize(torch.randn_like(part.lut)))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    scenes = random_scenes([[0, 1, -1], [2]], queries=[[0], []])
    log = model.train().train_step(scenes, optim_wrapper)
    assert math.isfinite(log['loss'])
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    with torch.no_grad():
        return model, model.eval().test_step(scenes), moved
