"""Time SeqNet's own program and networks of mmps in turn, as ratios, quiet and beside a load."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from mmps.benchmark import networks
from mmps.benchmark.measurement import Measurement, add_options, compared, in_turn
from mmps.benchmark.original import Original, seqnet
from mmps.engine.amp import cpu_has_bfloat16, set_amp
from mmps.models.layers.fast import plain_layers

CONVERTED = 'seqnet_r50_prw'
"""Our config of the program's network."""

NETWORKS = (
    CONVERTED,
    'configs/ps_densenet121_att_prw.py',
    'configs/ps_googlenet_att_prw.py',
    'configs/ps_resnet50_att_prw.py',
    'configs/quick_start/ps_densenet_slim_att_plus_synthetic.py',
)
"""What is timed beside it."""

PEOPLE = 0.3
"""Share of the proposals that the program's network takes for people, before suppression."""

_LOAD = """
import numpy
many = numpy.ones((4, 1 << 20), dtype=numpy.float32)
matrix = numpy.ones((512, 512), dtype=numpy.float32)
while True:
    many.sum()
    matrix @ matrix
"""
"""What keeps a core and its caches busy."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkout', help='folder of github.com/serend1p1ty/SeqNet')
    parser.add_argument('--packages', help='folder of torchvision, yacs and the like')
    parser.add_argument(
        '--networks', nargs='+', default=NETWORKS, metavar='CONFIG', help='default: %(default)s'
    )
    parser.add_argument('--rounds', type=int, default=5, help='default: %(default)s')
    parser.add_argument(
        '--loads', nargs='+', type=int, default=(0, 1), help='busy processes (default: 0, then 1)'
    )
    parser.add_argument('--training', action='store_true', help='steps of training instead')
    add_options(parser, '--size')


def run(arguments: argparse.Namespace) -> list[Measurement]:
    """Seconds per image, and how many times as fast as the program, round by round."""
    batch = networks.scenes(argparse.Namespace(size=arguments.size, batch=1))
    (sample,) = batch['data_samples']
    people = sample.gt_instances
    # Ours are in the order of OpenCV, theirs is red first.
    picture = batch['inputs'][0].flip(0).permute(1, 2, 0).numpy()
    given = [picture]
    if arguments.training:
        ids = torch.where(people.person_ids < 0, UNLABELLED, people.person_ids + 1)
        given += [people.bboxes.numpy(), ids.numpy()]
    else:
        del sample.gt_instances
    steps, operations = {}, {}
    with (
        Original(seqnet, arguments.checkout, arguments.packages) as original,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = str(Path(folder, 'seqnet.pth'))
        original.ask('keep_size', *picture.shape[:2])
        original.ask('settle', picture)
        original.ask('let_through', picture, SCORES, PEOPLE)
        original.ask('save', path)
        original.ask('set_threads', torch.get_num_threads())
        steps[PROGRAM] = partial(original.ask, 'step', *given)
        operations[PROGRAM] = original.ask('operations', *given)
        for name in arguments.networks:
            checkpoint = path if name == CONVERTED else None
            for precision, step in _steps(name, checkpoint, batch, arguments.training):
                key = f'{Path(name).stem}, {precision}'
                with plain_layers('workers'), FlopCounterMode(display=False) as counter:
                    step()
                steps[key], operations[key] = step, counter.get_total_flops()
        measured = [
            Measurement('operations per image', count / 1e9, 'GFLOP', name)
            for name, count in operations.items()
        ]
        for load in arguments.loads:
            when = f', beside {load} busy' if load else ''
            with busy(load):
                seconds = in_turn(steps, arguments.rounds)
            measured += compared(seconds, PROGRAM, when=when)
    return measured


PROGRAM = "SeqNet's own program"
SCORES = 'roi_heads.faster_rcnn_predictor.cls_score'
"""What decides in SeqNet who is a person."""
UNLABELLED = 5555
"""Its id of people of whom nobody knows who they are."""


def _precisions() -> tuple[str, ...]:
    return ('float32', 'bfloat16') if cpu_has_bfloat16() else ('float32',)


def _steps(
    name: str, checkpoint: str | None, batch: dict, training: bool
) -> Iterator[tuple[str, Callable[[], object]]]:
    """What finds and embeds the people of a batch, or trains with them, in each precision."""
    from mmps.apis.network import build_model

    words = argparse.Namespace(config=name, cfg_options={}, device='cpu')
    model, config = networks.load_model(words)
    if checkpoint:
        model = build_model(config, checkpoint)
    model.train(training)
    for precision in _precisions():
        if training:
            if precision == 'bfloat16':
                set_amp(config, precision)
            optimiser = networks.optimiser_of(model, config)
            yield precision, partial(model.train_step, batch, optimiser)
        else:
            autocast = torch.autocast('cpu', torch.bfloat16, precision == 'bfloat16')
            yield precision, torch.no_grad()(autocast(partial(model.test_step, batch)))


@contextmanager
def busy(count: int) -> Iterator[list[subprocess.Popen]]:
    """In this context so many other processes compute all the time."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'}
    load = [subprocess.Popen([sys.executable, '-c', _LOAD], env=environment) for _ in range(count)]
    try:
        yield load
    finally:
        for process in load:
            process.kill()
            process.wait()
