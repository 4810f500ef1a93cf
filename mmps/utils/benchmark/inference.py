"""Time inference of a model: detections and embeddings of one image after another."""

from __future__ import annotations

import argparse

import torch

from mmps.utils.benchmark.measurement import Measurement
from mmps.utils.benchmark.networks import add_arguments, load_model, measure, scenes

__all__ = ['add_arguments', 'run']


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure."""
    model, _ = load_model(arguments)
    model.eval()
    batch = scenes(arguments)

    @torch.no_grad()
    def step() -> None:
        model.test_step(batch)

    return measure(step, model, arguments, images=arguments.batch)
