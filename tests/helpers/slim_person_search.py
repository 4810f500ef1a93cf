"""The slim model, built, trained a step and run on random scenes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmdet.structures import SampleList
from torch import Tensor, nn

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
