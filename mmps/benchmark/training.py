"""Time training of a model: forward, backward and optimiser step on images that are in memory."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import torch
from mmengine.runner import Runner

from mmps.benchmark import networks
from mmps.benchmark.gpu_memory import layers_of_a_gpu, peak_of_tensors
from mmps.benchmark.measurement import Measurement
from mmps.benchmark.networks import load_model, measure, scenes
from mmps.engine.amp import set_amp
from mmps.utils.errors import UserError

CHECKPOINTING = {
    'model.backbone.with_cp': True,
    'model.roi_head.shared_head.with_cp': True,
}
"""The keys that make activations be computed again in the backward pass instead of kept."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    networks.add_arguments(parser)
    parser.add_argument('--amp', choices=('float16', 'bfloat16'), help='mixed precision')
    parser.add_argument(
        '--with-cp', action='store_true', help='activation checkpointing of both networks'
    )
    parser.add_argument(
        '--accumulate', type=int, default=1, metavar='N', help='batches per optimiser step'
    )
    parser.add_argument(
        '--gpu-memory',
        action='store_true',
        help='only measure, on a CPU, what tensors would take on a GPU',
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure.

    Raises:
        UserError: What a GPU takes is to be counted on one.
    """
    if arguments.gpu_memory and arguments.device != 'cpu':
        raise UserError('--gpu-memory: counts on a CPU; leave it out to measure on --device')
    if arguments.with_cp:
        arguments.cfg_options.update(CHECKPOINTING)
    model, config = load_model(arguments)
    if arguments.amp:
        set_amp(config, arguments.amp)
    config.optim_wrapper.accumulative_counts = arguments.accumulate
    # The method needs of its runner nothing but the model.
    optimiser = Runner.build_optim_wrapper(SimpleNamespace(model=model), config.optim_wrapper)
    model.train()
    batch = scenes(arguments)

    def step() -> None:
        for _ in range(arguments.accumulate):
            model.train_step(batch, optimiser)

    if arguments.gpu_memory:
        held = sum(tensor.nbytes for tensor in model.state_dict().values()) / 2**20
        with layers_of_a_gpu():
            peak = peak_of_tensors(step)
        return [Measurement('tensors alive at once, at most', held + peak, 'MiB')]
    return measure(
        step,
        model,
        arguments,
        images=arguments.batch * arguments.accumulate,
        optim_wrapper=optimiser,
        dtype=getattr(torch, arguments.amp or 'float32'),
    )
