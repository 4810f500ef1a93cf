"""Time training of a model: forward, backward and optimiser step on images that are in memory."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

from mmengine.runner import Runner

from mmps.utils.benchmark.measurement import Measurement
from mmps.utils.benchmark.networks import add_arguments, load_model, measure, scenes

__all__ = ['add_arguments', 'run']


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure."""
    model, optim_wrapper = load_model(arguments)
    # The method needs of its runner nothing but the model.
    optimiser = Runner.build_optim_wrapper(SimpleNamespace(model=model), optim_wrapper)
    model.train()
    batch = scenes(arguments)
    return measure(lambda: model.train_step(batch, optimiser), model, arguments)
