"""Time training of a model, and what memory it needs, for one setting or many."""

import argparse
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from mmps.benchmark.measurement import Measurement, add_options, alone
from mmps.benchmark.networks import load_model, measure, optimiser_of, scenes
from mmps.engine.amp import set_amp
from mmps.models.layers import fast
from mmps.utils.errors import UserError

CHECKPOINTING = {
    'model.backbone.with_cp': True,
    'model.roi_head.shared_head.with_cp': True,
}
"""The keys that make activations be computed again in the backward pass instead of kept."""


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', '--size', '--batch', '--device', '--repeats', '--amp')
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


def train(arguments: argparse.Namespace) -> list[Measurement]:
    """Time training: forward, backward and optimiser step on images that are in memory.

    Raises:
        UserError: ``--gpu-memory`` together with a device other than the CPU.
    """
    if arguments.gpu_memory and arguments.device != 'cpu':
        raise UserError('--gpu-memory: counts on a CPU; leave it out to measure on --device')
    if arguments.with_cp:
        arguments.cfg_options.update(CHECKPOINTING)
    model, config = load_model(arguments)
    if arguments.amp:
        set_amp(config, arguments.amp)
    config.optim_wrapper.accumulative_counts = arguments.accumulate
    optimiser = optimiser_of(model, config)
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
    images = arguments.batch * arguments.accumulate
    dtype = getattr(torch, arguments.amp or 'float32')
    return measure(step, model, arguments, images, dtype, optimiser)


@contextmanager
def layers_of_a_gpu() -> Iterator[None]:
    """Let models take none of the ways that are there for CPUs."""
    regions = patch.dict(fast.REGIONS_AT_ONCE, clear=True)
    with fast.plain_layers('dense_block', 'region_align'), regions:
        yield


def peak_of_tensors(step: Callable[[], object]) -> float:
    """MiB of the tensors of a step that are alive at once, when it is most.

    A GPU needs more: its context, workspaces of its convolutions, and gaps between tensors.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == '[memory]')
    return max(itertools.accumulate((change for _, change in changes), initial=0)) / 2**20


def add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``sweep``; several values of an option are tried in turn."""
    add_options(parser, 'config', '--size', '--device', '--repeats')
    parser.add_argument('--batches', type=int, nargs='+', default=[1, 2, 4], help='batch sizes')
    parser.add_argument(
        '--amp', nargs='+', default=['no'], choices=('no', 'float16', 'bfloat16'), help='precision'
    )
    parser.add_argument(
        '--with-cp', nargs='+', default=['no'], choices=('no', 'yes'), help='checkpointing'
    )
    parser.add_argument('--accumulate', type=int, nargs='+', default=[1], metavar='N')


def sweep(arguments: argparse.Namespace) -> list[Measurement]:
    """Tell memory and time of a training step for every combination of settings, as a table.

    Each combination runs in a process of its own, whose memory is then its own too. What does not
    fit into memory has no numbers.
    """
    measured, fits = [], False
    settings = (arguments.batches, arguments.amp, arguments.with_cp, arguments.accumulate)
    for batch, amp, with_cp, accumulate in tqdm(list(itertools.product(*settings)), 'settings'):
        words = dict(batch=batch, amp=None if amp == 'no' else amp, with_cp=with_cp == 'yes')
        words |= dict(accumulate=accumulate, gpu_memory=False)
        try:
            numbers = alone(train, argparse.Namespace(**{**vars(arguments), **words, 'run': None}))
            found = {m.name: m.value for m in numbers}
            fits = True
        except (BrokenProcessPool, torch.OutOfMemoryError):  # the first: it was killed
            found = dict.fromkeys(('peak memory', 'time per image'), float('nan'))
        stage = f'batch {batch}, amp {amp}, with_cp {with_cp}, accumulate {accumulate}'
        image = found['time per image']
        measured += [
            Measurement('peak memory', found['peak memory'], 'MiB', stage),
            Measurement('step', image * batch * accumulate, 's', stage),
            Measurement('image', image, 's', stage),
        ]
    if not fits:
        raise UserError('no combination fits into memory; try --batches 1 and --with-cp yes')
    return measured
