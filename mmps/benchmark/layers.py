"""CPU time of a model with and without each fast form of its layers, in turn, as ratios."""

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from mmps.benchmark import networks
from mmps.benchmark.measurement import Measurement, add_options, in_turn
from mmps.models.layers.fast import FORMS, plain_layers

NOTHING, ALL = 'nothing', 'all'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', '--size', '--batch', '--device', '--repeats')
    parser.add_argument(
        '--forms', nargs='+', choices=(ALL, *FORMS), default=(ALL, *FORMS), help='to turn off'
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure a step of training and one of prediction, the least of all repeats."""
    measured = []
    for kind in ('training', 'prediction'):
        steps = _steps(arguments, kind == 'training')
        seconds = in_turn(steps, arguments.repeats, time.process_time)
        least = {off: float(own.min()) for off, own in seconds.items()}
        nothing = least.pop(NOTHING)
        measured.append(Measurement(f'CPU time of a {kind} step', nothing, 's'))
        measured += [
            Measurement(f'{kind} step without', own / nothing, 'times', stage=off)
            for off, own in least.items()
        ]
    return measured


def _steps(arguments: argparse.Namespace, training: bool) -> dict[str, Callable[[], object]]:
    batch, state, steps = networks.scenes(arguments), None, {}
    for off in (NOTHING, *arguments.forms):
        with _without(off):
            model, config = networks.load_model(arguments)
        state = state or model.state_dict()
        model.load_state_dict(state)
        model.train(training)
        optimiser = networks.optimiser_of(model, config) if training else None

        def step(off=off, model=model, optimiser=optimiser) -> None:
            with _without(off), torch.set_grad_enabled(training):
                model.train_step(batch, optimiser) if training else model.test_step(batch)

        steps[off] = step
    return steps


def _without(off: str) -> AbstractContextManager:
    if off == NOTHING:
        return nullcontext()
    return plain_layers() if off == ALL else plain_layers(off)
