"""Time inference of a model: detections and embeddings of one image after another."""

from __future__ import annotations

import argparse

import torch

from mmps.benchmark import networks
from mmps.benchmark.measurement import Measurement
from mmps.benchmark.networks import load_model, measure, scenes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    networks.add_arguments(parser)
    parser.add_argument('--amp', choices=('float16', 'bfloat16'), help='mixed precision')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure."""
    model, _ = load_model(arguments)
    model.eval()
    batch = scenes(arguments)
    dtype = getattr(torch, arguments.amp or 'float32')
    device = torch.device(arguments.device).type

    @torch.no_grad()
    def step() -> None:
        with torch.autocast(device, dtype, enabled=arguments.amp is not None):
            model.test_step(batch)

    return measure(step, model, arguments, images=arguments.batch, dtype=dtype)
