"""What timing a model for training and for inference has in common."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmps.benchmark.measurement import Measurement, peak_memory
from mmps.benchmark.stages import OPTIMISER_STAGES, StageMeter, metered
from mmps.registry import MODELS
from mmps.testing.scenes import random_scenes
from mmps.utils.config import load_config
from mmps.utils.memory import keep_freed_memory

PEOPLE = [0, 1, 2, -1]
"""Ids in every scene; PRW has about three people in a frame."""


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What is run, on what, and how often."""
    parser.add_argument('config')
    parser.add_argument('--size', default='1500x900', help='width x height of the images')
    parser.add_argument('--repeats', type=int, default=3, help='best of this many steps')
    parser.add_argument('--device', default='cpu')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommands that measure one setting."""
    add_run_arguments(parser)
    parser.add_argument('--batch', type=int, default=1, help='images per batch')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={})


def load_model(arguments: argparse.Namespace) -> tuple[nn.Module, Config]:
    """The model of a config with random weights, and the config."""
    keep_freed_memory()
    init_default_scope('mmps')
    config = load_config(arguments.config, arguments.cfg_options)
    config.model.pretrained = None
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    return model.to(arguments.device), config


def scenes(arguments: argparse.Namespace) -> dict:
    """A batch of random images of the wanted size."""
    width, height = (int(side) for side in arguments.size.split('x'))
    return random_scenes([PEOPLE] * arguments.batch, size=(height, width))


def measure(
    step: Callable[[], object],
    model: nn.Module,
    arguments: argparse.Namespace,
    images: int,
    optim_wrapper: object = None,
    dtype: torch.dtype = torch.float32,
) -> list[Measurement]:
    """Seconds and floating-point operations of a ``step`` of so many images, as a whole and stage
    by stage; size and memory of the model.

    Args:
        dtype: What most of the step is computed in; its matrix product is the peak.
    """

    @contextmanager
    def stages(meter: StageMeter) -> Iterator[None]:
        owner = SimpleNamespace(optim_wrapper=optim_wrapper)
        with metered(meter, model), metered(meter, owner, OPTIMISER_STAGES):
            yield

    device = arguments.device
    operations = _operations(step, stages)
    runs = [_stage_seconds(step, stages, device) for _ in range(arguments.repeats)]
    best = min(runs, key=lambda run: sum(run.values()))
    wholes = [sum(run.values()) for run in runs]
    if _on_gpu(device):  # stages wait for the GPU one by one, a step does not
        wholes = [_seconds(step, device) for _ in range(arguments.repeats)]
    memory = _peak_memory(device)  # before the products, which take some of their own
    rate = _matrix_rate(device, dtype)
    parameters = sum(p.numel() for p in model.parameters())
    flops, seconds = sum(operations.values()) / images, min(wholes) / images
    measured = [
        Measurement('parameters', parameters / 1e6, 'M'),
        Measurement('operations per image, without RoIAlign', flops / 1e9, 'GFLOP'),
        Measurement('time per image', seconds, 's'),
        Measurement('slowest run', max(wholes) / images, 's'),
        Measurement('images per second', 1 / seconds, '/s'),
        Measurement(f'peak: matrix product in {_precision(device, dtype)}', rate / 1e9, 'GFLOP/s'),
        Measurement('floor: operations over the rate of a matrix product', flops / rate, 's'),
        Measurement('share of the peak', 100 * flops / rate / seconds, '%'),
        *memory,
    ]
    for name in sorted(best, key=best.get, reverse=True):
        taken, count = best[name] / images, operations.get(name, 0.0) / images
        measured += [
            Measurement('time', taken, 's', stage=name),
            Measurement('share of time', 100 * best[name] / sum(best.values()), '%', stage=name),
            Measurement('operations', count / 1e9, 'GFLOP', stage=name),
            Measurement('share of the peak', 100 * count / rate / taken, '%', stage=name),
        ]
    return measured


def _operations(step: Callable[[], object], stages: Callable) -> dict[str, float]:
    with FlopCounterMode(display=False) as counter:
        meter = StageMeter(counter.get_total_flops)
        with stages(meter):
            step()
        return meter.stop()


def _stage_seconds(step: Callable[[], object], stages: Callable, device: str) -> dict[str, float]:
    def clock() -> float:
        _synchronise(device)
        return time.perf_counter()

    meter = StageMeter(clock)
    with stages(meter):
        step()
    return meter.stop()


def _on_gpu(device: str) -> bool:
    return device.startswith('cuda')


def _seconds(step: Callable[[], object], device: str) -> float:
    _synchronise(device)
    start = time.perf_counter()
    step()
    _synchronise(device)
    return time.perf_counter() - start


def _synchronise(device: str) -> None:
    if _on_gpu(device):
        torch.cuda.synchronize(device)


def _precision(device: str, dtype: torch.dtype) -> str:
    """What convolutions of a type are computed in: PyTorch takes TF32 for float32 on a GPU."""
    if _on_gpu(device) and dtype == torch.float32 and torch.backends.cudnn.allow_tf32:
        return 'TF32'
    return str(dtype).removeprefix('torch.')


def _matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Operations per second of a large product, what this machine can do at best."""
    side = 8192 if _on_gpu(device) else 2048
    a = torch.randn(side, side, device=device).to(dtype)
    matrices = torch.backends.cuda.matmul
    before = matrices.allow_tf32
    matrices.allow_tf32 = _precision(device, dtype) == 'TF32'
    try:
        return 2 * side**3 / min(_seconds(lambda: a @ a, device) for _ in range(5))
    finally:
        matrices.allow_tf32 = before


def _peak_memory(device: str) -> list[Measurement]:
    if not _on_gpu(device):
        return [Measurement('peak memory', peak_memory(), 'MiB')]
    # Of all that runs on the GPU, with its context.
    free, total = torch.cuda.mem_get_info(device)
    return [
        Measurement('peak memory', (total - free) / 2**20, 'MiB'),
        Measurement('of that, tensors', torch.cuda.max_memory_allocated(device) / 2**20, 'MiB'),
    ]
