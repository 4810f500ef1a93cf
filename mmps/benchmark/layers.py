"""CPU time of a model with and without each fast form of its layers, in turn, as ratios."""

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from mmps.benchmark import networks
from mmps.benchmark.measurement import Measurement, add_options, seconds_of
from mmps.models.layers.fast import FORMS, plain_layers

NOTHING, ALL = 'nothing', 'all'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_options(parser, 'config', '--size', '--batch', '--device', '--repeats')
    parser.add_argument(
        '--forms', nargs='+', choices=(ALL, *FORMS), default=(ALL, *FORMS), help='to turn off'
    )


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Measure a step of training and one of prediction, the least of all repeats."""
    batch = networks.scenes(arguments)
    steps: dict[str, tuple[Callable[[], object], ...]] = {}
    state = None
    for off in (NOTHING, *arguments.forms):
        with _without(off):
            model, config = networks.load_model(arguments)
        state = state or model.state_dict()
        model.load_state_dict(state)
        optimiser = networks.optimiser_of(model, config)
        steps[off] = (
            lambda model=model, optimiser=optimiser: model.train().train_step(batch, optimiser),
            lambda model=model: model.eval().test_step(batch),
        )
    least: dict[tuple[str, str], float] = {}
    for repeat in range(arguments.repeats + 1):  # the first one only warms up
        for off, pair in steps.items():
            for kind, step in zip(('training', 'prediction'), pair, strict=True):
                with _without(off), torch.set_grad_enabled(kind == 'training'):
                    seconds = seconds_of(step, time.process_time)
                if repeat:
                    least[kind, off] = min(seconds, least.get((kind, off), seconds))
    return [
        Measurement(f'{kind} step without', seconds / least[kind, NOTHING], 'times', stage=off)
        if off != NOTHING
        else Measurement(f'CPU time of a {kind} step', seconds, 's')
        for (kind, off), seconds in least.items()
    ]


def _without(off: str) -> AbstractContextManager:
    if off == NOTHING:
        return nullcontext()
    return plain_layers() if off == ALL else plain_layers(off)
